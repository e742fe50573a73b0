#include "planner.h"

#include <algorithm>
#include <set>

#include "fleet.h"
#include "service_planner.h"

namespace candela::lighthouse {

namespace {

using Grouped = std::map<ServiceKey, std::vector<const Instance*>>;

Grouped group(const Wanted& wanted) {
    Grouped grouped;
    for (const auto& [id, instance] : wanted.instances) {
        // Of what belongs to jobs the job planner sees to.
        if (instance.job.empty()) grouped[instance.service].push_back(&instance);
    }
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
    std::set<ServiceKey> with_jobs;
    for (const auto& [id, instance] : wanted.instances) {
        if (!instance.job.empty()) with_jobs.insert(instance.service);
    }
    for (const auto& [key, service] : wanted.services) {
        const auto own = grouped.find(key);
        std::vector<Member> members;
        if (own != grouped.end()) {
            members = members_of(service, own->second, seen, fleet, limits);
        }
        // It goes when the last attempt of a job has ended.
        if (service.deleting && members.empty() && with_jobs.contains(key)) continue;
        plan_service(service, std::move(members), judgement_of(service, seen), fleet, now, limits,
                     result);
    }
    // An instance whose service is gone (a crash between two commits can't leave one; a hand may).
    for (const auto& [key, instances] : grouped) {
        if (wanted.services.contains(key)) continue;
        for (const Instance* instance : instances) result.actions.push_back(Forget{instance->id});
    }
    return result;
}

Duration silence_allowed(const Node& node, const Seen& seen, const PlanLimits& limits) {
    const bool was_heard =
        node.heard_at && seen.listening_since && *node.heard_at >= *seen.listening_since;
    return was_heard ? limits.silent_after : std::max(limits.arrive_max, limits.silent_after);
}

bool is_silent(const Node& node, const Seen& seen, MonoTime now, const PlanLimits& limits) {
    return silence(node, seen, now) > silence_allowed(node, seen, limits);
}

uint32_t canaries_of(const Release& release) {
    const service::Update& update = release.manifest.update;
    if (update.strategy != service::UpdateStrategy::kCanary) return release.instances;
    const uint32_t share = (release.instances * update.canary_percent + 99) / 100;
    return std::min(std::max<uint32_t>(share, 1), release.instances);
}

uint64_t measure_of(const Service& service) {
    const Release* target = service.find(service.target);
    if (service.deleting || target == nullptr || target->promoted) return 0;
    if (target->rollout != Rollout::kRolling || !target->manifest.update.analysis) return 0;
    if (service.find(service.stable) == nullptr || service.stable == service.target) return 0;
    // Two that have the same number were not made in the same millisecond.
    constexpr uint64_t kNumbers = 1024;
    return static_cast<uint64_t>(unix_millis(target->created_at)) * kNumbers +
           target->number % kNumbers;
}

std::optional<Judgement> judgement_of(const Service& service, const Seen& seen) {
    const uint64_t measure = measure_of(service);
    if (measure == 0) return std::nullopt;
    const auto found = seen.answers.find(service.key);
    const AnswerLedger none;
    const bool is_known = found != seen.answers.end() && found->second.measure() == measure;
    const AnswerLedger& ledger = is_known ? found->second : none;
    return judge_canary(*service.find(service.target)->manifest.update.analysis,
                        ledger.of(service.target), ledger.of(service.stable));
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
           sighting->status.state == proto::InstanceState::kExited &&
           sighting->status.exit_code == 0;
}

std::vector<service::Route> routes_of(const Service& service) {
    std::vector<service::Route> routes;
    if (service.deleting) return routes;
    const Release* target = service.find(service.target);
    const Release* stable = service.find(service.stable);
    // Green shows nothing of itself before it takes over.
    const bool is_green = target != nullptr && stable != nullptr && !target->promoted &&
                          target->manifest.update.strategy == service::UpdateStrategy::kBlueGreen;
    if (is_green) return stable->manifest.routes;
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
    if (progress.is_well) {
        if (!service.well_since) service.well_since = now;
        service.progress_at = now;  // to be well is all that it can do
        return;
    }
    service.well_since.reset();
    if (progress.available_new <= service.best_new && progress.old >= service.least_old) return;
    service.best_new = std::max(service.best_new, progress.available_new);
    service.least_old = std::min(service.least_old, progress.old);
    service.progress_at = now;
}

}  // namespace candela::lighthouse
