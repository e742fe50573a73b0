#include "sim_cloud.h"

#include <algorithm>

namespace candela::lighthouse::sim {

using proto::InstanceState;

namespace {
constexpr Duration kRolloutMax = 30min;
constexpr size_t kJournalMax = 400;
}  // namespace

SimCloud::SimCloud(uint64_t seed, size_t hosts, size_t gateways, Faults faults)
    : random_(seed), faults_(faults) {
    for (size_t i = 0; i < hosts; ++i) {
        SimHost host;
        host.name = fmt::format("host-{}", i);
        hosts_.push_back(std::move(host));
    }
    for (size_t i = 0; i < gateways; ++i) {
        SimGateway gateway;
        gateway.name = fmt::format("gate-{}", i);
        gateways_.push_back(std::move(gateway));
    }
    seen_.listening_since = now_;
}

void SimCloud::break_with(std::string what) {
    if (broken.empty())
        broken = fmt::format("at {}: {}", format_duration(now_.time_since_epoch()), what);
}

// ---- what people do

void SimCloud::deploy(const std::string& name, uint32_t instances, std::string_view behaviour,
                      uint32_t surge, uint32_t unavailable) {
    Release release;
    release.manifest.name = name;
    release.manifest.kind = behaviour == "job" ? service::Kind::kJob : service::Kind::kHttp;
    release.manifest.command = {std::string(behaviour)};
    release.manifest.update.max_surge = surge;
    release.manifest.update.max_unavailable = unavailable;
    release.manifest.stop.grace = 2s;
    release.manifest.probe.start_timeout = 20s;
    if (behaviour != "job") release.manifest.routes = {service::Route(name + ".localhost", "/")};
    release.instances = instances;
    const ServiceKey key("default", name);
    const auto found = wanted_.services.find(key);
    if (found != wanted_.services.end() && found->second.deleting) return;
    commit(start_release(wanted_, key, std::move(release), now_, wall()));
}

void SimCloud::scale_to(const std::string& name, uint32_t instances) {
    const Service* found = service(name);
    if (found == nullptr || found->find(found->target) == nullptr) return;
    commit(scale(*found, instances, now_));
}

void SimCloud::remove(const std::string& name) {
    if (const Service* found = service(name)) commit(delete_service(*found));
}

const Service* SimCloud::service(const std::string& name) const {
    const auto found = wanted_.services.find(ServiceKey("default", name));
    return found == wanted_.services.end() ? nullptr : &found->second;
}

// ---- time and the network

void SimCloud::run_for(Duration duration) {
    const MonoTime end = now_ + duration;
    while (now_ < end && broken.empty()) step();
}

void SimCloud::stop_faults() {
    faults_ = Faults();
    for (SimHost& host : hosts_) {
        host.cut_until = now_;
        if (!host.is_up) host.back_at = now_;
    }
    for (SimGateway& gateway : gateways_) gateway.cut_until = now_;
}

void SimCloud::send(MonoTime cut_from, std::function<void()> deliver) {
    if (now_ < cut_from || random_.below(100) < faults_.loss_percent) return;
    const int copies = random_.below(100) < faults_.double_percent ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
        const Duration delay(static_cast<int64_t>(random_.below(faults_.delay_max.count() + 1)));
        network_.emplace(now_ + delay, Message(deliver));
    }
}

void SimCloud::step() {
    now_ += kStep;
    while (!network_.empty() && network_.begin()->first <= now_) {
        const auto message = std::move(network_.begin()->second);
        network_.erase(network_.begin());
        message.deliver();
    }
    step_faults();
    for (SimHost& host : hosts_) step_host(host);
    for (SimGateway& gateway : gateways_) step_gateway(gateway);
    if (now_ >= next_tick_) needs_plan_ = true;
    if (needs_plan_) replan();
    check_tables();
    check_rollouts();
}

void SimCloud::step_faults() {
    if (faults_.hosts_fail && random_.below(400) == 0) {
        SimHost& host = hosts_[random_.below(hosts_.size())];
        const Duration away = 1s * static_cast<int64_t>(1 + random_.below(40));
        switch (random_.below(3)) {
            case 0: host.cut_until = now_ + away; break;
            case 1:  // the machine is gone with all that ran on it, and starts again
                host.is_up = false;
                host.back_at = now_ + away;
                host.instances.clear();
                host.version = 0;
                break;
            default:  // the host's process restarts; its instances live on
                host.is_up = false;
                host.back_at = now_ + 500ms;
                host.version = 0;
        }
    }
    if (faults_.hosts_fail && random_.below(2000) == 0) {
        gateways_[random_.below(gateways_.size())].cut_until = now_ + 8s;
    }
    if (faults_.instances_crash && random_.below(100) == 0) {
        SimHost& host = hosts_[random_.below(hosts_.size())];
        if (!host.instances.empty()) {
            auto victim = host.instances.begin();
            std::advance(victim, random_.below(host.instances.size()));
            if (victim->second.status.state == InstanceState::kReady) {
                victim->second.status.state = InstanceState::kStarting;
                victim->second.status.port = 0;
                victim->second.due = now_ + 1s;
                host.next_beat = now_;
            }
        }
    }
    if (faults_.lighthouse_restarts && random_.below(3000) == 0) restart_lighthouse();
}

