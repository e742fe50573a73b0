#pragma once

// The planner: a pure function from what is wanted, what is seen and the time to what should be
// done next. Level-triggered: it keeps nothing between calls, and calling it again without a change
// gives the same actions. Whoever applies them (state.h, the simulator) commits, applies and calls
// it again, until nothing is left to do. The promises that it keeps:
//   - an update never takes away an instance that serves before its successor is ready and every
//   live
//     gateway sends to it; never fewer than instances - max_unavailable, never more than +
//     max_surge;
//   - an instance is told to stop only when no gateway sends to it any more, or its time is over;
//   - a host that is silent for `silent_after` has its instances placed anew elsewhere, unless more
//     than half of three or more hosts vanish at once: then nothing moves for `hold_for`;
//   - what is on a silent host is forgotten only once it is replaced;
//   - every rollout ends: done, rolled back, or failed with a cause.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "model.h"

namespace candela::lighthouse {

struct PlanLimits {
    Duration silent_after = 5s;   // without a heartbeat: the node counts as gone
    Duration hold_for = 5min;     // storm guard: how long a vanished majority is waited for
    Duration drain_max = 10s;     // for requests in flight, beyond the service's stop.grace
    Duration routed_max = 15s;    // after which a gateway that lags is no longer waited for
    Duration pending_max = 5min;  // for a host to fetch the bundle and start an instance
    Duration start_slack = 5s;    // the host times a start itself; this is for when it doesn't
    Duration unready_max = 10s;   // then an old instance counts as broken, not as blinking
    Duration stuck_max = 90s;     // without any progress, beyond the start timeout and pending_max
    Duration replace_pause_max = 5min;
    uint32_t restarts_max = 3;     // of a new instance before its release counts as failed
    uint32_t instances_max = 500;  // on a host that names no limit of its own
    size_t assignment_bytes_max = 900 * 1024;  // of all specs of one host: a message holds 1 MiB
};

struct CreateInstance {
    ServiceKey service;
    uint64_t release;
    std::string node;
    bool is_replacement;  // of one that its host has given up on
};
struct MarkDraining {
    std::string instance;
};
struct TellStop {
    std::string instance;
};
struct Forget {
    std::string instance;
};
struct EndRollout {
    ServiceKey service;
    uint64_t release;
    Rollout rollout;  // kDone, kRolledBack or kFailed
    uint64_t target;  // the release that should run from now on; 0: none
    std::string cause;
    std::string instance;  // the one that failed, if it was one
};
struct RemoveService {
    ServiceKey service;
};

using Action =
    std::variant<CreateInstance, MarkDraining, TellStop, Forget, EndRollout, RemoveService>;
std::string to_string(const Action& action);

// How far a rollout is; whoever applies a plan keeps the best in the Service (note_progress).
struct Progress {
    uint32_t available_new = 0;
    uint32_t old = 0;
};

struct Plan {
    std::vector<Action> actions;
    std::map<ServiceKey, Progress> progress;    // of the services that are rolling
    std::vector<std::string> holding;           // hosts that vanished and are waited for
    std::map<ServiceKey, std::string> waiting;  // why a service does not move on
};

Plan plan(const Wanted& wanted, const Seen& seen, MonoTime now, const PlanLimits& limits);

// Moves Service::progress_at where the rollout came closer to its end than ever before.
void note_progress(Service& service, const Progress& progress, MonoTime now);

// For status and routes: whether the planner counts this host as gone.
bool is_silent(const Node& node, const Seen& seen, MonoTime now, const PlanLimits& limits);
// How many bytes an instance of this release takes in its host's assignments, at most.
size_t assignment_bytes(const Release& release);
// An instance whose work is done: a job that ended well.
bool is_finished(const Release& release, const Sighting* sighting);

// Where requests for the service come in: the routes of the release that serves, and, while a
// release is rolling out, those of that one too.
std::vector<service::Route> routes_of(const Service& service);

}  // namespace candela::lighthouse
