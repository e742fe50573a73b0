#include "service_planner.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace candela::lighthouse {

using proto::InstanceState;
using Presence = Fleet::Presence;

namespace {

// How many of the new release run while it waits, and how many of the one that serves.
struct Split {
    const Release* kept;
    int64_t new_count;
    int64_t kept_count;
};

std::optional<Split> split_of(const Service& service, const std::vector<Member>& members) {
    const Release* target = service.find(service.target);
    if (service.deleting || target == nullptr || target->rollout != Rollout::kRolling)
        return std::nullopt;
    const Release* stable = service.find(service.stable);
    if (stable == nullptr || stable == target) return std::nullopt;
    if (!target->promoted) return Split(stable, canaries_of(*target), stable->instances);
    if (!service.paused) return std::nullopt;
    int64_t live = 0;
    int64_t available = 0;
    for (const Member& member : members) {
        if (member.instance->release != target->number) continue;
        if (member.is_live()) ++live;
        if (member.is_available) ++available;
    }
    // What of the new one does not serve yet is not counted on.
    const int64_t all = std::max(stable->instances, target->instances);
    return Split(stable, live, std::max<int64_t>(0, all - available));
}

}  // namespace

void plan_service(const Service& service, std::vector<Member> members,
                  const std::optional<Judgement>& judgement, Fleet& fleet, MonoTime now,
                  const PlanLimits& limits, Plan& plan) {
    if (service.deleting && members.empty()) {
        plan.actions.push_back(RemoveService{service.key});
        return;
    }
    const Release* target = service.deleting ? nullptr : service.find(service.target);
    const std::optional<Split> split = split_of(service, members);
    if (!split) {
        const int64_t wanted = target == nullptr ? 0 : target->instances;
        ServicePlanner whole(service, target, wanted, Part::kWhole, std::move(members), fleet, now,
                             limits, plan);
        if (!whole.ends_rollout()) whole.run();
        return;
    }
    const auto middle = std::stable_partition(
        members.begin(), members.end(),
        [&](const Member& member) { return member.instance->release != target->number; });
    std::vector<Member> fresh(middle, members.end());
    members.erase(middle, members.end());
    if (target->promoted) {
        // Paused: how many of the new there are is all that says how many there should be. Those on
        // a host that is drained stay until the rollout goes on.
        for (Member& member : fresh) member.must_leave = false;
    }
    ServicePlanner beside(service, target, split->new_count, Part::kNew, std::move(fresh), fleet,
                          now, limits, plan);
    beside.judge_by(judgement);
    if (beside.ends_rollout()) return;
    ServicePlanner kept(service, split->kept, split->kept_count, Part::kKept, std::move(members),
                        fleet, now, limits, plan);
    kept.run();
    beside.run();
}

ServicePlanner::ServicePlanner(const Service& service, const Release* target, int64_t wanted,
                               Part part, std::vector<Member> members, Fleet& fleet, MonoTime now,
                               const PlanLimits& limits, Plan& plan)
    : service_(service),
      members_(std::move(members)),
      fleet_(fleet),
      now_(now),
      limits_(limits),
      plan_(plan),
      target_(target),
      part_(part),
      wanted_(wanted) {
    for (Member& member : members_) {
        member.is_target = target_ != nullptr && member.instance->release == target_->number;
        if (member.is_available) ++available_;
    }
    if (target_ == nullptr) return;
    const service::Update& update = target_->manifest.update;
    available_min_ = std::max<int64_t>(0, wanted_ - update.max_unavailable);
    surge_ = update.max_surge;
}

bool ServicePlanner::ends_rollout() {
    if (target_ == nullptr || target_->rollout != Rollout::kRolling) return false;
    if (part_ == Part::kNew) return judge_new();
    keep_until_proven();
    return judge();
}

void ServicePlanner::run() {
    finish_leaving();
    forget_lost();
    const size_t replaceable = replace_failed();
    drain_old();
    drain_surplus();
    create(replaceable);
}

void ServicePlanner::finish_leaving() {
    for (const Member& member : members_) {
        const Instance& instance = *member.instance;
        if (member.is_lost() || member.presence != Presence::kHere) continue;
        if (instance.stage == Stage::kDraining) {
            const bool has_ended = member.is_failed || member.is_finished;
            const bool is_left =
                member.sighting == nullptr || member.sighting->entered == 0 ||
                (member.sighting->left != 0 && fleet_.gateways_serve(member.sighting->left) &&
                 !fleet_.is_busy(instance.id));
            const Duration drain_max = grace_of(member.release) + limits_.drain_max;
            if (has_ended || is_left || fleet_.elapsed(instance.stage_at) >= drain_max) {
                act(TellStop{instance.id});
            }
        } else if (instance.stage == Stage::kStopping) {
            if (member.is_failed || member.is_finished) act(Forget{instance.id});
        }
    }
}

void ServicePlanner::forget_lost() {
    for (const Member& member : members_) {
        if (!member.is_lost()) continue;
        const bool is_leaving = member.instance->stage != Stage::kRun;
        // What serves elsewhere is not missed; until then the host may come back with it.
        if (is_leaving || available_ >= wanted_) act(Forget{member.instance->id});
    }
}

