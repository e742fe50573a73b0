#include "update_course.h"

#include "base/text.h"
#include "planner.h"

namespace candela::lighthouse {

namespace {

std::string count_of(uint32_t instances) {
    return fmt::format("{} instance{}", instances, instances == 1 ? "" : "s");
}

std::string canary_course(const Release& release, uint64_t stable) {
    const service::Update& update = release.manifest.update;
    const std::string share = update.canary_weight == 0
                                  ? "the share of the requests that their number makes"
                                  : fmt::format("{} % of the requests", update.canary_weight);
    return fmt::format("{} of {} beside all of release {}, with {}", canaries_of(release),
                       count_of(release.instances), stable, share);
}

std::string promotion_course(const Release& release) {
    const service::Update& update = release.manifest.update;
    if (update.is_promoted_by_hand) {
        return fmt::format("the rest follows when somebody says candela ctl promote {}",
                           release.manifest.name);
    }
    std::string well = fmt::format("the rest follows once all of that has been well for {}",
                                   format_duration(update.promote_after));
    if (!update.analysis) return well;
    return fmt::format("{}, and has answered {} requests", well, update.analysis->requests_min);
}

}  // namespace

std::vector<std::string> course_of(const Service* service, const Release& release) {
    const service::Update& update = release.manifest.update;
    const Release* stable = service == nullptr ? nullptr : service->find(service->stable);
    if (release.instances == 0) return {"nothing of it runs: it has no instances"};
    // As start_release() has it: there is nothing to run beside.
    if (stable == nullptr || stable->instances == 0) {
        return {fmt::format("{} at once", count_of(release.instances))};
    }
    switch (update.strategy) {
        case service::UpdateStrategy::kRolling:
            return {
                fmt::format("{}, one after the other: at most {} more and {} fewer than that "
                            "meanwhile",
                            count_of(release.instances), update.max_surge, update.max_unavailable)};
        case service::UpdateStrategy::kBlueGreen:
            return {fmt::format("{} beside all of release {}, without requests",
                                count_of(release.instances), stable->number),
                    update.is_promoted_by_hand
                        ? fmt::format("they get all requests when somebody says candela ctl "
                                      "promote {}",
                                      release.manifest.name)
                        : fmt::format("they get all requests once they have been well for {}",
                                      format_duration(update.promote_after))};
        case service::UpdateStrategy::kCanary: break;
    }
    std::vector<std::string> course = {canary_course(release, stable->number),
                                       promotion_course(release)};
    if (!update.analysis) return course;
    course.push_back("what has to hold: " + describe(*update.analysis));
    course.push_back(update.is_promoted_by_hand
                         ? "where it does not, it is rolled back, whoever says what"
                         : fmt::format("where it does not, or can't be told within {}, it is "
                                       "rolled back",
                                       format_duration(update.analysis->timeout)));
    return course;
}

}  // namespace candela::lighthouse
