#include "heard.h"

#include <algorithm>

#include "planner.h"

namespace candela::lighthouse {

using proto::InstanceState;

bool sight(Sighting& sighting, const proto::InstanceStatus& status, MonoTime now) {
    const InstanceState before = sighting.status.state;
    const bool changed = before != status.state || sighting.status.port != status.port;
    if (before != status.state) sighting.state_at = now;
    const bool is_past_pending =
        status.state != InstanceState::kUnknown && status.state != InstanceState::kPending;
    if (is_past_pending && !sighting.started_at) sighting.started_at = now;
    if (status.state == InstanceState::kReady && !sighting.ready_at) sighting.ready_at = now;
    sighting.status = status;
    return changed;
}

namespace {

// "disk=ssd"; a label without a value is one whose value is empty.
service::Labels labels_of(const proto::NodeHeartbeat& beat) {
    service::Labels labels;
    for (const std::string& text : beat.labels) {
        const size_t equals = std::min(text.find('='), text.size());
        labels[text.substr(0, equals)] = text.substr(std::min(equals + 1, text.size()));
    }
    return labels;
}

// Only of what is measured now: a gateway may have missed that it is over.
void hear_answers(const proto::NodeHeartbeat& beat, const Wanted& wanted, Seen& seen) {
    for (const proto::AnswerReading& reading : beat.answers) {
        const ServiceKey key(reading.space, reading.service);
        const auto service = wanted.services.find(key);
        if (service == wanted.services.end() || reading.measure == 0) continue;
        if (measure_of(service->second) != reading.measure) continue;
        if (service->second.find(reading.release) == nullptr) continue;
        auto ledger = seen.answers.try_emplace(key, reading.measure).first;
        if (ledger->second.measure() != reading.measure) {
            ledger->second = AnswerLedger(reading.measure);
        }
        ledger->second.take(beat.node, beat.boot_id, reading);
    }
}

void hear_gateway(const proto::NodeHeartbeat& beat, Node& node, Heard& heard) {
    const std::set<std::string, std::less<>> busy(beat.busy_instances.begin(),
                                                  beat.busy_instances.end());
    if (node.routes_version != beat.routes_version || node.busy_instances != busy) {
        heard.needs_plan = true;
    }
    node.routes_version = beat.routes_version;
    node.certificates_version = beat.certificates_version;
    node.busy_instances = busy;
}

void hear_host(const proto::NodeHeartbeat& beat, uint64_t assignments_version, const Wanted& wanted,
               Seen& seen, MonoTime now, Heard& heard) {
    std::set<std::string_view> listed;
    for (const proto::InstanceStatus& status : beat.instances) {
        const auto instance = wanted.instances.find(status.instance);
        // What is not known, or runs where it should not, is not in the host's assignments either:
        // the host stops it by itself.
        if (instance == wanted.instances.end() || instance->second.node != beat.node) continue;
        listed.insert(instance->first);
        Sighting& sighting = seen.instances[status.instance];
        const uint32_t restarts = sighting.status.restarts;
        if (sight(sighting, status, now)) heard.changed.push_back(status.instance);
        if (restarts != status.restarts) heard.needs_plan = true;
    }
    if (!beat.instances_complete || beat.assignments_version != assignments_version) return;
    for (const auto& [id, instance] : wanted.instances) {
        if (instance.node != beat.node || listed.contains(id)) continue;
        if (instance.stage == Stage::kRun && !seen.instances.contains(id)) continue;
        proto::InstanceStatus status;
        status.instance = id;
        // One that should stop has stopped; one that should run will be started (again).
        status.state =
            instance.stage == Stage::kRun ? InstanceState::kPending : InstanceState::kExited;
        if (sight(seen.instances[id], status, now)) heard.changed.push_back(id);
    }
}

}  // namespace

Heard hear(const proto::NodeHeartbeat& beat, uint64_t assignments_version, const Wanted& wanted,
           Seen& seen, MonoTime now, WallTime wall) {
    Heard heard;
    Node& node = seen.nodes[beat.node];
    if (node.boot_id == beat.boot_id && node.heard_at && beat.sequence <= node.sequence) {
        heard.is_ignored = true;
        return heard;
    }
    if (!node.previous_boot_id.empty() && node.previous_boot_id == beat.boot_id) {
        heard.is_ignored = true;
        return heard;
    }
    heard.node_is_new = node.name.empty();
    if (node.boot_id != beat.boot_id) node.previous_boot_id = node.boot_id;
    heard.node_changed = heard.node_is_new || node.boot_id != beat.boot_id ||
                         node.version != beat.version || node.roles != beat.roles ||
                         node.machine_id != beat.machine_id || node.address != beat.address;
    heard.needs_plan = heard.node_changed || !node.heard_at || node.draining != beat.draining ||
                       node.instances_max != beat.instances_max ||
                       node.assignments_version != beat.assignments_version ||
                       node.sandbox_level != beat.sandbox_level || node.drivers != beat.drivers ||
                       node.cpu_millis_max != beat.cpu_millis_max ||
                       node.memory_bytes_max != beat.memory_bytes_max ||
                       node.ports_max != beat.ports_max;
    if (labels_of(beat) != node.labels) {
        node.labels = labels_of(beat);
        heard.needs_plan = true;
    }
    node.name = beat.node;
    node.boot_id = beat.boot_id;
    node.version = beat.version;
    node.roles = beat.roles;
    node.machine_id = beat.machine_id;
    node.address = beat.address;
    node.sequence = beat.sequence;
    node.draining = beat.draining;
    node.instances_max = beat.instances_max;
    node.assignments_version = beat.assignments_version;
    node.memory_bytes = beat.memory_bytes;
    node.cpus = beat.cpus;
    node.load_percent = beat.load_percent;
    node.protections = beat.protections;
    // Its figures may change from beat to beat: what counts is whether there is any.
    heard.trouble_changed = node.trouble.empty() != beat.trouble.empty();
    if (heard.trouble_changed) heard.needs_plan = true;
    node.trouble = beat.trouble;
    node.drivers = beat.drivers;
    node.sandbox_level = beat.sandbox_level;
    node.cpu_millis_max = beat.cpu_millis_max;
    node.memory_bytes_max = beat.memory_bytes_max;
    node.ports_max = beat.ports_max;
    node.heard_at = now;
    node.heard_wall = wall;
    if (node.has_role("gateway")) {
        hear_gateway(beat, node, heard);
        hear_answers(beat, wanted, seen);
    }
    if (node.has_role("host")) hear_host(beat, assignments_version, wanted, seen, now, heard);
    if (!heard.changed.empty()) heard.needs_plan = true;
    return heard;
}

void begin_anew(Wanted& wanted, Seen& seen, MonoTime now) {
    for (auto& [key, service] : wanted.services) {
        service.progress_at = now;
        service.best_new = 0;
        service.least_old = UINT32_MAX;
        service.well_since.reset();
        service.rollout_at = now;
        service.replacements = 0;
        service.replaced_at = MonoTime();
    }
    for (auto& [id, instance] : wanted.instances) {
        instance.placed_at = now;
        instance.stage_at = now;
    }
    for (auto& [name, node] : seen.nodes) {
        node.heard_at.reset();
        node.sequence = 0;
        node.routes_version = 0;
        node.certificates_version = 0;
        node.busy_instances.clear();
    }
    for (auto& [id, sighting] : seen.instances) {
        const proto::InstanceStatus status = std::exchange(sighting.status, {});
        sighting = Sighting();
        sight(sighting, status, now);
        sighting.state_at = now;
        // Gateways may still serve a table that has it, whatever its state is now.
        sighting.entered = 1;
        sighting.entered_at = now;
    }
    seen.answers.clear();
    seen.listening_since.reset();
    seen.routes_version = 0;
}

}  // namespace candela::lighthouse
