#include "route_conditions.h"

#include <algorithm>

#include "http/target.h"

namespace candela::gateway {
namespace {

// Compares without decoding first: "%2F" and, in a query, "+" for a blank.
bool equals_encoded(std::string_view encoded, std::string_view plain) {
    size_t at = 0;
    for (size_t i = 0; i < encoded.size(); ++i, ++at) {
        char c = encoded[i] == '+' ? ' ' : encoded[i];
        if (const int octet = c == '%' ? http::decode_octet(encoded.substr(i)) : -1; octet >= 0) {
            c = static_cast<char>(octet);
            i += 2;
        }
        if (at >= plain.size() || plain[at] != c) return false;
    }
    return at == plain.size();
}

}  // namespace

bool query_has(std::string_view query, std::string_view name, std::string_view value) {
    while (!query.empty()) {
        const size_t end = std::min(query.find('&'), query.size());
        const std::string_view piece = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        const size_t equals = std::min(piece.find('='), piece.size());
        const std::string_view own_value = piece.substr(std::min(equals + 1, piece.size()));
        if (!equals_encoded(piece.substr(0, equals), name)) continue;
        if (value == "*" || equals_encoded(own_value, value)) return true;
    }
    return false;
}

RouteConditions::RouteConditions(const service::Route& route)
    : is_exact_(route.exact),
      methods_(route.methods),
      headers_(route.headers.begin(), route.headers.end()),
      query_(route.query.begin(), route.query.end()) {}

size_t RouteConditions::count() const {
    return (is_exact_ ? 1000U : 0U) + headers_.size() + query_.size() + (methods_.empty() ? 0 : 1);
}

bool RouteConditions::hold(const http::RouteRequest& request, bool covers_whole_path) const {
    if (is_exact_ && !covers_whole_path) return false;
    if (!methods_.empty() && std::ranges::find(methods_, request.head.method) == methods_.end()) {
        return false;
    }
    const bool has_headers = std::ranges::all_of(headers_, [&](const auto& wanted) {
        const auto value = request.head.headers.get(wanted.first);
        return value && (wanted.second == "*" || *value == wanted.second);
    });
    if (!has_headers) return false;
    return std::ranges::all_of(query_, [&](const auto& wanted) {
        return query_has(request.query, wanted.first, wanted.second);
    });
}

}  // namespace candela::gateway
