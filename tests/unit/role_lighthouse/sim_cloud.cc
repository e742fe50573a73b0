#include "sim_cloud.h"

#include <algorithm>

namespace candela::lighthouse::sim {

using proto::InstanceState;

namespace {
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

// ---- time and the network

void SimCloud::run_for(Duration duration) {
    const MonoTime end = now_ + duration;
    while (now_ < end && broken.empty()) step(end);
}

void SimCloud::stop_faults() {
    faults_ = Faults();
    for (SimHost& host : hosts_) {
        host.cut_until = now_;
        host.slow_until = now_;
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

// The next moment at which anything can happen, on the grid of steps.
MonoTime SimCloud::next_due() const {
    MonoTime due = std::min(next_tick_, next_fault_);
    if (!network_.empty()) due = std::min(due, network_.begin()->first);
    for (const SimHost& host : hosts_) {
        if (!host.is_up) {
            due = std::min(due, host.back_at);
            continue;
        }
        MonoTime own = std::min(host.next_pull, host.next_beat);
        for (const auto& [id, instance] : host.instances) {
            if (instance.is_active) own = std::min(own, instance.due);
        }
        due = std::min(due, std::max(own, host.slow_until));
    }
    for (const SimGateway& gateway : gateways_) {
        due = std::min({due, gateway.next_pull, gateway.next_beat});
    }
    const MonoTime next = now_ + kStep;
    if (due <= next || needs_plan_) return next;
    return next + (due - next + kStep - Duration(1)) / kStep * kStep;
}

void SimCloud::step(MonoTime end) {
    now_ = std::min(next_due(), std::max(end, now_ + kStep));
    while (!network_.empty() && network_.begin()->first <= now_) {
        const auto message = std::move(network_.begin()->second);
        network_.erase(network_.begin());
        message.deliver();
    }
    if (now_ >= next_fault_) step_faults();
    for (SimHost& host : hosts_) step_host(host);
    for (SimGateway& gateway : gateways_) step_gateway(gateway);
    if (now_ >= next_tick_) needs_plan_ = true;
    if (needs_plan_) replan();
    check();
}

// Once a second on average: which of what may go wrong does.
void SimCloud::step_faults() {
    next_fault_ = now_ + 1ms * static_cast<int64_t>(100 + random_.below(1800));
    is_changed_ = true;
    if (faults_.hosts_fail && random_.below(40) == 0) {
        SimHost& host = hosts_[random_.below(hosts_.size())];
        const Duration away = 1s * static_cast<int64_t>(1 + random_.below(40));
        switch (random_.below(4)) {
            case 0: host.cut_until = now_ + away; break;
            case 1: host.slow_until = now_ + away; break;
            case 2:  // the machine is gone with all that ran on it, and starts again
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
    if (faults_.hosts_fail && random_.below(200) == 0) {
        gateways_[random_.below(gateways_.size())].cut_until = now_ + 8s;
    }
    if (faults_.hosts_fail && random_.below(100) == 0) {
        // Its counts begin anew.
        SimGateway& gateway = gateways_[random_.below(gateways_.size())];
        ++gateway.boot;
        gateway.sequence = 0;
        gateway.counted.clear();
    }
    if (faults_.instances_crash && random_.below(10) == 0) crash_one();
    if (faults_.clocks_jump && random_.below(50) == 0) {
        wall_offset_ = 1h * (static_cast<int64_t>(random_.below(96)) - 48);
    }
    if (faults_.lighthouse_restarts && random_.below(300) == 0) restart_lighthouse();
}

void SimCloud::crash_one() {
    SimHost& host = hosts_[random_.below(hosts_.size())];
    if (host.instances.empty()) return;
    auto victim = host.instances.begin();
    std::advance(victim, random_.below(host.instances.size()));
    if (victim->second.status.state != InstanceState::kReady) return;
    victim->second.status.state = InstanceState::kStarting;
    victim->second.status.port = 0;
    victim->second.due = now_ + 1s;
    victim->second.is_active = true;
    host.next_beat = now_;
}

void SimCloud::restart_lighthouse() {
    ++epoch_;
    begin_anew(wanted_, seen_, now_);
    seen_.listening_since = now_;
    assignments_ = AssignmentBook(epoch_);
    routes_ = RouteBook(epoch_, HoldLimits());
    jobs_ = JobPlanner(utc);
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
    if (now_ < host.slow_until) return;
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
    is_changed_ = true;
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
            for (const SimHost& other : hosts_) {
                if (&other != &host && other.instances.contains(spec.instance)) {
                    break_with(
                        fmt::format("{} runs on {} and {}", spec.instance, host.name, other.name));
                }
            }
        }
        found->second.spec = spec;
        found->second.is_active = true;
    }
    std::erase_if(host.instances, [&](const auto& entry) { return !wanted.contains(entry.first); });
}

void SimCloud::step_instance(SimHost& host, SimInstance& instance) {
    proto::InstanceStatus& status = instance.status;
    const InstanceState before = status.state;
    const std::string& behaviour = instance.spec.command.at(0);
    const bool is_job = instance.spec.kind == "job" && behaviour != "longjob";
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
                status.port = instance.spec.kind == "job" ? 0 : 30000;
                instance.due = now_ + 3s;
            }
        } else if (before == InstanceState::kReady && is_job) {
            const bool is_bad = behaviour == "badjob";
            status.state = is_bad ? InstanceState::kFailed : InstanceState::kExited;
            status.exit_code = is_bad ? 1 : 0;
        }
    }
    if (status.state != before) {
        host.next_beat = now_;
        is_changed_ = true;
    }
    // What serves, or has ended, stays so by itself; a job goes on to its end.
    const bool is_at_rest = (status.state == InstanceState::kReady && !is_job) ||
                            status.state == InstanceState::kExited ||
                            status.state == InstanceState::kFailed;
    instance.is_active = !is_at_rest;
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
    beat.cpu_millis_max = kHostCpuMillis;
    beat.memory_bytes_max = kHostMemoryBytes;
    beat.labels = {fmt::format("zone={}", host.name.back() % 3)};
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
    std::map<ServiceKey, uint64_t> measures;
    for (const auto& service : table.services) {
        measures[{service.space, service.service}] = service.measure;
    }
    std::erase_if(gateway.counted, [&](const auto& entry) {
        return measures[entry.first.first] != entry.second.measure;
    });
    is_changed_ = true;
    gateway.next_beat = now_;
}

// A second's requests to what is measured; some services have no clients at all.
void SimCloud::count_answers(SimGateway& gateway) {
    for (const auto& service : gateway.table.services) {
        const ServiceKey key(service.space, service.service);
        const auto wanted = wanted_.services.find(key);
        if (service.measure == 0 || wanted == wanted_.services.end()) continue;
        if (service.service == "s5") continue;
        for (const auto& endpoint : service.endpoints) {
            const Release* release = wanted->second.find(endpoint.release);
            if (release == nullptr) continue;
            auto& reading = gateway.counted[{key, endpoint.release}];
            reading.space = service.space;
            reading.service = service.service;
            reading.measure = service.measure;
            reading.release = endpoint.release;
            const std::string& behaviour = release->manifest.command.at(0);
            const Duration took = behaviour == "sluggish" ? Duration(2s) : Duration(5ms);
            if (reading.latency.empty()) {
                const auto bucket = static_cast<uint32_t>(latency_bucket(took));
                reading.latency.push_back(proto::LatencyCount(bucket, 0));
            }
            const uint64_t answers = random_.below(20);
            for (uint64_t i = 0; i < answers; ++i) {
                if (behaviour == "faulty" && random_.below(10) == 0) ++reading.failures;
            }
            reading.answers += answers;
            reading.latency[0].count += answers;
            answered_[{key, endpoint.release}] += answers;
        }
    }
}

void SimCloud::beat(SimGateway& gateway) {
    // Beats that a change calls for come earlier; each is taken for a second all the same.
    count_answers(gateway);
    gateway.next_beat = now_ + 1s;
    std::erase_if(gateway.busy, [&](const auto& entry) { return entry.second <= now_; });
    proto::NodeHeartbeat beat;
    beat.node = gateway.name;
    beat.boot_id = std::to_string(gateway.boot);
    beat.sequence = ++gateway.sequence;
    beat.roles = {"gateway"};
    beat.routes_version = gateway.table.version;
    for (const auto& [instance, until] : gateway.busy) beat.busy_instances.push_back(instance);
    for (const auto& [release, reading] : gateway.counted) beat.answers.push_back(reading);
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
        if (round > 50) return break_with("the planner never comes to rest");
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
        if (!next.actions.empty()) {
            commit(changes_of(next, wanted_, seen_, make_id, now_, wall()));
            continue;
        }
        const Change jobs = jobs_.plan(wanted_, seen_, now_, wall(), limits_, make_id);
        if (jobs.empty()) return;
        commit(jobs);
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
    is_changed_ = true;
    check_room();
}

}  // namespace candela::lighthouse::sim
