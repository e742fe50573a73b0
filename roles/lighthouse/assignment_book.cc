#include "assignment_book.h"

#include <algorithm>

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

// What is another of an attempt of a job.
void set_job(proto::InstanceSpec& spec, const Instance& instance, const Release& release,
             const Wanted& wanted) {
    spec.kind = service::to_string(service::Kind::kJob);
    spec.probe = proto::Probe();
    const auto job = std::ranges::find(release.manifest.jobs, instance.job, &service::Job::name);
    spec.command.clear();
    if (job != release.manifest.jobs.end()) spec.command = job->command;
    const auto state =
        wanted.jobs.find(JobKey{instance.service.first, instance.service.second, instance.job});
    const JobRun* run = state == wanted.jobs.end() ? nullptr : state->second.find(instance.run);
    if (run == nullptr) return;
    spec.command.insert(spec.command.end(), run->arguments.begin(), run->arguments.end());
    const auto add = [&](const char* name, std::string value) {
        spec.env.push_back(proto::EnvironmentVariable(name, std::move(value)));
    };
    add("CANDELA_JOB", instance.job);
    add("CANDELA_JOB_RUN", std::to_string(run->number));
    add("CANDELA_JOB_ATTEMPT", std::to_string(run->attempt));
    if (run->scheduled_at != WallTime()) {
        add("CANDELA_JOB_SCHEDULED_AT", format_rfc3339(run->scheduled_at));
    }
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
            if (!instance.job.empty()) {
                set_job(reply.instances.back(), instance, *release, wanted);
            }
        }
    }
    return reply;
}

}  // namespace candela::lighthouse
