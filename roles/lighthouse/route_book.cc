#include "route_book.h"

#include "planner.h"
#include "strategy_routes.h"

namespace candela::lighthouse {

using proto::InstanceState;

namespace {

proto::ProxyHeader proxy_header_of(http::ProxyVersion version) {
    switch (version) {
        case http::ProxyVersion::kNone: return proto::ProxyHeader::kNone;
        case http::ProxyVersion::kV1: return proto::ProxyHeader::kV1;
        case http::ProxyVersion::kV2: return proto::ProxyHeader::kV2;
    }
    return proto::ProxyHeader::kNone;
}

std::optional<proto::Endpoint> endpoint_of(const Instance& instance, const Service& service,
                                           const Seen& seen, MonoTime now,
                                           const PlanLimits& limits) {
    if (instance.stage != Stage::kRun) return std::nullopt;
    const Sighting* sighting = seen.find(instance.id);
    if (sighting == nullptr || sighting->status.state != InstanceState::kReady) return std::nullopt;
    const Release* release = service.find(instance.release);
    const bool needs_port = release != nullptr && release->manifest.kind != service::Kind::kBus;
    if (needs_port && sighting->status.port == 0) return std::nullopt;
    proto::Endpoint endpoint;
    endpoint.instance = instance.id;
    endpoint.node = instance.node;
    endpoint.port = sighting->status.port;
    endpoint.release = instance.release;
    if (release != nullptr && release->manifest.protocol == service::Protocol::kH2c) {
        endpoint.protocol = proto::EndpointProtocol::kH2c;
    }
    if (release != nullptr) {
        endpoint.proxy_header = proxy_header_of(release->manifest.proxy_protocol);
    }
    endpoint.state = proto::EndpointState::kSuspect;
    const auto node = seen.nodes.find(instance.node);
    if (node != seen.nodes.end()) {
        endpoint.machine_id = node->second.machine_id;
        endpoint.address = node->second.address;
        if (!is_silent(node->second, seen, now, limits))
            endpoint.state = proto::EndpointState::kReady;
    }
    return endpoint;
}

// Services that others' routes lead to.
std::set<ServiceKey> shared_services(const Wanted& wanted) {
    std::set<ServiceKey> out;
    for (const auto& [key, service] : wanted.services) {
        for (const service::Route& route : routes_of(service)) {
            if (route.mirror) out.emplace(key.first, route.mirror->service);
            for (const service::RouteSplit& share : route.split) {
                out.emplace(key.first, share.service);
            }
        }
    }
    return out;
}

}  // namespace

void RouteBook::purge(proto::CachePurge purge) {
    purge.id = ++table_.version;
    table_.purges.push_back(std::move(purge));
    if (table_.purges.size() > proto::kPurgesMax) table_.purges.erase(table_.purges.begin());
}

bool RouteBook::update(const Wanted& wanted, Seen& seen, MonoTime now, const PlanLimits& limits) {
    const std::set<ServiceKey> shared = shared_services(wanted);
    std::map<ServiceKey, proto::RouteService> services;
    for (const auto& [key, service] : wanted.services) {
        const auto routes = routes_of(service);
        const Release* target = service.find(service.target);
        const bool is_led_to = !routes.empty() || shared.contains(key);
        if (!is_led_to || target == nullptr) continue;
        proto::RouteService& entry = services[key];
        entry.space = key.first;
        entry.service = key.second;
        entry.kind = service::to_string(target->manifest.kind);
        entry.measure = measure_of(service);
        entry.hold_requests_max = holds_.requests_max;
        entry.hold_ms_max = static_cast<uint64_t>(
            std::chrono::duration_cast<std::chrono::milliseconds>(holds_.time_max).count());
        for (const auto& [status, page] : target->manifest.error_pages) {
            entry.error_pages.push_back(proto::ErrorPage(status, page));
        }
        entry.is_in_maintenance = service.is_in_maintenance;
        entry.maintenance_allow = target->manifest.maintenance.allow;
        entry.maintenance_retry_ms =
            static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                      target->manifest.maintenance.retry_after)
                                      .count());
        for (const service::Route& route : routes) {
            entry.routes.push_back(
                proto::Route(route.host, route.path, service::to_settings(route)));
        }
    }
    for (const auto& [id, instance] : wanted.instances) {
        const auto entry = services.find(instance.service);
        if (entry == services.end() || !instance.job.empty()) continue;
        const Service& service = wanted.services.at(instance.service);
        if (auto endpoint = endpoint_of(instance, service, seen, now, limits)) {
            entry->second.endpoints.push_back(std::move(*endpoint));
        }
    }
    for (auto& [key, entry] : services) {
        apply_strategy(wanted.services.at(key), entry.endpoints);
    }
    std::vector<proto::RouteService> list;
    list.reserve(services.size());
    for (auto& [key, entry] : services) list.push_back(std::move(entry));
    const bool changed = list != table_.services;
    if (changed) {
        table_.services = std::move(list);
        ++table_.version;
    }
    seen.routes_version = table_.version;

    std::set<std::string_view> inside;
    for (const proto::RouteService& service : table_.services) {
        for (const proto::Endpoint& endpoint : service.endpoints) inside.insert(endpoint.instance);
    }
    for (auto& [id, sighting] : seen.instances) {
        const bool was_inside = sighting.entered != 0 && sighting.left == 0;
        if (inside.contains(id)) {
            // 1 stands for "before we started" (begin_anew): who has which table is not known yet.
            if (!was_inside || sighting.entered == 1) sighting.entered = table_.version;
            if (!was_inside) sighting.entered_at = now;
            sighting.left = 0;
        } else if (was_inside) {
            sighting.left = table_.version;
        }
    }
    return changed;
}

}  // namespace candela::lighthouse
