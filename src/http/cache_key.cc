#include "http/cache_key.h"

#include <algorithm>
#include <array>

namespace candela::http {
namespace {

constexpr size_t kKeyBytesMax = 16 * 1024;

bool is_one_line(std::string_view part) {
    return std::ranges::none_of(part, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

}  // namespace

bool make_cache_key(const CacheKeyParts& parts, std::string& out) {
    out.clear();
    const size_t size = parts.service.size() + parts.authority.size() + parts.target.size() + 2;
    const bool fits = size <= kKeyBytesMax && is_one_line(parts.service) &&
                      is_one_line(parts.authority) && is_one_line(parts.target);
    if (!fits) return false;
    out.append(parts.service).append("\n");
    // RFC 3986 §3.2.2: names do not differ by case.
    for (const char c : parts.authority) {
        out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    }
    out.append("\n").append(parts.target);
    return true;
}

std::optional<CacheKeyParts> parse_cache_key(std::string_view key) {
    const size_t first = key.find('\n');
    if (first == std::string_view::npos) return std::nullopt;
    const size_t second = key.find('\n', first + 1);
    if (second == std::string_view::npos) return std::nullopt;
    const CacheKeyParts parts{key.substr(0, first), key.substr(first + 1, second - first - 1),
                              key.substr(second + 1)};
    if (!is_one_line(parts.target)) return std::nullopt;
    return parts;
}

bool make_cache_origin(const CacheOriginParts& parts, std::string& out) {
    out.clear();
    const std::array all = {parts.scheme, parts.forwarded_host, parts.target, parts.prefix,
                            parts.route};
    size_t size = 0;
    for (const std::string_view part : all) {
        size += part.size() + 1;
        if (!is_one_line(part) || size > kKeyBytesMax) return false;
    }
    for (const std::string_view part : all) out.append(part).append("\n");
    return true;
}

}  // namespace candela::http
