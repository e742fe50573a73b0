#include "fleet.h"

#include <algorithm>
#include <tuple>

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
    size_t known = 0;
    size_t vanished = 0;
    for (const auto& [name, node] : seen_.nodes) {
        if (!node.has_role("host")) continue;
        Host& host = hosts_[name];
        host.node = &node;
        host.instances_max = node.instances_max != 0 ? node.instances_max : limits_.instances_max;
        const bool silent = is_silent(node, seen_, now_, limits_);
        host.presence = silent ? Presence::kLost : Presence::kHere;
        // A node that was not heard since we started may be long gone: it keeps what it has and
        // gets nothing new.
        host.is_candidate = !silent && node.heard_at && !node.draining;
        // A host that is away for longer than the guard waits no longer counts as one of the cloud.
        if (silence(node, seen_, now_) > limits_.hold_for) continue;
        ++known;
        // Those that vanish together are not noticed together: whoever has missed a few beats
        // counts.
        if (silence(node, seen_, now_) > limits_.silent_after * 6 / 10) ++vanished;
    }
    const bool is_storm = known >= 3 && vanished * 2 > known;
    for (auto& [name, host] : hosts_) {
        if (!is_storm || host.presence != Presence::kLost) continue;
        if (silence(*host.node, seen_, now_) > limits_.hold_for) continue;
        host.presence = Presence::kHeld;
        holding_.push_back(name);
    }
    for (const auto& [id, instance] : wanted.instances) {
        const auto host = hosts_.find(instance.node);
        if (host == hosts_.end()) continue;
        ++host->second.instances;
        if (instance.stage == Stage::kRun) ++host->second.services[instance.service];
        const auto service = wanted.services.find(instance.service);
        if (service == wanted.services.end()) continue;
        if (const Release* release = service->second.find(instance.release)) {
            host->second.bytes += assignment_bytes(*release);
        }
    }
}

Fleet::Presence Fleet::presence(std::string_view node) const {
    const auto host = hosts_.find(node);
    if (host != hosts_.end()) return host->second.presence;
    // A node that nobody knows is gone, unless we can't hear anyone.
    return seen_.listening_since && elapsed(MonoTime::min()) > limits_.silent_after
               ? Presence::kLost
               : Presence::kHere;
}

namespace {

// A host that does not say has been there before there were walls.
int rank_of_level(std::string_view level) {
    if (level == "strict") return 2;
    return level == "isolated" ? 1 : 0;
}

}  // namespace

bool Fleet::fits(const Host& host, const Release& release) const {
    return has_capacity(host, release) &&
           rank_of_level(host.node->sandbox_level) >= static_cast<int>(release.manifest.sandbox);
}

std::string Fleet::why_no_room(const Release& release) const {
    const Host* best = nullptr;
    for (const auto& [name, host] : hosts_) {
        if (!has_capacity(host, release)) continue;
        const bool is_better = best == nullptr || rank_of_level(host.node->sandbox_level) >
                                                      rank_of_level(best->node->sandbox_level);
        if (is_better) best = &host;
    }
    if (best == nullptr) return "no host is ready to take another instance";
    const std::string& level = best->node->sandbox_level;
    return fmt::format(
        "no host has the walls that it requires (sandbox level \"{}\"; the most is "
        "\"{}\", on {}: `candela ctl nodes show {}` says what is missing)",
        service::to_string(release.manifest.sandbox), level.empty() ? "none" : level,
        best->node->name, best->node->name);
}

bool Fleet::has_capacity(const Host& host, const Release& release) const {
    return host.is_candidate && host.instances < host.instances_max &&
           host.bytes + assignment_bytes(release) <= limits_.assignment_bytes_max;
}

bool Fleet::has_room(const Release& release) const {
    return std::any_of(hosts_.begin(), hosts_.end(),
                       [&](const auto& entry) { return fits(entry.second, release); });
}

std::string Fleet::place(const ServiceKey& service, const Release& release) {
    Host* best = nullptr;
    auto rank = [&](const Host& host) {
        const auto own = host.services.find(service);
        const uint32_t same = own == host.services.end() ? 0 : own->second;
        // Share of room taken in 1/1000, so that small hosts do not get as much as large ones.
        return std::tuple(same, host.instances * 1000 / host.instances_max, host.instances);
    };
    for (auto& [name, host] : hosts_) {
        if (!fits(host, release)) continue;
        if (best == nullptr || rank(host) < rank(*best)) best = &host;
    }
    if (best == nullptr) return {};
    ++best->instances;
    ++best->services[service];
    best->bytes += assignment_bytes(release);
    return best->node->name;
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
