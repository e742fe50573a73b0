// What people do to the simulated cloud.

#include "sim_cloud.h"

namespace candela::lighthouse::sim {

namespace {

ValueKey value_key(bool restarts) {
    return ValueKey{"default", service::ValueKind::kSecret, restarts ? "password" : "certificate"};
}

// Each minute, with a behaviour of its own.
service::Job job_of(const std::string& behaviour) {
    service::Job job;
    job.name = behaviour;
    job.command = {behaviour};
    job.schedule = "* * * * *";
    job.retries = kSimRetries;
    job.backoff = 2s;
    job.timeout = 20s;
    job.history = 5;
    if (behaviour == "badjob") job.missed = service::Missed::kOnce;
    if (behaviour == "longjob") job.overlap = service::Overlap::kReplace;
    return job;
}

service::ValueUse use_of(bool restarts) {
    service::ValueUse use;
    use.name = value_key(restarts).name;
    (restarts ? use.env : use.file) = use.name;
    if (!restarts) use.on_change = service::OnChange::kSignal;
    return use;
}

}  // namespace

void SimCloud::change_value(bool restarts) {
    NewValue value;
    value.key = value_key(restarts);
    value.bytes = 10;
    value.author = "somebody";
    // Refused while a rollout is paused.
    const auto change = lighthouse::change_value(wanted_, value, now_, wall());
    if (change) commit(*change);
}

void SimCloud::deploy(const std::string& name, uint32_t instances, std::string_view behaviour,
                      uint32_t surge, uint32_t unavailable) {
    Release release;
    release.manifest = wish;
    release.manifest.name = name;
    release.manifest.kind = behaviour == "job" ? service::Kind::kJob : service::Kind::kHttp;
    release.manifest.command = {std::string(behaviour)};
    if (behaviour == "job") release.manifest.update.strategy = service::UpdateStrategy::kRolling;
    release.manifest.update.max_surge = surge;
    release.manifest.update.max_unavailable = unavailable;
    release.manifest.stop.grace = 2s;
    release.manifest.probe.start_timeout = 20s;
    if (behaviour != "job") release.manifest.routes = {service::Route(name + ".localhost", "/")};
    release.instances = instances;
    for (const char* job : {"job", "badjob", "longjob"}) {
        release.manifest.jobs.push_back(job_of(job));
    }
    for (const bool restarts : {true, false}) {
        if (!wanted_.values.contains(value_key(restarts))) change_value(restarts);
        release.manifest.values.push_back(use_of(restarts));
    }
    release.values = *pin_values(wanted_.values, "default", release.manifest);
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

void SimCloud::set_mode(size_t host, NodeMode mode) {
    const auto node = seen_.nodes.find(hosts_[host].name);
    if (node != seen_.nodes.end()) commit(set_node_mode(node->second, mode));
}

void SimCloud::open_all() {
    for (size_t i = 0; i < hosts_.size(); ++i) set_mode(i, NodeMode::kOpen);
}

void SimCloud::pause(const std::string& name, bool paused) {
    const Service* found = service(name);
    const Release* target = found == nullptr ? nullptr : found->find(found->target);
    if (target == nullptr || found->deleting || target->rollout != Rollout::kRolling) return;
    if (found->find(found->stable) == nullptr || found->paused == paused) return;
    commit(set_paused(*found, paused, now_));
}

void SimCloud::promote_by_hand(const std::string& name) {
    const Service* found = service(name);
    const Release* target = found == nullptr ? nullptr : found->find(found->target);
    if (target == nullptr || found->deleting || target->rollout != Rollout::kRolling) return;
    if (target->promoted || found->paused || !found->well_since) return;
    commit(promote(*found, now_));
}

void SimCloud::take_back_by_hand(const std::string& name) {
    const Service* found = service(name);
    const Release* target = found == nullptr ? nullptr : found->find(found->target);
    if (target == nullptr || found->deleting || target->rollout != Rollout::kRolling) return;
    if (found->stable == 0 || found->stable == target->number) return;
    commit(take_back(*found, "somebody", now_, wall()));
}

void SimCloud::settle_people() {
    std::vector<std::string> names;
    for (const auto& [key, found] : wanted_.services) names.push_back(key.second);
    for (const std::string& name : names) {
        pause(name, false);
        promote_by_hand(name);
    }
}

const Service* SimCloud::service(const std::string& name) const {
    const auto found = wanted_.services.find(ServiceKey("default", name));
    return found == wanted_.services.end() ? nullptr : &found->second;
}

}  // namespace candela::lighthouse::sim
