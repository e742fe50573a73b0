#pragma once

// Plans one service: whether its rollout has ended (service_rollout.cc), which instances leave and
// which come (service_planner.cc). Adds its actions to the plan, and takes room in the fleet.

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fleet.h"
#include "member.h"
#include "planner.h"

namespace candela::lighthouse {

// Plans a service that goes on, or is being deleted: `members` are all of its instances.
// `judgement`: of its canary, where that is measured.
void plan_service(const Service& service, std::vector<Member> members,
                  const std::optional<Judgement>& judgement, Fleet& fleet, MonoTime now,
                  const PlanLimits& limits, Plan& plan);

// While a release waits for its promotion, or its rollout is paused, the service is planned as two:
// the release that serves and all that is older keep their number, and so does the new one.
enum class Part : uint8_t { kWhole, kKept, kNew };

class ServicePlanner {
public:
    // Keeps `wanted` instances of `target` among the members, and none of anything else.
    ServicePlanner(const Service& service, const Release* target, int64_t wanted, Part part,
                   std::vector<Member> members, Fleet& fleet, MonoTime now,
                   const PlanLimits& limits, Plan& plan);

    // The part that is new is a canary of which that is to be said; borrowed.
    void judge_by(const std::optional<Judgement>& judgement) {
        if (judgement) judgement_ = &*judgement;
    }
    // The next call plans for what the release's end, or its promotion, made of the service.
    bool ends_rollout();
    void run();

private:
    void keep_until_proven();

    // ---- the end of a rollout (service_rollout.cc)
    bool judge();
    bool judge_new();
    bool wait_for_promotion();
    bool is_judged(Verdict verdict) const {
        return judgement_ != nullptr && judgement_->verdict == verdict;
    }
    bool time_out();
    const Member* first_new() const;
    bool is_well(const Member& member) const;
    std::optional<std::string> failure_of_any(const Member*& failing) const;
    bool fail_rollout(std::string cause, const Member* member);
    std::optional<std::string> failure_of(const Member& member) const;
    std::optional<std::string> stuck() const;

    // ---- instances that leave
    void finish_leaving();
    void forget_lost();
    size_t replace_failed();
    void drain_old();
    int64_t moving_min() const;
    bool keeps_old_until_all_new() const;
    void drain_surplus();
    void drain(Member& member);

    // ---- instances that come
    void create(size_t replacements);

    int64_t count_live(bool is_current) const {
        return std::count_if(members_.begin(), members_.end(), [&](const Member& member) {
            return member.is_live() && member.is_current() == is_current &&
                   !drained_.contains(&member);
        });
    }
    void act(Action action) { plan_.actions.push_back(std::move(action)); }

    const Service& service_;
    std::vector<Member> members_;
    Fleet& fleet_;
    const MonoTime now_;
    const PlanLimits& limits_;
    Plan& plan_;
    const Release* target_;  // null: nothing should run
    const Part part_;
    const Judgement* judgement_ = nullptr;  // null: nothing is measured
    int64_t wanted_ = 0;
    int64_t available_min_ = 0;  // an update must leave so many
    int64_t surge_ = 0;          // and have no more beyond the number wanted
    int64_t available_ = 0;
    int64_t waiting_failed_ = 0;       // failed ones whose replacement pauses
    std::set<const Member*> drained_;  // by this plan
};

}  // namespace candela::lighthouse
