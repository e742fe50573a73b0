#include "changes.h"

#include <algorithm>

namespace candela::lighthouse {

namespace {

constexpr size_t kTailLines = 20;

Service head_of(const Service& service) {
    Service head = service;
    head.releases.clear();
    return head;
}

void begin_rollout(Service& service, MonoTime now) {
    service.progress_at = now;
    service.best_new = 0;
    service.least_old = UINT32_MAX;
    service.well_since.reset();
    service.rollout_at = now;
    service.replacements = 0;
    service.paused = false;
}

// Turns actions into records, keeping one working copy of each service.
class Builder {
public:
    Builder(const Wanted& wanted, const Seen& seen, const MakeInstanceId& make_id, MonoTime now,
            WallTime wall)
        : wanted_(wanted), seen_(seen), make_id_(make_id), now_(now), wall_(wall) {}

    void operator()(const CreateInstance& action) {
        Instance instance;
        instance.id = make_id_(action.service);
        instance.service = action.service;
        instance.release = action.release;
        instance.node = action.node;
        instance.created_at = wall_;
        instance.placed_at = now_;
        instance.stage_at = now_;
        say("instance_placed", action.service, instance.id,
            fmt::format("release {} on {}", action.release, action.node));
        change_.instances.push_back(std::move(instance));
        if (!action.is_replacement) return;
        Service& service = head(action.service);
        const bool is_old = service.replaced_at + 10min < now_;
        service.replacements = is_old ? 1 : service.replacements + 1;
        service.replaced_at = now_;
    }
    void operator()(const MarkDraining& action) { move_to(action.instance, Stage::kDraining); }
    void operator()(const TellStop& action) { move_to(action.instance, Stage::kStopping); }
    void operator()(const Forget& action) {
        const Instance& instance = wanted_.instances.at(action.instance);
        change_.gone_instances.push_back(action.instance);
        say("instance_gone", instance.service, instance.id, fmt::format("from {}", instance.node));
    }
    void operator()(const EndRollout& action) {
        const Service& before = wanted_.services.at(action.service);
        Release release = *before.find(action.release);
        release.rollout = action.rollout;
        release.ended_at = wall_;
        release.cause = action.cause;
        note_failing(release, action.instance);
        Service& service = head(action.service);
        service.target = action.target;
        if (action.rollout == Rollout::kDone) service.stable = action.release;
        service.paused = false;
        if (action.target != action.release) begin_rollout(service, now_);
        say(fmt::format("release_{}", to_string(action.rollout)), action.service,
            std::to_string(action.release), action.cause);
        prune(before, service, release.number);
        change_.releases.emplace_back(action.service, std::move(release));
    }
    void operator()(const Promote& action) {
        const Service& before = wanted_.services.at(action.service);
        append(promote(before, now_, action.why));
    }
    void operator()(const RemoveService& action) {
        heads_.erase(action.service);
        change_.gone_services.push_back(action.service);
        say("service_deleted", action.service, "", "");
    }

    Change finish() {
        for (auto& [key, service] : heads_) change_.services.push_back(std::move(service));
        return std::move(change_);
    }

private:
    void append(Change change) {
        for (Service& service : change.services) heads_[service.key] = std::move(service);
        for (auto& release : change.releases) change_.releases.push_back(std::move(release));
        for (EventRecord& event : change.events) change_.events.push_back(std::move(event));
    }
    Service& head(const ServiceKey& key) {
        const auto found = heads_.find(key);
        if (found != heads_.end()) return found->second;
        return heads_.emplace(key, head_of(wanted_.services.at(key))).first->second;
    }
    void move_to(const std::string& id, Stage stage) {
        Instance instance = wanted_.instances.at(id);
        instance.stage = stage;
        instance.stage_at = now_;
        say(fmt::format("instance_{}", to_string(stage)), instance.service, id, "");
        change_.instances.push_back(std::move(instance));
    }
    void note_failing(Release& release, const std::string& id) const {
        const auto instance = wanted_.instances.find(id);
        const Sighting* sighting = seen_.find(id);
        if (instance == wanted_.instances.end() || sighting == nullptr) return;
        const proto::InstanceStatus& status = sighting->status;
        release.failing.instance = id;
        release.failing.node = instance->second.node;
        release.failing.last_exit = status.last_exit;
        release.failing.probe_answer = status.probe_answer;
        const size_t skip =
            status.log_tail.size() > kTailLines ? status.log_tail.size() - kTailLines : 0;
        release.failing.log_tail.assign(status.log_tail.begin() + static_cast<ptrdiff_t>(skip),
                                        status.log_tail.end());
    }
    void prune(const Service& before, const Service& after, uint64_t ended) {
        if (before.releases.size() <= kReleasesMax) return;
        std::set<uint64_t> used = {after.target, after.stable, ended};
        for (const auto& [id, instance] : wanted_.instances) {
            if (instance.service == before.key) used.insert(instance.release);
        }
        size_t excess = before.releases.size() - kReleasesMax;
        for (const auto& [number, release] : before.releases) {
            if (excess == 0) break;
            if (used.contains(number) || release.rollout == Rollout::kRolling) continue;
            change_.gone_releases.emplace_back(before.key, number);
            --excess;
        }
    }
    void say(std::string kind, const ServiceKey& service, std::string subject, std::string text) {
        change_.events.push_back(EventRecord(std::move(kind), service.first, service.second,
                                             std::move(subject), std::move(text)));
    }

