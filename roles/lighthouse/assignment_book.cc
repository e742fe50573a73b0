#include "assignment_book.h"

namespace candela::lighthouse {

namespace {

uint64_t millis(Duration duration) {
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

proto::Probe probe_of(const service::Probe& probe) {
    proto::Probe wire;
    switch (probe.type) {
        case service::Probe::Type::kNone: wire.kind = proto::ProbeKind::kNone; break;
        case service::Probe::Type::kHttp: wire.kind = proto::ProbeKind::kHttp; break;
        case service::Probe::Type::kTcp: wire.kind = proto::ProbeKind::kTcp; break;
        case service::Probe::Type::kExec: wire.kind = proto::ProbeKind::kExec; break;
    }
    wire.path = probe.path;
    wire.command = probe.exec;
    wire.interval_ms = millis(probe.interval);
    wire.timeout_ms = millis(probe.timeout);
    wire.start_timeout_ms = millis(probe.start_timeout);
    return wire;
}

proto::InstanceSpec spec_of(const Instance& instance, const Release& release, uint64_t epoch) {
    const service::Manifest& manifest = release.manifest;
    proto::InstanceSpec spec;
    spec.instance = instance.id;
    spec.space = instance.service.first;
    spec.service = instance.service.second;
    spec.release = instance.release;
    spec.kind = service::to_string(manifest.kind);
    spec.command = manifest.command;
    for (const auto& [name, value] : manifest.env) {
        spec.env.push_back(proto::EnvironmentVariable(name, value));
    }
    spec.probe = probe_of(manifest.probe);
    spec.stop_grace_ms = millis(manifest.stop.grace);
    spec.bundle = release.bundle;
    spec.bundle_bytes = release.bundle_bytes;
    spec.signature = release.signature;
    spec.signer = release.signer;
    spec.desired =
        instance.stage == Stage::kStopping ? proto::Desired::kStop : proto::Desired::kRun;
    spec.draining = instance.stage == Stage::kDraining;
    spec.epoch = epoch;
    spec.root = manifest.root;
    spec.sandbox_level = service::to_string(manifest.sandbox);
    spec.has_no_network = !manifest.has_network;
    // What is set aside for an instance is also the most that it gets, unless [limits] say
    // otherwise.
    const service::Limits& limits = manifest.limits;
    const service::Resources& resources = manifest.resources;
    spec.memory_bytes_max = limits.memory_bytes != 0 ? limits.memory_bytes : resources.memory_bytes;
    spec.cpu_percent_max =
        limits.cpu_percent != 0 ? limits.cpu_percent : (resources.cpu_millis + 9) / 10;
    spec.pids_max = limits.pids;
    spec.scratch_bytes_max = limits.scratch_bytes;
    for (const service::ValueUse& use : manifest.values) {
        const auto pin = release.values.find({use.kind, use.name});
        if (pin == release.values.end()) continue;
        proto::ValueUse value;
        value.kind = service::to_string(use.kind);
        value.name = use.name;
        value.version = pin->second;
        value.env = use.env;
        value.file = use.file;
        value.mode = use.mode;
        if (use.on_change == service::OnChange::kSignal) value.signal = use.signal;
        spec.values.push_back(std::move(value));
    }
    if (manifest.driver == service::Driver::kDocker) {
        const service::Container& container = manifest.container;
        spec.container.image = container.image;
        spec.container.is_host_network = container.is_host_network;
        spec.container.port = container.port;
        spec.container.user = container.user;
        spec.container.is_writable = container.is_writable;
    }
    return spec;
}

}  // namespace

proto::Assignments AssignmentBook::answer(const std::string& node, uint64_t known,
                                          const Wanted& wanted) const {
    proto::Assignments reply;
    reply.version = version(node);
    reply.epoch = epoch_;
    if (known == reply.version) return reply;
    for (const auto& [id, instance] : wanted.instances) {
        if (instance.node != node) continue;
        const auto service = wanted.services.find(instance.service);
        if (service == wanted.services.end()) continue;
        // Releases with instances are never pruned, so that there is always something to say.
        if (const Release* release = service->second.find(instance.release)) {
            reply.instances.push_back(spec_of(instance, *release, epoch_));
        }
    }
    return reply;
}

}  // namespace candela::lighthouse
