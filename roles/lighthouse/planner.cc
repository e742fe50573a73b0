#include "planner.h"

#include <algorithm>
#include <tuple>

#include "fleet.h"

namespace candela::lighthouse {

namespace {

using proto::InstanceState;
using Presence = Fleet::Presence;

// An instance together with what is known of it.
struct Member {
    const Instance* instance = nullptr;
    const Sighting* sighting = nullptr;  // null: never heard of
    const Release* release = nullptr;    // null: no longer kept
    Presence presence = Presence::kHere;
    bool is_target = false;
    bool is_finished = false;
    bool is_failed = false;     // its host has given up on it
    bool is_available = false;  // serves, and all gateways know

    InstanceState state() const {
        return sighting == nullptr ? InstanceState::kUnknown : sighting->status.state;
    }
    bool runs() const { return instance->stage == Stage::kRun; }
    bool is_lost() const { return presence == Presence::kLost && !is_finished; }
    // Counts towards the number wanted.
    bool is_live() const { return runs() && !is_lost() && !is_failed; }
};

bool is_job(const Release* release) {
    return release != nullptr && release->manifest.kind == service::Kind::kJob;
}

Duration grace_of(const Release* release) {
    return release == nullptr ? Duration(10s) : release->manifest.stop.grace;
}

bool is_serving(const Member& member, bool is_routed, const Fleet& fleet,
                const PlanLimits& limits) {
    if (member.is_finished) return member.runs();
    if (!member.runs() || member.presence != Presence::kHere) return false;
    if (member.state() != InstanceState::kReady) return false;
    if (!is_routed) return true;
    const Sighting& sighting = *member.sighting;
    if (sighting.entered != 0 && fleet.gateways_serve(sighting.entered)) return true;
    // A gateway that lags for long is not waited for; it learns from the endpoints' refusals.
    return sighting.ready_at && fleet.elapsed(*sighting.ready_at) > limits.routed_max;
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
        const InstanceState state = member.state();
        member.is_failed = !member.is_finished &&
                           (state == InstanceState::kFailed || state == InstanceState::kExited ||
                            is_stuck(member, fleet, limits));
        member.is_available = is_serving(member, is_routed, fleet, limits);
        members.push_back(member);
    }
    return members;
}

// Plans one service.
class ServicePlanner {
public:
    ServicePlanner(const Service& service, std::vector<Member> members, Fleet& fleet, MonoTime now,
                   const PlanLimits& limits, Plan& plan)
        : service_(service),
          members_(std::move(members)),
          fleet_(fleet),
          now_(now),
          limits_(limits),
          plan_(plan),
          target_(service.deleting ? nullptr : service.find(service.target)) {
        if (target_ == nullptr) return;
        wanted_ = target_->instances;
        const uint32_t missing = target_->manifest.update.max_unavailable;
        available_min_ = wanted_ > missing ? wanted_ - missing : 0;
        surge_ = target_->manifest.update.max_surge;
    }

    void run() {
        if (service_.deleting && members_.empty()) {
            plan_.actions.push_back(RemoveService{service_.key});
            return;
        }
        available_ = std::count_if(members_.begin(), members_.end(),
                                   [](const Member& member) { return member.is_available; });
        if (target_ != nullptr && target_->rollout == Rollout::kRolling) {
            keep_until_proven();
            // The next call plans for what the release's end made the target.
            if (judge()) return;
        }
        finish_leaving();
        forget_lost();
        const size_t replaceable = replace_failed();
        drain_old();
        drain_surplus();
        create(replaceable);
    }

private:
    void keep_until_proven();

    // ---- the end of a rollout
    bool judge();
    bool fail_rollout(std::string cause, const Member* member);
    std::optional<std::string> failure_of(const Member& member) const;
    std::optional<std::string> stuck() const;

    // ---- instances that leave
    void finish_leaving();
    void forget_lost();
    size_t replace_failed();
    void drain_old();
    void drain_surplus();
    void drain(Member& member);

    // ---- instances that come
    void create(size_t replacements);