    const Wanted& wanted_;
    const Seen& seen_;
    const MakeInstanceId& make_id_;
    MonoTime now_;
    WallTime wall_;
    std::map<ServiceKey, Service> heads_;
    Change change_;
};

}  // namespace

Change changes_of(const Plan& plan, const Wanted& wanted, const Seen& seen,
                  const MakeInstanceId& make_id, MonoTime now, WallTime wall) {
    Builder builder(wanted, seen, make_id, now, wall);
    for (const Action& action : plan.actions) std::visit(builder, action);
    return builder.finish();
}

Release copy_of(const Release& old, std::string_view reason) {
    Release release;
    release.manifest = old.manifest;
    release.instances = old.instances;
    release.bundle = old.bundle;
    release.bundle_bytes = old.bundle_bytes;
    release.signature = old.signature;
    release.signer = old.signer;
    release.copy_of = old.number;
    release.reason = reason;
    return release;
}

Change start_release(const Wanted& wanted, const ServiceKey& key, Release release, MonoTime now,
                     WallTime wall) {
    Change change;
    Service service;
    const auto found = wanted.services.find(key);
    if (found != wanted.services.end()) {
        service = head_of(found->second);
        const Release* before = found->second.find(service.target);
        if (before != nullptr && before->rollout == Rollout::kRolling) {
            Release superseded = *before;
            superseded.rollout = Rollout::kSuperseded;
            superseded.ended_at = wall;
            superseded.cause = fmt::format("release {} came", service.last_number + 1);
            change.releases.emplace_back(key, std::move(superseded));
        }
    } else {
        service.key = key;
        service.created_at = wall;
    }
    release.number = ++service.last_number;
    release.created_at = wall;
    release.rollout = Rollout::kRolling;
    // What has nothing to be compared with takes over by itself, and so does as a canary what
    // served before. Green waits until all of it is ready, whatever it is: it gets all requests at
    // once.
    const Release* stable =
        found == wanted.services.end() ? nullptr : found->second.find(service.stable);
    const service::UpdateStrategy strategy = release.manifest.update.strategy;
    release.promoted = strategy == service::UpdateStrategy::kRolling || stable == nullptr ||
                       stable->instances == 0 || release.instances == 0 ||
                       (strategy == service::UpdateStrategy::kCanary && release.copy_of != 0);
    service.target = release.number;
    begin_rollout(service, now);
    change.events.push_back(EventRecord("release_started", key.first, key.second,
                                        std::to_string(release.number), release.author));
    change.releases.emplace_back(key, std::move(release));
    change.services.push_back(std::move(service));
    return change;
}

Change scale(const Service& service, uint32_t instances, MonoTime now) {
    Change change;
    Release release = *service.find(service.target);
    change.events.push_back(EventRecord("service_scaled", service.key.first, service.key.second, "",
                                        fmt::format("{} to {}", release.instances, instances)));
    release.instances = instances;
    const Release* stable = service.find(service.stable);
    if (!release.promoted && stable != nullptr && stable->number != release.number) {
        // The one that serves meanwhile, and goes on should this one fail.
        Release serving = *stable;
        serving.instances = instances;
        change.releases.emplace_back(service.key, std::move(serving));
    }
    change.releases.emplace_back(service.key, std::move(release));
    Service head = head_of(service);
    head.progress_at = now;
    change.services.push_back(std::move(head));
    return change;
}

Change maintain(const Service& service, bool is_on) {
    Change change;
    Service head = head_of(service);
    if (head.is_in_maintenance == is_on) return change;
    head.is_in_maintenance = is_on;
    change.events.push_back(EventRecord("service_maintenance", service.key.first,
                                        service.key.second, "", is_on ? "on" : "off"));
    change.services.push_back(std::move(head));
    return change;
}

Change delete_service(const Service& service) {
    Change change;
    Service head = head_of(service);
    head.deleting = true;
    change.events.push_back(
        EventRecord("service_deleting", service.key.first, service.key.second, "", ""));
    change.services.push_back(std::move(head));
    return change;
}

Change promote(const Service& service, MonoTime now, std::string why) {
    Change change;
    Release release = *service.find(service.target);
    release.promoted = true;
    Service head = head_of(service);
    begin_rollout(head, now);
    change.events.push_back(EventRecord("release_promoted", service.key.first, service.key.second,
                                        std::to_string(release.number), std::move(why)));
    change.releases.emplace_back(service.key, std::move(release));
    change.services.push_back(std::move(head));
    return change;
}

Change set_paused(const Service& service, bool paused, MonoTime now) {
    Change change;
    Service head = head_of(service);
    begin_rollout(head, now);
    head.paused = paused;
    change.events.push_back(EventRecord(paused ? "release_paused" : "release_resumed",
                                        service.key.first, service.key.second,
                                        std::to_string(service.target), ""));
    change.services.push_back(std::move(head));
    return change;
}

Change take_back(const Service& service, std::string_view who, MonoTime now, WallTime wall) {
    Change change;
    Release release = *service.find(service.target);
    release.rollout = Rollout::kRolledBack;
    release.ended_at = wall;
    release.cause = fmt::format("taken back by {}", who);
    Service head = head_of(service);
    head.target = service.stable;
    begin_rollout(head, now);
    change.events.push_back(EventRecord("release_rolled_back", service.key.first,
                                        service.key.second, std::to_string(release.number),
                                        release.cause));
    change.releases.emplace_back(service.key, std::move(release));
    change.services.push_back(std::move(head));
    return change;
}

Change set_lock(const Service& service, Lock lock) {
    Change change;
    Service head = head_of(service);
    const bool is_lock = !lock.holder.empty();
    change.events.push_back(EventRecord(
        is_lock ? "service_locked" : "service_unlocked", service.key.first, service.key.second,
        is_lock ? lock.holder : service.lock.holder, is_lock ? lock.reason : std::string()));
    head.lock = std::move(lock);
    change.services.push_back(std::move(head));
    return change;
}

Change set_node_mode(const Node& node, NodeMode mode) {
    Change change;
    change.node_modes.emplace_back(node.name, mode);
    change.events.push_back(
        EventRecord(fmt::format("node_is_{}", to_string(mode)), "", "", node.name, ""));
    return change;
}

Change remove_node(const Node& node) {
    Change change;
    change.gone_nodes.push_back(node.name);
    change.events.push_back(EventRecord("node_removed", "", "", node.name, ""));
    return change;
}

std::set<std::string> apply(const Change& change, Wanted& wanted, Seen& seen) {
    std::set<std::string> nodes;
    for (const Service& head : change.services) {
        Service& service = wanted.services[head.key];
        auto releases = std::move(service.releases);
        service = head;
        service.releases = std::move(releases);
    }
    for (const auto& [key, release] : change.releases) {
        Release& kept = wanted.services[key].releases[release.number];
        const bool has_new_values = kept.number != 0 && kept.values != release.values;
        kept = release;
        if (!has_new_values) continue;
        for (const auto& [id, instance] : wanted.instances) {
            if (instance.service == key && instance.release == release.number)
                nodes.insert(instance.node);
        }
    }
    for (const auto& [key, number] : change.gone_releases)
        wanted.services[key].releases.erase(number);
    for (const Instance& instance : change.instances) {
        nodes.insert(instance.node);
        wanted.instances[instance.id] = instance;
    }
    for (const std::string& id : change.gone_instances) {
        const auto instance = wanted.instances.find(id);
        if (instance == wanted.instances.end()) continue;
        nodes.insert(instance->second.node);
        wanted.instances.erase(instance);
        seen.instances.erase(id);
    }
    for (const ServiceKey& key : change.gone_services) {
        wanted.services.erase(key);
        seen.answers.erase(key);
        std::erase_if(wanted.jobs, [&](const auto& entry) {
            return entry.first.space == key.first && entry.first.service == key.second;
        });
    }
    // What was measured ends with what it was measured for.
    for (const Service& head : change.services) {
        const auto service = wanted.services.find(head.key);
        if (service != wanted.services.end() && measure_of(service->second) == 0) {
            seen.answers.erase(head.key);
        }
    }
    for (const auto& [key, head] : change.jobs) {
        JobState& job = wanted.jobs[key];
        auto runs = std::move(job.runs);
        job = head;
        job.runs = std::move(runs);
    }
    for (const auto& [key, run] : change.job_runs) wanted.jobs[key].runs[run.number] = run;
    for (const auto& [key, number] : change.gone_job_runs) wanted.jobs[key].runs.erase(number);
    for (const JobKey& key : change.gone_jobs) wanted.jobs.erase(key);
    for (const auto& [key, number] : change.gone_values) {
        const auto versions = wanted.values.find(key);
        if (versions == wanted.values.end()) continue;
        versions->second.erase(number);
        if (versions->second.empty()) wanted.values.erase(versions);
    }
    for (const ValueWrite& write : change.values) {
        wanted.values[write.key][write.version.number] = write.version;
    }
    for (const auto& [key, number] : change.gone_flags) {
        const auto versions = wanted.flags.find(key);
        if (versions == wanted.flags.end()) continue;
        versions->second.erase(number);
        if (versions->second.empty()) wanted.flags.erase(versions);
    }
    for (const auto& [key, version] : change.flags) wanted.flags[key][version.number] = version;
    for (const auto& [name, mode] : change.node_modes) {
        const auto node = seen.nodes.find(name);
        if (node != seen.nodes.end()) node->second.mode = mode;
    }
    for (const std::string& name : change.gone_nodes) seen.nodes.erase(name);
    return nodes;
}

}  // namespace candela::lighthouse
