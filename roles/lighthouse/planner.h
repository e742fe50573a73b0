#pragma once

// The planner: a pure function from what is wanted, what is seen and the time to what should be
// done next. Level-triggered: it keeps nothing between calls, and calling it again without a change
// gives the same actions. Whoever applies them (state.h, the simulator) commits, applies and calls
// it again, until nothing is left to do. The promises that it keeps:
//   - an update never takes away an instance that serves before its successor is ready and every
//     live gateway sends to it; never fewer than instances - max_unavailable, never more than
//     + max_surge;
//   - an instance is told to stop only when no gateway sends to it any more, or its time is over;
//   - a host that is silent for `silent_after` has its instances placed anew elsewhere, unless more
//     than half of the hosts, and at least two, vanish at once: then nothing moves for `hold_for`;
//     a lighthouse that has just started gives every host `arrive_max` to report first;
//   - what is on a host that a person drains is placed elsewhere first, and ends then;
//   - what is on a silent host is forgotten only once it is replaced;
//   - a release that is not promoted yet takes nothing away from the one that serves, and a paused
//     rollout moves nothing; both keep what they have as many as it should be;
//   - every rollout ends: done, rolled back, or failed with a cause; but for those that a person
//   has
//     paused, or has to promote.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "actions.h"
#include "model.h"
#include "plan_limits.h"

namespace candela::lighthouse {

// How far a rollout is; whoever applies a plan keeps the best in the Service (note_progress).
struct Progress {
    uint32_t available_new = 0;
    uint32_t old = 0;
    bool is_well = false;  // what waits for its promotion is as it should be
};

struct Plan {
    std::vector<Action> actions;
    std::map<ServiceKey, Progress> progress;    // of the services that are rolling
    std::vector<std::string> holding;           // hosts that vanished and are waited for
    std::map<ServiceKey, std::string> waiting;  // why a service does not move on
    std::map<ServiceKey, uint64_t> for_hand;    // the releases that wait for a person to promote
};

Plan plan(const Wanted& wanted, const Seen& seen, MonoTime now, const PlanLimits& limits);

// Moves Service::progress_at where the rollout came closer to its end than ever before.
void note_progress(Service& service, const Progress& progress, MonoTime now);

// How long a node may be silent before it counts as gone.
Duration silence_allowed(const Node& node, const Seen& seen, const PlanLimits& limits);
// For status and routes: whether the planner counts this host as gone.
bool is_silent(const Node& node, const Seen& seen, MonoTime now, const PlanLimits& limits);
// How many instances of a release that is not promoted yet run beside the others.
uint32_t canaries_of(const Release& release);
// Which measurement of the service's answers is on: of its canary, until that is promoted or taken
// back. 0: none. Never given twice, not even to a service that was deleted and made anew.
uint64_t measure_of(const Service& service);
// What is to be said of the canary by what was measured; nothing where it is not.
std::optional<Judgement> judgement_of(const Service& service, const Seen& seen);
// How many bytes an instance of this release takes in its host's assignments, at most.
size_t assignment_bytes(const Release& release);
// An instance whose work is done: a job that ended well.
bool is_finished(const Release& release, const Sighting* sighting);

// Where requests for the service come in: the routes of the release that serves, and, while a
// release is rolling out, those of that one too.
std::vector<service::Route> routes_of(const Service& service);

}  // namespace candela::lighthouse