size_t ServicePlanner::replace_failed() {
    if (target_ == nullptr || target_->rollout == Rollout::kRolling) return 0;
    size_t replaced = 0;
    const bool is_fresh = service_.replacements == 0;
    const uint32_t doublings = std::min<uint32_t>(service_.replacements, 20);
    const Duration pause = std::min<Duration>(1s * (1U << doublings), limits_.replace_pause_max);
    const bool may_replace = is_fresh || now_ - service_.replaced_at >= pause;
    for (Member& member : members_) {
        if (!member.runs() || !member.is_target || !member.is_failed || member.is_lost()) continue;
        // A job that has failed is not run again by itself: nobody said that it may be.
        if (is_job(member.release) || !may_replace || member.presence != Presence::kHere) {
            ++waiting_failed_;
            continue;
        }
        drain(member);
        ++replaced;
    }
    return replaced;
}

void ServicePlanner::drain(Member& member) {
    if (member.is_available) --available_;
    drained_.insert(&member);
    act(MarkDraining{member.instance->id});
}

void ServicePlanner::drain_old() {
    std::vector<Member*> old;
    for (Member& member : members_) {
        if (!member.is_current() && member.runs() && member.presence == Presence::kHere) {
            old.push_back(&member);
        }
    }
    std::stable_sort(old.begin(), old.end(), [](const Member* a, const Member* b) {
        return std::tuple(a->is_available, a->instance->release, a->instance->id) <
               std::tuple(b->is_available, b->instance->release, b->instance->id);
    });
    for (Member* member : old) {
        if (wanted_ == 0 || member->is_failed || member->is_finished) {
            drain(*member);
        } else if (!member->is_target && keeps_old_until_all_new()) {
            continue;
        } else if (member->is_available) {
            if (available_ - 1 >= (member->is_moving() ? moving_min() : available_min_)) {
                drain(*member);
            }
        } else if (member->sighting != nullptr && member->state() != InstanceState::kUnknown) {
            // One that only blinks may be needed again; one that is broken for long is in the way.
            const bool is_broken = fleet_.elapsed(member->sighting->state_at) > limits_.unready_max;
            const bool is_ready = member->state() == InstanceState::kReady;
            if (available_ >= available_min_ || (is_broken && !is_ready)) drain(*member);
        }
    }
}

// How many must serve for one to leave a host that is being drained: a move is nobody's wish for
// less, so that its successor comes first where the service allows one more. Where it does not, one
// ends first, if there is room for another.
int64_t ServicePlanner::moving_min() const {
    if (surge_ > 0 || !fleet_.has_room(*target_)) return wanted_;
    return available_min_;
}

// Blue stays, without requests, until all of green serves: the way back is short.
bool ServicePlanner::keeps_old_until_all_new() const {
    if (target_->rollout != Rollout::kRolling ||
        target_->manifest.update.strategy != service::UpdateStrategy::kBlueGreen ||
        service_.stable == 0 || service_.stable == target_->number) {
        return false;
    }
    return std::ranges::count_if(members_, [](const Member& member) {
               return member.is_target && member.is_available;
           }) < wanted_;
}

void ServicePlanner::drain_surplus() {
    std::vector<Member*> live;
    for (Member& member : members_) {
        if (member.is_current() && member.runs() && !member.is_lost() &&
            !drained_.contains(&member)) {
            live.push_back(&member);
        }
    }
    int64_t surplus = static_cast<int64_t>(live.size()) - wanted_;
    if (surplus <= 0) return;
    std::map<std::string_view, int> on_node;
    for (const Member* member : live) ++on_node[member->instance->node];
    // Those that do not serve go first, those of which not every gateway knows yet next, then where
    // most of the service is, then the youngest.
    const auto worth = [](const Member* member) {
        return (member->is_available ? 2 : 0) + (member->state() == InstanceState::kReady ? 1 : 0);
    };
    std::stable_sort(live.begin(), live.end(), [&](const Member* a, const Member* b) {
        return std::tuple(worth(a), -on_node[a->instance->node], b->instance->placed_at,
                          b->instance->id) < std::tuple(worth(b), -on_node[b->instance->node],
                                                        a->instance->placed_at, a->instance->id);
    });
    for (Member* member : live) {
        if (surplus <= 0) break;
        if (member->presence != Presence::kHere && !member->is_finished) continue;
        // One that is ready may serve at some gateways: after our start we do not know.
        const int64_t others = available_ - (member->is_available ? 1 : 0);
        if (worth(member) != 0 && others < available_min_) continue;
        if (member->is_failed) --waiting_failed_;
        drain(*member);
        --surplus;
    }
}

void ServicePlanner::create(size_t replacements) {
    if (target_ == nullptr) return;
    const int64_t live_new = count_live(true);
    const int64_t live_old = count_live(false);
    const int64_t missing = wanted_ - live_new - waiting_failed_;
    const int64_t room = live_old == 0 ? missing : wanted_ + surge_ - live_new - live_old;
    for (int64_t i = 0; i < std::min(missing, room); ++i) {
        std::string node = fleet_.place(service_.key, *target_);
        if (node.empty()) {
            plan_.waiting[service_.key] = fleet_.why_no_room(*target_);
            return;
        }
        const bool is_replacement = i < static_cast<int64_t>(replacements);
        act(CreateInstance{service_.key, target_->number, std::move(node), is_replacement});
    }
}

}  // namespace candela::lighthouse