void SimCloud::restart_lighthouse() {
    ++epoch_;
    begin_anew(wanted_, seen_, now_);
    seen_.listening_since = now_;
    assignments_ = AssignmentBook(epoch_);
    routes_ = RouteBook(epoch_, HoldLimits());
    needs_plan_ = true;
    journal.push_back("lighthouse restarts");
}

// ---- hosts

void SimCloud::step_host(SimHost& host) {
    if (!host.is_up) {
        if (now_ < host.back_at) return;
        host.is_up = true;
        ++host.boot;
        host.sequence = 0;
        host.next_pull = now_;
        host.next_beat = now_;
    }
    if (now_ >= host.next_pull) {
        host.next_pull = now_ + 10s;
        SimHost* self = &host;
        const uint64_t known = host.version;
        const uint64_t boot = host.boot;  // a reply finds only the process that asked
        send(host.cut_until, [this, self, known, boot] {
            const auto reply = assignments_.answer(self->name, known, wanted_);
            send(self->cut_until, [this, self, reply, boot] {
                if (self->is_up && self->boot == boot) take(*self, reply);
            });
        });
    }
    for (auto& [id, instance] : host.instances) step_instance(host, instance);
    if (now_ >= host.next_beat) beat(host);
}

void SimCloud::take(SimHost& host, const proto::Assignments& assignments) {
    if (assignments.version <= host.version) return;
    host.version = assignments.version;
    host.next_beat = now_;
    std::set<std::string> wanted;
    for (const proto::InstanceSpec& spec : assignments.instances) {
        wanted.insert(spec.instance);
        auto found = host.instances.find(spec.instance);
        if (found == host.instances.end()) {
            SimInstance instance;
            instance.status.instance = spec.instance;
            instance.status.state = spec.desired == proto::Desired::kRun ? InstanceState::kPending
                                                                         : InstanceState::kExited;
            instance.due = now_ + 1ms * static_cast<int64_t>(100 + random_.below(900));
            found = host.instances.emplace(spec.instance, std::move(instance)).first;
        }
        found->second.spec = spec;
    }
    std::erase_if(host.instances, [&](const auto& entry) { return !wanted.contains(entry.first); });
}

void SimCloud::step_instance(SimHost& host, SimInstance& instance) {
    proto::InstanceStatus& status = instance.status;
    const InstanceState before = status.state;
    const std::string& behaviour = instance.spec.command.at(0);
    if (instance.spec.desired == proto::Desired::kStop && before != InstanceState::kExited &&
        before != InstanceState::kFailed) {
        if (before != InstanceState::kStopping) {
            status.state = InstanceState::kStopping;
            instance.due = now_ + 300ms;
        } else if (now_ >= instance.due) {
            status.state = InstanceState::kExited;
            status.port = 0;
        }
    } else if (now_ >= instance.due) {
        if (before == InstanceState::kPending) {
            status.state = InstanceState::kStarting;
            const bool is_slow = behaviour == "slow";
            instance.due = now_ + (is_slow ? Duration(12s) : Duration(600ms));
            if (behaviour == "never") instance.due = now_ + 20s;
        } else if (before == InstanceState::kStarting) {
            if (behaviour == "never") {
                status.state = InstanceState::kFailed;
                status.cause = "not ready within 20s";
                status.probe_answer = "HTTP 503";
                status.log_tail = {"I am never ready"};
            } else if (behaviour == "crash") {
                ++status.restarts;
                status.last_exit = "exit 1";
                instance.due = now_ + 1s;
                host.next_beat = now_;
            } else {
                status.state = InstanceState::kReady;
                status.port = behaviour == "job" ? 0 : 30000;
                instance.due = now_ + 3s;
            }
        } else if (before == InstanceState::kReady && behaviour == "job") {
            status.state = InstanceState::kExited;
            status.exit_code = 0;
        }
    }
    if (status.state != before) host.next_beat = now_;
}

void SimCloud::beat(SimHost& host) {
    host.next_beat = now_ + 1s;
    proto::NodeHeartbeat beat;
    beat.node = host.name;
    beat.boot_id = std::to_string(host.boot);
    beat.sequence = ++host.sequence;
    beat.roles = {"host"};
    beat.assignments_version = host.version;
    beat.instances_complete = true;
    for (const auto& [id, instance] : host.instances) beat.instances.push_back(instance.status);
    send(host.cut_until, [this, beat] { hear_beat(beat); });
}

