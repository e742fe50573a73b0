#pragma once

// A Change is what is about to become true: whole records, so that the same thing is first written
// to SQL and then applied to the model. Both the planner's actions and the API's wishes become one.

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model.h"
#include "planner.h"

namespace candela::lighthouse {

// What people see in `ctl events`; `kind` is in snake_case.
struct EventRecord {
    std::string kind;
    std::string space;
    std::string service;
    std::string subject;  // an instance, a node, a key
    std::string text;
};

// A new version of a secret or config value, with its content as SQL keeps it.
struct ValueWrite {
    ValueKey key;
    ValueVersion version;
    std::string content;
};

struct Change {
    std::vector<Instance> instances;  // new, or in place of the old record
    std::vector<std::string> gone_instances;
    std::vector<Service> services;  // without their releases
    std::vector<std::pair<ServiceKey, Release>> releases;
    std::vector<std::pair<ServiceKey, uint64_t>> gone_releases;
    std::vector<ServiceKey> gone_services;
    std::vector<std::pair<std::string, NodeMode>> node_modes;
    std::vector<std::string> gone_nodes;
    std::vector<ValueWrite> values;
    std::vector<std::pair<ValueKey, uint64_t>> gone_values;
    std::vector<std::pair<JobKey, JobState>> jobs;  // without their runs
    std::vector<JobKey> gone_jobs;
    std::vector<std::pair<JobKey, JobRun>> job_runs;
    std::vector<std::pair<JobKey, uint64_t>> gone_job_runs;
    std::vector<std::pair<FlagKey, FlagVersion>> flags;
    std::vector<std::pair<FlagKey, uint64_t>> gone_flags;
    std::vector<EventRecord> events;

    bool empty() const {
        return instances.empty() && gone_instances.empty() && services.empty() &&
               releases.empty() && gone_releases.empty() && gone_services.empty() &&
               node_modes.empty() && gone_nodes.empty() && values.empty() && gone_values.empty() &&
               jobs.empty() && gone_jobs.empty() && job_runs.empty() && gone_job_runs.empty() &&
               flags.empty() && gone_flags.empty() && events.empty();
    }
};

// Ended releases of a service beyond these are forgotten, the oldest first; never one that runs.
inline constexpr size_t kReleasesMax = 50;

using MakeInstanceId = std::function<std::string(const ServiceKey& service)>;

Change changes_of(const Plan& plan, const Wanted& wanted, const Seen& seen,
                  const MakeInstanceId& make_id, MonoTime now, WallTime wall);

// A new release of what an old one was.
Release copy_of(const Release& old, std::string_view reason);

// Makes `release` the target of its service (a new one, where there is none): number, state and
// time are set here. The change is of the model as it is; apply it before making another.
Change start_release(const Wanted& wanted, const ServiceKey& key, Release release, MonoTime now,
                     WallTime wall);
Change scale(const Service& service, uint32_t instances, MonoTime now);
Change maintain(const Service& service, bool is_on);
Change delete_service(const Service& service);
// Of a service whose target waits for its promotion; `why` is for people, and may be empty.
Change promote(const Service& service, MonoTime now, std::string why = "");
// Of a service whose target is rolling.
Change set_paused(const Service& service, bool paused, MonoTime now);
// The same, where there is a release that served before: that one goes on.
Change take_back(const Service& service, std::string_view who, MonoTime now, WallTime wall);
Change set_lock(const Service& service, Lock lock);
Change set_node_mode(const Node& node, NodeMode mode);
// What is on it counts as lost from then on, whatever the storm guard says: the person knows.
Change remove_node(const Node& node);

// Returns the nodes whose assignments have changed.
std::set<std::string> apply(const Change& change, Wanted& wanted, Seen& seen);

}  // namespace candela::lighthouse
