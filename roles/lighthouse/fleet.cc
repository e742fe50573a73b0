#include "fleet.h"

#include <algorithm>

#include "planner.h"

namespace candela::lighthouse {

Fleet::Fleet(const Wanted& wanted, const Seen& seen, MonoTime now, const PlanLimits& limits)
    : seen_(seen), now_(now), limits_(limits) {
    find_hosts(wanted);
    for (const auto& [name, node] : seen.nodes) {
        // One that we have not heard since we started is known from before: it serves who knows
        // what.
        if (!is_silent(node, seen, now, limits) && node.has_role("gateway"))
            gateways_.push_back(&node);
    }
}

void Fleet::find_hosts(const Wanted& wanted) {
    hosts_.reserve(seen_.nodes.size());
    by_name_.reserve(seen_.nodes.size());
    for (const auto& [name, node] : seen_.nodes) {
        if (!node.has_role("host")) continue;
        Host& host = hosts_.emplace_back();
        by_name_.emplace(name, &host);
        host.node = &node;
        host.labels = node.labels;
        host.labels["node"] = name;
        host.instances_max = node.instances_max != 0 ? node.instances_max : limits_.instances_max;
        const bool silent = is_silent(node, seen_, now_, limits_);
        host.presence = silent ? Presence::kLost : Presence::kHere;
        // A node that was not heard since we started may be long gone: it keeps what it has and
        // gets nothing new.
        host.is_candidate =
            !silent && node.heard_at && !node.draining && node.mode == NodeMode::kOpen;
    }
    count_instances(wanted);
    hold_in_storm(wanted);
    for (Host& host : hosts_) {
        if (host.is_candidate) candidates_.insert(&host);
    }
}

void Fleet::count_instances(const Wanted& wanted) {
    // Instances come by their ids, which begin with their service: most have the release of the one
    // before.
    const Service* service = nullptr;
    const Release* release = nullptr;
    std::optional<Needs> needs;
    OwnHosts* own = nullptr;
    uint64_t own_release = 0;
    for (const auto& [id, instance] : wanted.instances) {
        Host* host = find(instance.node);
        if (host == nullptr) continue;
        if (service == nullptr || service->key != instance.service) {
            const auto found = wanted.services.find(instance.service);
            service = found == wanted.services.end() ? nullptr : &found->second;
            release = nullptr;
            own = nullptr;
        }
        if (instance.stage == Stage::kRun && instance.job.empty()) {
            if (own == nullptr || own_release != instance.release) {
                own = &own_[std::pair(instance.service, instance.release)];
                own_release = instance.release;
            }
            ++(*own)[host];
        }
        if (service == nullptr) {
            ++host->instances;
            continue;
        }
        if (release == nullptr || release->number != instance.release) {
            release = service->find(instance.release);
            needs.reset();
            if (release != nullptr) needs.emplace(*release);
        }
        if (!needs) {
            ++host->instances;
        } else if (release->manifest.kind == service::Kind::kJob &&
                   is_finished(*release, seen_.find(id))) {
            ++host->instances;  // it is listed still, and takes nothing more
            host->bytes += needs->bytes;
        } else {
            take(*host, *needs);
        }
    }
}

void Fleet::hold_in_storm(const Wanted& wanted) {
    std::set<std::string_view> used;
    for (const auto& [id, instance] : wanted.instances) used.insert(instance.node);
    size_t known = 0;
    size_t vanished = 0;
    for (const Host& host : hosts_) {
        // A host that is away for longer than the guard waits, or whose instances are replaced
        // already, no longer counts as one of the cloud: it did not vanish with the others.
        const Duration gone = silence(*host.node, seen_, now_);
        if (gone > limits_.hold_for) continue;
        if (gone > limits_.together && !used.contains(host.node->name)) continue;
        ++known;
        // Those that vanish together are not noticed together: whoever has missed a few beats
        // counts.
        if (gone > silence_allowed(*host.node, seen_, limits_) * 6 / 10) ++vanished;
    }
    if (vanished < 2 || vanished * 2 <= known) return;
    for (Host& host : hosts_) {
        if (host.presence != Presence::kLost) continue;
        if (silence(*host.node, seen_, now_) > limits_.hold_for) continue;
        host.presence = Presence::kHeld;
        holding_.push_back(host.node->name);
    }
}

bool Fleet::is_draining(std::string_view node) const {
    const Host* host = find(node);
    return host != nullptr && host->node->mode == NodeMode::kDraining;
}

Fleet::Presence Fleet::presence(std::string_view node) const {
    if (const Host* host = find(node)) return host->presence;
    // A node that nobody knows is gone, unless we can't hear anyone.
    return seen_.listening_since && elapsed(MonoTime::min()) > limits_.arrive_max ? Presence::kLost
                                                                                  : Presence::kHere;
}

bool Fleet::gateways_serve(uint64_t version) const {
    return std::all_of(gateways_.begin(), gateways_.end(), [&](const Node* gateway) {
        return gateway->routes_version >= version &&
               gateway->routes_version <= seen_.routes_version;
    });
}

bool Fleet::is_busy(std::string_view instance) const {
    return std::any_of(gateways_.begin(), gateways_.end(), [&](const Node* gateway) {
        return gateway->busy_instances.contains(instance);
    });
}

Duration Fleet::elapsed(MonoTime since) const {
    if (!seen_.listening_since) return Duration::zero();
    return std::max(Duration::zero(), now_ - std::max(since, *seen_.listening_since));
}

}  // namespace candela::lighthouse
