// How far a rollout is, and whether it has ended.

#include "service_planner.h"

#include <algorithm>

namespace candela::lighthouse {

using proto::InstanceState;
using Presence = Fleet::Presence;

// A release that wants fewer instances takes none away before the first of its own serves: it may
// be one that never will.
void ServicePlanner::keep_until_proven() {
    const Release* stable = service_.find(service_.stable);
    if (stable == nullptr || stable == target_ || wanted_ == 0) return;
    const bool is_proven = std::any_of(members_.begin(), members_.end(), [](const Member& member) {
        return member.is_target && member.is_available;
    });
    const int64_t missing = target_->manifest.update.max_unavailable;
    if (target_->manifest.update.strategy == service::UpdateStrategy::kBlueGreen) {
        surge_ = std::max<int64_t>(surge_, stable->instances);
    }
    if (!is_proven) {
        available_min_ = std::max(available_min_, int64_t{stable->instances} - missing);
        surge_ = std::max<int64_t>(surge_, 1 + stable->instances - wanted_ - missing);
    }
}

// The first of the new instances that has failed, as a sentence.
std::optional<std::string> ServicePlanner::failure_of_any(const Member*& failing) const {
    for (const Member& member : members_) {
        if (!member.is_target || !member.runs() || member.presence != Presence::kHere) continue;
        failing = &member;
        if (auto failed = failure_of(member)) return failed;
    }
    return std::nullopt;
}

bool ServicePlanner::judge() {
    const Member* failing = nullptr;
    if (auto failed = failure_of_any(failing)) return fail_rollout(std::move(*failed), failing);
    uint32_t old_left = 0;
    uint32_t available_new = 0;
    for (const Member& member : members_) {
        if (!member.runs()) continue;
        if (member.is_target) {
            if (member.is_available) ++available_new;
        } else if (member.presence == Presence::kHere) {
            ++old_left;
        }
    }
    plan_.progress[service_.key] = Progress(available_new, old_left, false);
    if (available_new >= wanted_ && old_left == 0) {
        act(EndRollout{service_.key, target_->number, Rollout::kDone, target_->number, "", ""});
        return true;
    }
    // Only a first release is planned as a whole while it is paused.
    if (service_.paused) return false;
    if (auto cause = stuck()) return fail_rollout(std::move(*cause), nullptr);
    return false;
}

bool ServicePlanner::is_well(const Member& member) const {
    if (!member.runs() || member.presence != Presence::kHere) return false;
    // Green is not in the route table, so that no gateway can say that it sends to it.
    return target_->manifest.update.strategy == service::UpdateStrategy::kBlueGreen
               ? member.state() == InstanceState::kReady
               : member.is_available;
}

// Of the part that runs beside the release that serves.
bool ServicePlanner::judge_new() {
    const Member* failing = nullptr;
    if (auto failed = failure_of_any(failing)) return fail_rollout(std::move(*failed), failing);
    if (is_judged(Verdict::kBad)) {
        return fail_rollout("the canary does worse than it may: " + judgement_->why, first_new());
    }
    if (service_.paused) {
        plan_.waiting[service_.key] = "paused; candela ctl resume lets it go on";
        return false;
    }
    const auto well =
        std::ranges::count_if(members_, [&](const Member& member) { return is_well(member); });
    const bool all_well = well >= wanted_;
    plan_.progress[service_.key] = Progress(static_cast<uint32_t>(well), UINT32_MAX, all_well);
    if (all_well && wait_for_promotion()) return true;
    if (time_out()) return true;
    if (all_well) return false;
    if (auto cause = stuck()) return fail_rollout(std::move(*cause), nullptr);
    return false;
}

bool ServicePlanner::wait_for_promotion() {
    const service::Update& update = target_->manifest.update;
    const std::string_view what =
        update.strategy == service::UpdateStrategy::kBlueGreen ? "green" : "the canary";
    // What served before needs nobody's word; what was made anew for a secret before it had proven
    // itself does.
    const Release* copied = service_.find(target_->copy_of);
    const bool is_copy = copied != nullptr && copied->promoted;
    const std::string figures = judgement_ == nullptr ? "" : ": " + judgement_->why;
    if (update.is_promoted_by_hand && !is_copy) {
        plan_.for_hand[service_.key] = target_->number;
        plan_.waiting[service_.key] =
            fmt::format("{} is well{}; candela ctl promote {} lets it take over", what, figures,
                        service_.key.second);
        return false;
    }
    const Duration well_for =
        service_.well_since ? fleet_.elapsed(*service_.well_since) : Duration::zero();
    const bool is_proven = judgement_ == nullptr || judgement_->verdict == Verdict::kGood;
    if (is_copy || (is_proven && well_for >= update.promote_after)) {
        act(Promote{service_.key, target_->number, judgement_ == nullptr ? "" : judgement_->why});
        return true;
    }
    plan_.waiting[service_.key] =
        is_proven ? fmt::format("{} is well{}; it takes over after {} of that", what, figures,
                                format_duration(update.promote_after))
                  : fmt::format("{} is well{}", what, figures);
    return false;
}

// A canary that nobody asks has shown nothing: what serves goes on to serve.
bool ServicePlanner::time_out() {
    const service::Update& update = target_->manifest.update;
    if (judgement_ == nullptr || update.is_promoted_by_hand) return false;
    const Duration timeout = update.analysis->timeout;
    if (fleet_.elapsed(service_.rollout_at) < timeout) return false;
    return fail_rollout(
        is_judged(Verdict::kGood)
            ? fmt::format("the canary was not well for {} without a break within {}",
                          format_duration(update.promote_after), format_duration(timeout))
            : fmt::format("the canary was not proven within {}: {}", format_duration(timeout),
                          judgement_->why),
        nullptr);
}

// Whose last lines may say why a canary does worse.
const Member* ServicePlanner::first_new() const {
    const auto found =
        std::ranges::find_if(members_, [](const Member& member) { return member.runs(); });
    return found == members_.end() ? nullptr : &*found;
}

std::optional<std::string> ServicePlanner::failure_of(const Member& member) const {
    const Instance& instance = *member.instance;
    const service::Manifest& manifest = target_->manifest;
    if (member.is_finished) return std::nullopt;
    if (member.sighting == nullptr || !member.sighting->started_at) {
        if (member.state() != InstanceState::kFailed) {
            if (fleet_.elapsed(instance.placed_at) <= limits_.pending_max) return std::nullopt;
            return fmt::format("{} on {} was not started within {}", instance.id, instance.node,
                               format_duration(limits_.pending_max));
        }
    }
    const Sighting& sighting = *member.sighting;
    const proto::InstanceStatus& status = sighting.status;
    if (member.state() == InstanceState::kFailed) {
        return fmt::format("{} failed: {}", instance.id,
                           status.cause.empty() ? "its host could not start it" : status.cause);
    }
    if (member.state() == InstanceState::kExited) {
        return fmt::format("{} ended by itself: {}", instance.id,
                           status.last_exit.empty() ? "exit 0" : status.last_exit);
    }
    if (status.restarts >= limits_.restarts_max) {
        return fmt::format("{} ended {} times, last with {}", instance.id, status.restarts,
                           status.last_exit.empty() ? "an unknown status" : status.last_exit);
    }
    const bool is_down = part_ == Part::kNew && sighting.ready_at &&
                         member.state() != InstanceState::kReady &&
                         fleet_.elapsed(sighting.state_at) > limits_.unready_max;
    if (is_down) {
        return fmt::format("{} is not well any more{}", instance.id,
                           status.probe_answer.empty() ? "" : ": " + status.probe_answer);
    }
    const Duration start_max = manifest.probe.start_timeout + limits_.start_slack;
    if (!sighting.ready_at && fleet_.elapsed(*sighting.started_at) > start_max) {
        return fmt::format("{} was not ready within {}{}", instance.id,
                           format_duration(manifest.probe.start_timeout),
                           status.probe_answer.empty() ? "" : ": " + status.probe_answer);
    }
    return std::nullopt;
}

std::optional<std::string> ServicePlanner::stuck() const {
    // While a majority of hosts is waited for, nothing can move and nothing is to blame.
    if (!fleet_.holding().empty()) return std::nullopt;
    const Duration since = fleet_.elapsed(service_.progress_at);
    const Duration start_max = target_->manifest.probe.start_timeout + limits_.start_slack;
    const bool is_coming = std::any_of(members_.begin(), members_.end(), [](const Member& member) {
        return member.is_target && member.is_live() && !member.is_available;
    });
    if (!is_coming && since > start_max && count_live(true) < wanted_ &&
        !fleet_.has_room(*target_)) {
        return fmt::format("{}; {} of {} serve", fleet_.why_no_room(*target_), count_live(true),
                           wanted_);
    }
    const Duration stuck_max =
        start_max + limits_.pending_max + limits_.stuck_max + grace_of(target_) + limits_.drain_max;
    if (since <= stuck_max) return std::nullopt;
    return fmt::format("no progress for {}; {} of {} instances serve", format_duration(stuck_max),
                       available_, wanted_);
}

bool ServicePlanner::fail_rollout(std::string cause, const Member* member) {
    // A release that was taken back once is no place to go back to; `stable` never names one.
    const bool can_go_back = service_.stable != 0 && service_.stable != target_->number &&
                             service_.find(service_.stable) != nullptr && !is_job(target_);
    act(EndRollout{service_.key, target_->number,
                   can_go_back ? Rollout::kRolledBack : Rollout::kFailed,
                   can_go_back ? service_.stable : 0, std::move(cause),
                   member == nullptr ? "" : member->instance->id});
    return true;
}

}  // namespace candela::lighthouse