    int64_t count_live(bool is_target) const {
        return std::count_if(members_.begin(), members_.end(), [&](const Member& member) {
            return member.is_live() && member.is_target == is_target && !drained_.contains(&member);
        });
    }
    template <class... Args>
    void act(Args&&... args) {
        (plan_.actions.push_back(std::forward<Args>(args)), ...);
    }

    const Service& service_;
    std::vector<Member> members_;
    Fleet& fleet_;
    const MonoTime now_;
    const PlanLimits& limits_;
    Plan& plan_;
    const Release* target_;
    int64_t wanted_ = 0;
    int64_t available_min_ = 0;  // an update must leave so many
    int64_t surge_ = 0;          // and have no more beyond the number wanted
    int64_t available_ = 0;
    int64_t waiting_failed_ = 0;       // failed ones whose replacement pauses
    std::set<const Member*> drained_;  // by this plan
};

// A release that wants fewer instances takes none away before the first of its own serves: it may
// be one that never will.
void ServicePlanner::keep_until_proven() {
    const Release* stable = service_.find(service_.stable);
    if (stable == nullptr || stable == target_ || wanted_ == 0) return;
    const bool is_proven = std::any_of(members_.begin(), members_.end(), [](const Member& member) {
        return member.is_target && member.is_available;
    });
    const int64_t missing = target_->manifest.update.max_unavailable;
    if (!is_proven) {
        available_min_ = std::max(available_min_, int64_t{stable->instances} - missing);
        surge_ = std::max<int64_t>(surge_, 1 + stable->instances - wanted_ - missing);
    }
}

bool ServicePlanner::judge() {
    uint32_t old_left = 0;
    uint32_t available_new = 0;
    std::optional<std::string> failed;
    const Member* failing = nullptr;
    for (const Member& member : members_) {
        if (!member.runs() || member.presence != Presence::kHere) {
            if (member.runs() && member.is_finished && member.is_target) ++available_new;
            continue;
        }
        if (!member.is_target) {
            ++old_left;
            continue;
        }
        if (member.is_available) ++available_new;
        if (!failed) {
            failed = failure_of(member);
            failing = &member;
        }
    }
    if (failed) return fail_rollout(std::move(*failed), failing);
    plan_.progress[service_.key] = Progress(available_new, old_left);
    if (available_new >= wanted_ && old_left == 0) {
        act(EndRollout{service_.key, target_->number, Rollout::kDone, target_->number, "", ""});
        return true;
    }
    if (auto cause = stuck()) return fail_rollout(std::move(*cause), nullptr);
    return false;
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
        if (!member.is_target && member.runs() && member.presence == Presence::kHere) {
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
        } else if (member->is_available) {
            if (available_ - 1 >= available_min_) drain(*member);
        } else if (member->sighting != nullptr && member->state() != InstanceState::kUnknown) {
            // One that only blinks may be needed again; one that is broken for long is in the way.
            const bool is_broken = fleet_.elapsed(member->sighting->state_at) > limits_.unready_max;
            const bool is_ready = member->state() == InstanceState::kReady;
            if (available_ >= available_min_ || (is_broken && !is_ready)) drain(*member);
        }
    }
}

