// What must always be true of the simulated cloud, and what of one that came to rest.

#include "sim_cloud.h"

#include <algorithm>

namespace candela::lighthouse::sim {

using proto::InstanceState;

namespace {
constexpr Duration kRolloutMax = 30min;
constexpr Duration kRunMax = 15min;
constexpr Duration kCheckInterval = 1s;  // of what changes with time alone
}  // namespace

void SimCloud::check() {
    if (!is_changed_ && now_ < next_check_) return;
    is_changed_ = false;
    next_check_ = now_ + kCheckInterval;
    check_tables();
    check_rollouts();
    check_values();
    check_jobs();
}

// Nothing that is measured takes over by itself that does worse, or has answered too little.
void SimCloud::check_promotion(const Promote& action) {
    const Service& service = wanted_.services.at(action.service);
    if (measure_of(service) == 0) return;
    const Release& release = *service.find(action.release);
    const std::string& behaviour = release.manifest.command.at(0);
    const uint64_t answered = answered_[{action.service, action.release}];
    const bool is_old_the_same = service.find(service.stable)->manifest.command.at(0) == behaviour;
    const bool is_worse = (behaviour == "faulty" || behaviour == "sluggish") && !is_old_the_same;
    if (answered < release.manifest.update.analysis->requests_min || is_worse) {
        break_with(fmt::format("release {} of {}, which is {}, is promoted after {} answers",
                               action.release, action.service.second, behaviour, answered));
    }
}

void SimCloud::check_before(const Action& action) {
    if (const auto* promote = std::get_if<Promote>(&action)) check_promotion(*promote);
    const auto* stop = std::get_if<TellStop>(&action);
    if (stop == nullptr) return;
    const Instance& instance = wanted_.instances.at(stop->instance);
    const Sighting* sighting = seen_.find(stop->instance);
    const bool has_ended =
        sighting != nullptr && (sighting->status.state == InstanceState::kExited ||
                                sighting->status.state == InstanceState::kFailed);
    const Service& service = wanted_.services.at(instance.service);
    const Release* release = service.find(instance.release);
    const Duration drain_max = release->manifest.stop.grace + limits_.drain_max;
    if (has_ended || now_ - instance.stage_at >= drain_max) return;
    for (const SimGateway& gateway : gateways_) {
        const auto known = seen_.nodes.find(gateway.name);
        if (known == seen_.nodes.end() || is_silent(known->second, seen_, now_, limits_)) continue;
        for (const auto& entry : gateway.table.services) {
            for (const auto& endpoint : entry.endpoints) {
                if (endpoint.instance == stop->instance) {
                    break_with(fmt::format("{} is told to stop while {} sends to it",
                                           stop->instance, gateway.name));
                }
            }
        }
    }
}

// No host is ever asked for more than it has.
void SimCloud::check_room() {
    std::map<std::string_view, std::pair<uint64_t, uint64_t>> taken;
    for (const auto& [id, instance] : wanted_.instances) {
        const Release* release = wanted_.services.at(instance.service).find(instance.release);
        if (is_finished(*release, seen_.find(id))) continue;
        auto& [cpu, memory] = taken[instance.node];
        cpu += release->manifest.resources.cpu_millis;
        memory += release->manifest.resources.memory_bytes;
        if (cpu > kHostCpuMillis || memory > kHostMemoryBytes) {
            return break_with(fmt::format("{} is asked for more than it has", instance.node));
        }
    }
}

// The least that was promised lately: what gateways have follows from older promises.
uint32_t SimCloud::promised_of(const std::string& name, uint32_t promised) {
    auto& history = promises_[name];
    history.emplace_back(now_, promised);
    while (history.front().first + 30s < now_) history.pop_front();
    for (const auto& [time, number] : history) promised = std::min(promised, number);
    return promised;
}

// One whose pulls were all lost for as long as the planner waits for a gateway is waited for no
// longer (PlanLimits::routed_max), and was promised nothing.
bool SimCloud::is_given_up(SimGateway& gateway) {
    if (gateway.table.version == routes_.table().version)
        gateway.behind_since.reset();
    else if (!gateway.behind_since)
        gateway.behind_since = now_;
    return gateway.behind_since && now_ - *gateway.behind_since > limits_.routed_max - 2s;
}

// Without faults of hosts or instances, every gateway always has enough endpoints of a service that
// was once up, whatever updates, rollbacks and scalings do.
void SimCloud::check_tables() {
    if (faults_.hosts_fail || faults_.instances_crash) {
        floors_.clear();
        faults_felt_until_ = now_ + 1min;
    }
    if (now_ < faults_felt_until_) return;
    std::map<std::string, const SimInstance*> running;
    for (const SimHost& host : hosts_) {
        for (const auto& [id, instance] : host.instances) running[id] = &instance;
    }
    for (SimGateway& gateway : gateways_) {
        const bool is_waited_for = !is_given_up(gateway);
        for (const auto& entry : gateway.table.services) {
            const auto found = wanted_.services.find(ServiceKey(entry.space, entry.service));
            if (found == wanted_.services.end() || found->second.deleting) continue;
            const Service& service = found->second;
            const Release* target = service.find(service.target);
            const Release* stable = service.find(service.stable);
            if (target == nullptr || stable == nullptr) continue;
            uint32_t serving = 0;
            for (const auto& endpoint : entry.endpoints) {
                const auto instance = running.find(endpoint.instance);
                if (instance != running.end() &&
                    instance->second->status.state == InstanceState::kReady) {
                    ++serving;
                }
            }
            // What is promised is the least of what was and what is wanted, until that many serve
            // again.
            const uint32_t missing = std::max(target->manifest.update.max_unavailable,
                                              stable->manifest.update.max_unavailable);
            const uint32_t least = std::min(target->instances, stable->instances);
            const uint32_t promised =
                promised_of(entry.service, least > missing ? least - missing : 0);
            const auto key = std::pair(gateway.name, entry.service);
            const auto before = floors_.try_emplace(key, 0).first;
            before->second = serving >= promised ? promised : std::min(before->second, promised);
            if (!is_waited_for) before->second = std::min(before->second, serving);
            if (serving < before->second && service.replacements == 0) {
                break_with(
                    fmt::format("{} has {} serving endpoints at {} and may have no fewer than {}",
                                entry.service, serving, gateway.name, before->second));
            }
        }
    }
}

// What a release is pinned to is there as long as anything runs, or may run again by itself.
void SimCloud::check_values() {
    const auto check_release = [&](const Service& service, uint64_t number) {
        const Release* release = service.find(number);
        if (release == nullptr) return;
        for (const auto& [use, version] : release->values) {
            const auto versions = wanted_.values.find(ValueKey{"default", use.first, use.second});
            if (versions != wanted_.values.end() && versions->second.contains(version)) continue;
            break_with(fmt::format("release {} of {} misses version {} of {}", number,
                                   service.key.second, version, use.second));
        }
    };
    for (const auto& [key, service] : wanted_.services) {
        check_release(service, service.target);
        check_release(service, service.stable);
    }
    for (const auto& [id, instance] : wanted_.instances) {
        check_release(wanted_.services.at(instance.service), instance.release);
    }
}

// No time is decided twice, runs overlap only where they may, each makes as many attempts as it
// may, and ends; and every attempt is of a run that knows it.
void SimCloud::check_jobs() {
    std::map<std::pair<JobKey, uint64_t>, MonoTime> active;
    for (const auto& [key, job] : wanted_.jobs) {
        size_t running = 0;
        auto& decided = decided_[key];
        for (const auto& [number, run] : job.runs) {
            const uint64_t first = decided.try_emplace(run.scheduled_at, number).first->second;
            if (first != number) {
                break_with(fmt::format("runs {} and {} of {} are of the same time", first, number,
                                       to_string(key)));
            }
            if (run.attempt > kSimRetries + 1)
                break_with(fmt::format("run {} of {} tries too often", number, to_string(key)));
            if (!run.is_active()) continue;
            if (run.state == RunState::kRunning) ++running;
            const auto id = std::pair(key, number);
            const auto since = active_since_.find(id);
            active[id] = since == active_since_.end() ? now_ : since->second;
            if (now_ - active[id] > kRunMax)
                break_with(fmt::format("run {} of {} never ends", number, to_string(key)));
        }
        if (running > 1) break_with(fmt::format("{} runs of {} overlap", running, to_string(key)));
        if (job.runs.size() > 2 * 5 + kActiveRunsMax)
            break_with(fmt::format("{} has a history of {}", to_string(key), job.runs.size()));
    }
    active_since_ = std::move(active);
    std::erase_if(decided_, [&](const auto& of) { return !wanted_.jobs.contains(of.first); });
    for (const auto& [id, instance] : wanted_.instances) {
        if (instance.job.empty()) continue;
        const auto job = wanted_.jobs.find(
            JobKey{instance.service.first, instance.service.second, instance.job});
        const JobRun* run = job == wanted_.jobs.end() ? nullptr : job->second.find(instance.run);
        if (run == nullptr || run->instance != id || run->state != RunState::kRunning)
            break_with(fmt::format("{} is of no run", id));
    }
}

void SimCloud::check_rollouts() {
    std::map<std::pair<ServiceKey, uint64_t>, MonoTime> rolling;
    for (const auto& [key, service] : wanted_.services) {
        if (service.deleting) continue;
        for (const auto& [number, release] : service.releases) {
            if (release.rollout != Rollout::kRolling) {
                if (release.rollout != Rollout::kDone && release.cause.empty()) {
                    break_with(
                        fmt::format("release {} of {} ended without a cause", number, key.second));
                }
                continue;
            }
            const auto id = std::pair(key, number);
            const auto since = rolling_since_.find(id);
            rolling[id] = since == rolling_since_.end() ? now_ : since->second;
            // What waits for a person is at rest; a canary that is judged waits for nobody.
            const service::Update& update = release.manifest.update;
            const bool is_judged = update.analysis && !update.is_promoted_by_hand;
            const bool is_at_rest =
                service.paused || (!release.promoted && service.well_since && !is_judged);
            if (is_at_rest) rolling[id] = now_;
            if (now_ - rolling[id] > kRolloutMax) {
                break_with(fmt::format("release {} of {} never ends", number, key.second));
            }
        }
    }
    rolling_since_ = std::move(rolling);
}

std::string SimCloud::why_not_converged() const {
    std::map<std::string, std::map<std::string, int>> running;
    for (const auto& [key, service] : wanted_.services) {
        if (service.deleting) return fmt::format("{} is not deleted", key.second);
        const Release* target = service.find(service.target);
        if (target != nullptr && target->rollout == Rollout::kRolling) {
            return fmt::format("release {} of {} is still rolling", target->number, key.second);
        }
        const uint32_t wanted = target == nullptr ? 0 : target->instances;
        uint32_t good = 0;
        for (const auto& [id, instance] : wanted_.instances) {
            if (instance.service != key || !instance.job.empty()) continue;
            const Sighting* sighting = seen_.find(id);
            const InstanceState state =
                sighting == nullptr ? InstanceState::kUnknown : sighting->status.state;
            const bool is_well = instance.release == service.target &&
                                 instance.stage == Stage::kRun &&
                                 (state == InstanceState::kReady || is_finished(*target, sighting));
            if (!is_well) {
                return fmt::format("{} of release {} is {} and {}", id, instance.release,
                                   to_string(instance.stage), proto::to_string(state));
            }
            ++good;
        }
        if (good != wanted)
            return fmt::format("{} has {} of {} instances", key.second, good, wanted);
    }
    for (const SimHost& host : hosts_) {
        for (const auto& [id, instance] : host.instances) {
            const auto known = wanted_.instances.find(id);
            // Runs come and go each minute.
            const bool is_run = std::ranges::any_of(instance.spec.env, [](const auto& variable) {
                return variable.name == "CANDELA_JOB";
            });
            if (is_run) continue;
            if (known == wanted_.instances.end())
                return fmt::format("{} has {} for nobody", host.name, id);
            const Service& of = wanted_.services.at(known->second.service);
            for (const proto::ValueUse& use : instance.spec.values) {
                const auto kind = *service::parse_value_kind(use.kind);
                if (use.version != of.find(known->second.release)->values.at({kind, use.name}))
                    return fmt::format("{} runs with an old {}", id, use.name);
            }
        }
    }
    for (const SimGateway& gateway : gateways_) {
        if (gateway.table.services != routes_.table().services) {
            return fmt::format("{} serves an old table", gateway.name);
        }
    }
    return "";
}

}  // namespace candela::lighthouse::sim