// ---- gateways

void SimCloud::step_gateway(SimGateway& gateway) {
    if (now_ >= gateway.next_pull) {
        gateway.next_pull = now_ + 10s;
        SimGateway* self = &gateway;
        send(gateway.cut_until, [this, self] {
            const proto::RouteTable reply = routes_.table();
            send(self->cut_until, [this, self, reply] { take(*self, reply); });
        });
    }
    if (now_ >= gateway.next_beat) beat(gateway);
}

void SimCloud::take(SimGateway& gateway, const proto::RouteTable& table) {
    if (table.version <= gateway.table.version) return;
    std::set<std::string> inside;
    for (const auto& service : table.services) {
        for (const auto& endpoint : service.endpoints) inside.insert(endpoint.instance);
    }
    for (const auto& service : gateway.table.services) {
        for (const auto& endpoint : service.endpoints) {
            if (inside.contains(endpoint.instance)) continue;
            // A request that was in flight goes on for a while.
            gateway.busy[endpoint.instance] =
                now_ + 100ms * static_cast<int64_t>(random_.below(30));
        }
    }
    gateway.table = table;
    gateway.next_beat = now_;
}

void SimCloud::beat(SimGateway& gateway) {
    gateway.next_beat = now_ + 1s;
    std::erase_if(gateway.busy, [&](const auto& entry) { return entry.second <= now_; });
    proto::NodeHeartbeat beat;
    beat.node = gateway.name;
    beat.boot_id = "1";
    beat.sequence = ++gateway.sequence;
    beat.roles = {"gateway"};
    beat.routes_version = gateway.table.version;
    for (const auto& [instance, until] : gateway.busy) beat.busy_instances.push_back(instance);
    send(gateway.cut_until, [this, beat] { hear_beat(beat); });
}

// ---- the lighthouse

void SimCloud::hear_beat(const proto::NodeHeartbeat& beat) {
    const Heard heard = hear(beat, assignments_.version(beat.node), wanted_, seen_, now_, wall());
    if (heard.needs_plan) needs_plan_ = true;
}

void SimCloud::replan() {
    needs_plan_ = false;
    next_tick_ = now_ + 1s;
    for (int round = 0;; ++round) {
        if (routes_.update(wanted_, seen_, now_, limits_)) {
            for (SimGateway& gateway : gateways_) {
                SimGateway* self = &gateway;
                send(gateway.cut_until, [this, self] { self->next_pull = now_; });
            }
        }
        const Plan next = plan(wanted_, seen_, now_, limits_);
        holding = {next.holding.begin(), next.holding.end()};
        for (const auto& [key, progress] : next.progress) {
            note_progress(wanted_.services[key], progress, now_);
        }
        if (next.actions.empty()) return;
        if (round > 50)
            return break_with("the planner never comes to rest: " + to_string(next.actions[0]));
        for (const Action& action : next.actions) {
            check_before(action);
            journal.push_back(
                fmt::format("{} {}", format_duration(now_.time_since_epoch()), to_string(action)));
            if (journal.size() > kJournalMax) journal.erase(journal.begin());
        }
        int number = 0;
        auto make_id = [&](const ServiceKey& key) {
            return fmt::format("{}-{}-{}", key.second, now_.time_since_epoch() / 1ms,
                               round * 1000 + number++);
        };
        commit(changes_of(next, wanted_, seen_, make_id, now_, wall()));
    }
}

void SimCloud::commit(const Change& change) {
    for (const std::string& node : apply(change, wanted_, seen_)) {
        assignments_.mark(node);
        for (SimHost& host : hosts_) {
            if (host.name != node) continue;
            SimHost* self = &host;
            send(host.cut_until, [this, self] { self->next_pull = now_; });
        }
    }
    needs_plan_ = true;
}

// ---- what must always be true

void SimCloud::check_before(const Action& action) {
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

// The least that was promised lately: what gateways have follows from older promises.
uint32_t SimCloud::promised_of(const std::string& name, uint32_t promised) {
    auto& history = promises_[name];
    history.emplace_back(now_, promised);
    while (history.front().first + 30s < now_) history.pop_front();
    for (const auto& [time, number] : history) promised = std::min(promised, number);
    return promised;
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
    for (const SimGateway& gateway : gateways_) {
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
            if (serving < before->second && service.replacements == 0) {
                break_with(
                    fmt::format("{} has {} serving endpoints at {} and may have no fewer than {}",
                                entry.service, serving, gateway.name, before->second));
            }
        }
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
            if (instance.service != key) continue;
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
            if (!wanted_.instances.contains(id))
                return fmt::format("{} has {} for nobody", host.name, id);
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