void ServicePlanner::drain_surplus() {
    std::vector<Member*> live;
    for (Member& member : members_) {
        if (member.is_target && member.runs() && !member.is_lost() && !drained_.contains(&member)) {
            live.push_back(&member);
        }
    }
    int64_t surplus = static_cast<int64_t>(live.size()) - wanted_;
    if (surplus <= 0) return;
    std::map<std::string_view, int> on_node;
    for (const Member* member : live) ++on_node[member->instance->node];
    // Those that do not serve go first, then where most of the service is, then the youngest.
    std::stable_sort(live.begin(), live.end(), [&](const Member* a, const Member* b) {
        return std::tuple(a->is_available, -on_node[a->instance->node], b->instance->placed_at,
                          b->instance->id) < std::tuple(b->is_available,
                                                        -on_node[b->instance->node],
                                                        a->instance->placed_at, a->instance->id);
    });
    for (Member* member : live) {
        if (surplus <= 0) break;
        if (member->presence != Presence::kHere && !member->is_finished) continue;
        if (member->is_available && available_ - 1 < available_min_) continue;
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

using Grouped = std::map<ServiceKey, std::vector<const Instance*>>;

Grouped group(const Wanted& wanted) {
    Grouped grouped;
    for (const auto& [id, instance] : wanted.instances)
        grouped[instance.service].push_back(&instance);
    return grouped;
}

}  // namespace

Plan plan(const Wanted& wanted, const Seen& seen, MonoTime now, const PlanLimits& limits) {
    Plan result;
    // Deaf, we know nothing about the present: whatever runs goes on running.
    if (!seen.listening_since) return result;
    Fleet fleet(wanted, seen, now, limits);
    result.holding = fleet.holding();
    const Grouped grouped = group(wanted);
    for (const auto& [key, service] : wanted.services) {
        const auto own = grouped.find(key);
        std::vector<Member> members;
        if (own != grouped.end()) {
            members = members_of(service, own->second, seen, fleet, limits);
        }
        ServicePlanner(service, std::move(members), fleet, now, limits, result).run();
    }
    // An instance whose service is gone (a crash between two commits can't leave one; a hand may).
    for (const auto& [key, instances] : grouped) {
        if (wanted.services.contains(key)) continue;
        for (const Instance* instance : instances) result.actions.push_back(Forget{instance->id});
    }
    return result;
}

bool is_silent(const Node& node, const Seen& seen, MonoTime now, const PlanLimits& limits) {
    return silence(node, seen, now) > limits.silent_after;
}

size_t assignment_bytes(const Release& release) {
    size_t bytes = 1024;  // names, digest, signature, probe, and their tags
    for (const std::string& argument : release.manifest.command) bytes += argument.size() + 4;
    for (const std::string& argument : release.manifest.probe.exec) bytes += argument.size() + 4;
    for (const auto& [name, value] : release.manifest.env) bytes += name.size() + value.size() + 12;
    return bytes + release.manifest.probe.path.size() + release.manifest.root.size();
}

bool is_finished(const Release& release, const Sighting* sighting) {
    return release.manifest.kind == service::Kind::kJob && sighting != nullptr &&
           sighting->status.state == InstanceState::kExited && sighting->status.exit_code == 0;
}

std::vector<service::Route> routes_of(const Service& service) {
    std::vector<service::Route> routes;
    if (service.deleting) return routes;
    const Release* target = service.find(service.target);
    const Release* stable = service.find(service.stable);
    if (target != nullptr) routes = target->manifest.routes;
    if (stable != nullptr && stable != target && target != nullptr &&
        target->rollout == Rollout::kRolling) {
        for (const service::Route& route : stable->manifest.routes) {
            const bool is_new = std::ranges::none_of(
                routes, [&](const service::Route& other) { return other.is_same_match(route); });
            if (is_new) {
                routes.push_back(route);
            }
        }
    }
    return routes;
}

void note_progress(Service& service, const Progress& progress, MonoTime now) {
    if (progress.available_new <= service.best_new && progress.old >= service.least_old) return;
    service.best_new = std::max(service.best_new, progress.available_new);
    service.least_old = std::min(service.least_old, progress.old);
    service.progress_at = now;
}

std::string to_string(const Action& action) {
    struct Format {
        std::string operator()(const CreateInstance& a) const {
            return fmt::format("create {} release {} on {}", to_string(a.service), a.release,
                               a.node);
        }
        std::string operator()(const MarkDraining& a) const { return "drain " + a.instance; }
        std::string operator()(const TellStop& a) const { return "stop " + a.instance; }
        std::string operator()(const Forget& a) const { return "forget " + a.instance; }
        std::string operator()(const EndRollout& a) const {
            return fmt::format("release {} of {} is {}{}{}", a.release, to_string(a.service),
                               to_string(a.rollout), a.cause.empty() ? "" : ": ", a.cause);
        }
        std::string operator()(const RemoveService& a) const {
            return "remove " + to_string(a.service);
        }
    };
    return std::visit(Format(), action);
}

}  // namespace candela::lighthouse
