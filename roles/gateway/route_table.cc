#include "route_table.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "base/text.h"
#include "http/target.h"
#include "route_options.h"

namespace candela::gateway {
namespace {

std::string without_slash_at_end(std::string path) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    return path;
}

}  // namespace

RouteTable::RouteTable(proto::RouteTable table, const RouteTable* previous, const KeysOf& keys_of)
    : table_(std::move(table)) {
    // The order of services decides between two that claim one route, so it must not be chance.
    std::sort(table_.services.begin(), table_.services.end(), [](const auto& a, const auto& b) {
        return std::tie(a.space, a.service) < std::tie(b.space, b.service);
    });
    for (size_t i = 0; i < table_.services.size(); ++i) {
        const ServiceOptions service = service_options(table_.services[i]);
        for (const proto::Route& route : table_.services[i].routes) {
            add(i, route, service, previous, keys_of);
        }
    }
}

std::string RouteTable::name_of(size_t service_index) const {
    const proto::RouteService& service = table_.services[service_index];
    return service.space + "/" + service.service;
}

size_t RouteTable::index_of_name(RouteName name) {
    const auto [place, is_new] =
        route_indexes_.try_emplace(name.service + " " + name.route, route_names_.size());
    if (is_new) route_names_.push_back(std::move(name));
    return place->second;
}

RouteTable::Host& RouteTable::host_of(const std::string& name) {
    if (name.empty()) return any_;
    std::string host = ascii_lower(name);
    if (host.starts_with("*.")) return wildcards_[host.substr(1)];
    return hosts_[std::move(host)];
}

http::RouteOptionsPtr RouteTable::options_of(const service::Route& settings, const std::string& key,
                                             const ServiceOptions& service,
                                             const RouteTable* previous, const KeysOf& keys_of) {
    const auto known = options_.find(key);
    if (known != options_.end()) return known->second;
    const auto* kept = previous == nullptr ? nullptr : &previous->options_;
    http::RouteOptionsPtr options = kept != nullptr && kept->contains(key)
                                        ? kept->find(key)->second
                                        : make_route_options(settings, service, keys_of);
    options_.emplace(key, options);
    return options;
}

void RouteTable::add(size_t service_index, const proto::Route& route, const ServiceOptions& service,
                     const RouteTable* previous, const KeysOf& keys_of) {
    const std::string name = name_of(service_index);
    // A path that has no normal form can't be asked for either.
    auto normal = http::normalize_path(route.path);
    if (!normal) {
        problems_.push_back(
            fmt::format("{} of {}: {}", route.path, name, normal.error().message()));
        return;
    }
    Rule rule;
    rule.service = service_index;
    if (!route.settings.empty()) {
        auto settings = service::route_from_settings(route.settings);
        if (!settings) {
            // Without them it might let in what they keep out.
            problems_.push_back(fmt::format("{}{} of {} is not served: {}", route.host, route.path,
                                            name, settings.error().message()));
            return;
        }
        rule.conditions = RouteConditions(*settings);
        const std::string key = fmt::format("{} {} {}", name, service.identity, route.settings);
        rule.options = options_of(*settings, key, service, previous, keys_of);
    } else if (!service.is_plain()) {
        rule.options =
            options_of(service::Route(), name + " " + service.identity, service, previous, keys_of);
    }
    if (rule.options != nullptr && rule.options->client_authority != nullptr) {
        asks_.push_back(
            tls::CertificateAsk(ascii_lower(route.host), rule.options->client_authority));
    }
    const std::string host = route.host.empty() ? "*" : ascii_lower(route.host);
    std::string prefix = without_slash_at_end(std::move(*normal));
    rule.route = index_of_name(RouteName{name, host + (prefix.empty() ? "/" : prefix)});
    add_rule(host_of(route.host), std::move(prefix), std::move(rule), route);
}

void RouteTable::add_rule(Host& host, std::string prefix, Rule rule, const proto::Route& route) {
    host.prefix_bytes_max = std::max(host.prefix_bytes_max, prefix.size());
    std::vector<Rule>& rules = host.rules[prefix];
    const auto same = std::ranges::find(rules, rule.conditions, &Rule::conditions);
    if (same != rules.end()) {
        if (same->service != rule.service) {
            problems_.push_back(fmt::format("{}{}/ of {} is already {}'s", route.host, prefix,
                                            name_of(rule.service), name_of(same->service)));
        }
        return;
    }
    const size_t count = rule.conditions.count();
    const auto place = std::ranges::find_if(
        rules, [count](const Rule& other) { return other.conditions.count() < count; });
    rules.insert(place, std::move(rule));
}

std::optional<RouteTable::Match> RouteTable::find(const http::RouteRequest& request) const {
    if (const auto place = hosts_.find(request.host); place != hosts_.end()) {
        if (auto match = find_in(place->second, request)) return match;
    }
    if (!wildcards_.empty()) {
        const size_t label_end = std::min(request.host.find('.'), request.host.size());
        const auto place = wildcards_.find(request.host.substr(label_end));
        if (label_end > 0 && place != wildcards_.end()) {
            if (auto match = find_in(place->second, request)) return match;
        }
    }
    return find_in(any_, request);
}

std::optional<RouteTable::Match> RouteTable::find_in(const Host& host,
                                                     const http::RouteRequest& request) const {
    if (host.rules.empty()) return std::nullopt;
    const std::string_view path = request.path;
    // Borders from the longest prefix that any route has, backwards: at a slash, or at the end.
    size_t border = path.size();
    if (border > host.prefix_bytes_max) {
        border = path.substr(0, host.prefix_bytes_max + 1).rfind('/');
    }
    while (border != std::string_view::npos) {
        const auto place = host.rules.find(path.substr(0, border));
        if (place != host.rules.end()) {
            const bool covers_whole_path = border == path.size() || path == "/";
            for (const Rule& rule : place->second) {
                if (!rule.conditions.hold(request, covers_whole_path)) continue;
                return Match{&table_.services[rule.service], rule.service, border, rule.options,
                             rule.route};
            }
        }
        if (border == 0) break;
        border = path.rfind('/', border - 1);
    }
    return std::nullopt;
}

}  // namespace candela::gateway
