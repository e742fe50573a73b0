#pragma once

// An instance together with all that the planner judges it by: what was last heard of it, its
// release, whether its host is there. Made anew for each plan; borrows Wanted and Seen.

#include <vector>

#include "fleet.h"
#include "model.h"

namespace candela::lighthouse {

// An instance together with what is known of it.
struct Member {
    const Instance* instance = nullptr;
    const Sighting* sighting = nullptr;  // null: never heard of
    const Release* release = nullptr;    // null: no longer kept
    Fleet::Presence presence = Fleet::Presence::kHere;
    bool is_target = false;
    bool must_leave = false;  // its host is being drained
    bool is_finished = false;
    bool is_failed = false;     // its host has given up on it
    bool is_available = false;  // serves, and all gateways know

    proto::InstanceState state() const {
        return sighting == nullptr ? proto::InstanceState::kUnknown : sighting->status.state;
    }
    bool runs() const { return instance->stage == Stage::kRun; }
    bool is_lost() const { return presence == Fleet::Presence::kLost && !is_finished; }
    bool is_moving() const { return is_target && must_leave; }
    // Of the release that is wanted, on a host where it may stay.
    bool is_current() const { return is_target && !must_leave; }
    // Counts towards the number wanted.
    bool is_live() const { return runs() && !is_lost() && !is_failed; }
};

bool is_job(const Release* release);
Duration grace_of(const Release* release);

// The members of one service, `instances` being all of its instances.
std::vector<Member> members_of(const Service& service,
                               const std::vector<const Instance*>& instances, const Seen& seen,
                               const Fleet& fleet, const PlanLimits& limits);

}  // namespace candela::lighthouse
