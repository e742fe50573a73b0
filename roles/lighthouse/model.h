#pragma once

// What the lighthouse knows. Wanted is the desired state: it is in SQL, and changes only after SQL
// has it (state.h). Seen is what nodes last said; it is kept in memory, and lost at a restart but
// for the instances' last state. The planner compares the two. Plain values, without behaviour of
// their own but look-ups; times are monotonic and begin anew at a restart, so that no clock jump
// ends a rollout.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"
#include "canary_analysis.h"
#include "flags.h"
#include "jobs.h"
#include "proto/messages.h"
#include "service/manifest.h"
#include "space_values.h"

namespace candela::lighthouse {

// A service's name within the cloud: space and name.
using ServiceKey = std::pair<std::string, std::string>;
inline std::string to_string(const ServiceKey& key) { return key.first + "/" + key.second; }

// What became of a release. Only kRolling is not final.
enum class Rollout : uint8_t {
    kRolling,
    kDone,
    kRolledBack,  // it failed, and the service went back to the release that served before
    kFailed,      // it failed, and there was nothing to go back to
    kSuperseded,  // a newer release came before it was done
};
std::string_view to_string(Rollout rollout);
Result<Rollout> parse_rollout(std::string_view text);

// Why a release failed, as the person who deployed it needs it.
struct Failing {
    std::string instance;
    std::string node;
    std::string last_exit;
    std::string probe_answer;
    std::vector<std::string> log_tail;
    bool operator==(const Failing&) const = default;
};

struct Release {
    uint64_t number = 0;
    service::Manifest manifest;
    uint32_t instances = 0;  // the manifest's number, or what scale made of it
    std::string bundle;      // digest
    uint64_t bundle_bytes = 0;
    std::string signature;
    std::string signer;
    std::string author;
    uint64_t copy_of = 0;         // the release that a rollback or restart by hand made anew
    std::string reason;           // "deploy", "rollback", "restart"
    bool promoted = true;         // false: a canary, or green, that has not taken over
    ValuePins values;             // secrets and config, at these versions
    std::string idempotency_key;  // by which asking twice makes one release; may be empty
    WallTime created_at{};
    WallTime ended_at{};
    Rollout rollout = Rollout::kRolling;
    std::string cause;
    Failing failing;
};

// Keeps everybody but its holder from changing a service, until it expires.
struct Lock {
    std::string holder;
    std::string reason;
    WallTime until{};

    bool is_held(WallTime now) const { return !holder.empty() && now < until; }
};

struct Service {
    ServiceKey key;
    uint64_t last_number = 0;  // the highest release number ever given
    uint64_t target = 0;       // the release that should run; 0: none
    uint64_t stable = 0;       // the last whose rollout was done; 0: none
    bool deleting = false;
    bool is_in_maintenance = false;
    bool paused = false;  // the rollout of `target` stands still
    Lock lock;
    WallTime created_at{};
    std::map<uint64_t, Release> releases;

    // How far the rollout of `target` is; not in SQL.
    MonoTime progress_at{};  // when it last came closer to its end
    uint32_t best_new = 0;   // the most new instances that were available at once
    uint32_t least_old = UINT32_MAX;
    std::optional<MonoTime> well_since;  // of what waits for its promotion
    MonoTime rollout_at{};               // when it began, or went on
    // Self-healing of instances whose host has given up on them, with a growing pause.
    uint32_t replacements = 0;
    MonoTime replaced_at{};

    const Release* find(uint64_t number) const {
        const auto found = releases.find(number);
        return found == releases.end() ? nullptr : &found->second;
    }
    Release* find(uint64_t number) {
        const auto found = releases.find(number);
        return found == releases.end() ? nullptr : &found->second;
    }
};

// What the lighthouse wants of an instance; what it is doing is in its Sighting.
enum class Stage : uint8_t { kRun, kDraining, kStopping };
std::string_view to_string(Stage stage);
Result<Stage> parse_stage(std::string_view text);

struct Instance {
    std::string id;  // "hello-3f9k2m1x"
    ServiceKey service;
    uint64_t release = 0;
    std::string node;
    Stage stage = Stage::kRun;
    std::string job;  // an attempt of this one's run; empty: of the service itself
    uint64_t run = 0;
    WallTime created_at{};
    MonoTime placed_at{};
    MonoTime stage_at{};
};

struct Wanted {
    std::map<ServiceKey, Service> services;
    std::map<std::string, Instance> instances;
    Values values;
    Jobs jobs;
    Flags flags;

    using InstanceAt = std::map<std::string, Instance>::const_iterator;
    // Where the instances are of services with that name: an id begins with it and a '-', and so
    // may those of other services ("web-api-…" among "web-…"). From the first after `after`.
    std::pair<InstanceAt, InstanceAt> instances_named(const std::string& service,
                                                      const std::string& after = "") const;
};

// What was last heard of an instance.
struct Sighting {
    proto::InstanceStatus status;
    MonoTime state_at{};                 // when this state began, as far as we know
    std::optional<MonoTime> started_at;  // first seen past `pending`
    std::optional<MonoTime> ready_at;    // first seen ready
    uint64_t entered = 0;                // the first route table that has it; 0: none
    MonoTime entered_at{};               // when that table was made
    uint64_t left = 0;  // the first route table without it again; 0: still in, or never was
};

// What people want of a node.
enum class NodeMode : uint8_t {
    kOpen,
    kCordoned,  // nothing new is placed on it
    kDraining,  // the same, and what is on it moves elsewhere
};
std::string_view to_string(NodeMode mode);
Result<NodeMode> parse_node_mode(std::string_view text);

struct Node {
    std::string name;
    NodeMode mode = NodeMode::kOpen;
    std::string boot_id;
    std::string previous_boot_id;  // whose late heartbeats no longer count
    std::string version;
    std::vector<std::string> roles;
    std::string machine_id;
    std::string address;
    uint64_t sequence = 0;
    std::optional<MonoTime> heard_at;  // absent: not since this lighthouse started
    WallTime heard_wall{};
    bool draining = false;  // it is about to end
    uint32_t instances_max = 0;
    uint64_t assignments_version = 0;
    uint64_t routes_version = 0;
    uint64_t certificates_version = 0;
    std::set<std::string, std::less<>> busy_instances;
    uint64_t memory_bytes = 0;
    uint32_t cpus = 0;
    uint32_t load_percent = 0;
    std::vector<proto::Protection> protections;
    std::string trouble;  // what it says is wrong with it; empty: nothing
    std::vector<proto::HostDriver> drivers;
    std::string sandbox_level;
    service::Labels labels;
    // What a host gives to instances, all together; ports_max 0: it does not say.
    uint64_t cpu_millis_max = 0;
    uint64_t memory_bytes_max = 0;
    uint32_t ports_max = 0;

    bool has_role(std::string_view role) const;
};

struct Seen {
    std::map<std::string, Node> nodes;
    std::map<std::string, Sighting, std::less<>> instances;
    // Since when heartbeats can reach us: silence before that says nothing about a node.
    std::optional<MonoTime> listening_since;
    uint64_t routes_version = 0;  // of the current table
    // What gateways tell of services that are measured (measure_of).
    std::map<ServiceKey, AnswerLedger> answers;

    const Sighting* find(std::string_view instance) const {
        const auto found = instances.find(instance);
        return found == instances.end() ? nullptr : &found->second;
    }
};

// How long a node has been silent, counted from when it could have been heard; zero while nothing
// can.
Duration silence(const Node& node, const Seen& seen, MonoTime now);

}  // namespace candela::lighthouse
