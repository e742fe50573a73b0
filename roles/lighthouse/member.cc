#include "member.h"

#include <algorithm>

#include "planner.h"

namespace candela::lighthouse {

using proto::InstanceState;
using Presence = Fleet::Presence;

bool is_job(const Release* release) {
    return release != nullptr && release->manifest.kind == service::Kind::kJob;
}

Duration grace_of(const Release* release) {
    return release == nullptr ? Duration(10s) : release->manifest.stop.grace;
}

namespace {

bool is_serving(const Member& member, bool is_routed, const Fleet& fleet,
                const PlanLimits& limits) {
    if (member.is_finished) return member.runs();
    if (!member.runs() || member.presence != Presence::kHere) return false;
    if (member.state() != InstanceState::kReady) return false;
    if (!is_routed) return true;
    const Sighting& sighting = *member.sighting;
    // Not in the route table: no port yet, or of the colour that is not shown.
    if (sighting.entered == 0 || sighting.left != 0) return false;
    // A gateway that lags for long is not waited for; it learns from the endpoints' refusals.
    return fleet.gateways_serve(sighting.entered) ||
           fleet.elapsed(sighting.entered_at) > limits.routed_max;
}

// A host that is there and yet does not start what it was given, for whatever reason.
bool is_stuck(const Member& member, const Fleet& fleet, const PlanLimits& limits) {
    if (!member.runs() || member.presence != Presence::kHere) return false;
    const InstanceState state = member.state();
    if (state != InstanceState::kUnknown && state != InstanceState::kPending) return false;
    MonoTime since = member.instance->placed_at;
    if (member.sighting != nullptr) since = std::max(since, member.sighting->state_at);
    return fleet.elapsed(since) > limits.pending_max;
}

}  // namespace

std::vector<Member> members_of(const Service& service,
                               const std::vector<const Instance*>& instances, const Seen& seen,
                               const Fleet& fleet, const PlanLimits& limits) {
    const bool is_routed = !routes_of(service).empty();
    std::vector<Member> members;
    members.reserve(instances.size());
    for (const Instance* instance : instances) {
        Member member;
        member.instance = instance;
        member.sighting = seen.find(instance->id);
        member.release = service.find(instance->release);
        member.presence = fleet.presence(instance->node);
        member.is_target = !service.deleting && instance->release == service.target;
        if (member.release != nullptr) {
            member.is_finished = is_finished(*member.release, member.sighting);
        }
        member.must_leave = member.runs() && member.presence == Presence::kHere &&
                            !is_job(member.release) && fleet.is_draining(instance->node);
        const InstanceState state = member.state();
        member.is_failed = !member.is_finished &&
                           (state == InstanceState::kFailed || state == InstanceState::kExited ||
                            is_stuck(member, fleet, limits));
        member.is_available = is_serving(member, is_routed, fleet, limits);
        members.push_back(member);
    }
    return members;
}

}  // namespace candela::lighthouse
