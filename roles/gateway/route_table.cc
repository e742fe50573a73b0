#include "route_table.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace candela::gateway {
namespace {

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// RFC 3986 §2.3.
bool is_unreserved(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

// Appends `text` with escapes of unreserved characters undone; others stay as they are.
void append_unescaped(std::string_view text, std::string& out) {
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size()) {
            const int high = hex_value(text[i + 1]);
            const int low = hex_value(text[i + 2]);
            const char value = static_cast<char>(high * 16 + low);
            if (high >= 0 && low >= 0 && is_unreserved(value)) {
                out += value;
                i += 2;
                continue;
            }
        }
        out += text[i];
    }
}

// Removes dot segments in place; false where the path climbs above the root.
bool remove_dot_segments(std::string& path) {
    size_t out = 0;
    size_t at = 0;
    while (at < path.size()) {  // path[at] is the slash before a segment
        size_t end = path.find('/', at + 1);
        if (end == std::string::npos) end = path.size();
        const std::string_view segment(path.data() + at + 1, end - at - 1);
        const bool is_last = end == path.size();
        if (segment == "..") {
            if (out == 0) return false;
            while (path[--out] != '/') {}
            if (is_last) path[out++] = '/';
        } else if (segment == ".") {
            if (is_last) path[out++] = '/';
        } else {
            std::copy(path.begin() + static_cast<ptrdiff_t>(at),
                      path.begin() + static_cast<ptrdiff_t>(end),
                      path.begin() + static_cast<ptrdiff_t>(out));
            out += end - at;
        }
        at = end;
    }
    path.resize(out);
    if (path.empty()) path = "/";
    return true;
}

std::string without_slash_at_end(std::string path) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    return path;
}

}  // namespace

std::string_view normalize_host(std::string_view authority, std::string& buffer) {
    std::string_view host = authority;
    const size_t bracket = host.starts_with('[') ? host.find(']') : std::string_view::npos;
    if (bracket != std::string_view::npos) {
        host = host.substr(0, bracket + 1);
    } else if (const size_t colon = host.find(':'); colon != std::string_view::npos) {
        host = host.substr(0, colon);
    }
    if (host.ends_with('.')) host.remove_suffix(1);
    if (host.size() > kHostBytesMax) return {};
    buffer.assign(host);
    for (char& c : buffer) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return buffer;
}

std::optional<std::string_view> normalize_path(std::string_view target, std::string& buffer) {
    std::string_view path = target.substr(0, target.find_first_of("?#"));
    if (path.empty() || path.front() != '/') return path == "*" ? std::optional("/") : std::nullopt;
    if (path.find('%') == std::string_view::npos && path.find("/.") == std::string_view::npos) {
        return path;
    }
    buffer.clear();
    append_unescaped(path, buffer);
    if (!remove_dot_segments(buffer)) return std::nullopt;
    return buffer;
}

RouteTable::RouteTable(proto::RouteTable table) : table_(std::move(table)) {
    // The order of services decides between two that claim one route, so it must not be chance.
    std::sort(table_.services.begin(), table_.services.end(), [](const auto& a, const auto& b) {
        return std::tie(a.space, a.service) < std::tie(b.space, b.service);
    });
    std::string buffer;
    for (size_t i = 0; i < table_.services.size(); ++i) {
        const proto::RouteService& service = table_.services[i];
        for (const proto::Route& route : service.routes) {
            Host& host = route.host.empty() ? any_ : hosts_[ascii_lower(route.host)];
            std::string path(normalize_path(route.path, buffer).value_or("/"));
            path = without_slash_at_end(std::move(path));
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
