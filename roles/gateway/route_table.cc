#include "route_table.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "base/text.h"
#include "http/target.h"

namespace candela::gateway {
namespace {

std::string without_slash_at_end(std::string path) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    return path;
}

}  // namespace

RouteTable::RouteTable(proto::RouteTable table) : table_(std::move(table)) {
    // The order of services decides between two that claim one route, so it must not be chance.
    std::sort(table_.services.begin(), table_.services.end(), [](const auto& a, const auto& b) {
        return std::tie(a.space, a.service) < std::tie(b.space, b.service);
    });
    for (size_t i = 0; i < table_.services.size(); ++i) {
        const proto::RouteService& service = table_.services[i];
        for (const proto::Route& route : service.routes) {
            Host& host = route.host.empty() ? any_ : hosts_[ascii_lower(route.host)];
            // A path that has no normal form can't be asked for either.
            auto normal = http::normalize_path(route.path);
            if (!normal) {
                conflicts_.push_back(fmt::format("{} of {}/{}: {}", route.path, service.space,
                                                 service.service, normal.error().message()));
                continue;
            }
            const std::string path = without_slash_at_end(std::move(*normal));
            host.prefix_bytes_max = std::max(host.prefix_bytes_max, path.size());
            const auto [place, is_new] = host.services.emplace(path, i);
            if (is_new || place->second == i) continue;
            const proto::RouteService& other = table_.services[place->second];
            conflicts_.push_back(fmt::format("{}{}/ of {}/{} is already {}/{}'s", route.host, path,
                                             service.space, service.service, other.space,
                                             other.service));
        }
    }
}

std::optional<RouteTable::Match> RouteTable::find(std::string_view host,
                                                  std::string_view path) const {
    if (const auto place = hosts_.find(host); place != hosts_.end()) {
        if (const auto match = find_in(place->second, path)) return match;
    }
    return find_in(any_, path);
}

std::optional<RouteTable::Match> RouteTable::find_in(const Host& host,
                                                     std::string_view path) const {
    if (host.services.empty()) return std::nullopt;
    // Borders from the longest prefix that any route has, backwards: at a slash, or at the end.
    size_t border = path.size();
    if (border > host.prefix_bytes_max) {
        border = path.substr(0, host.prefix_bytes_max + 1).rfind('/');
    }
    while (border != std::string_view::npos) {
        const auto place = host.services.find(path.substr(0, border));
        if (place != host.services.end()) {
            return Match{&table_.services[place->second], place->second, border};
        }
        if (border == 0) break;
        border = path.rfind('/', border - 1);
    }
    return std::nullopt;
}

}  // namespace candela::gateway
