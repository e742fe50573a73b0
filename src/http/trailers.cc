#include "http/trailers.h"

#include <algorithm>
#include <array>

namespace candela::http {
namespace {

// In alphabetical order.
constexpr std::string_view kNeverTrailers[] = {
    "age",
    "authentication-info",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "warning",
    "www-authenticate",
    "x-real-ip",
};
static_assert(std::ranges::is_sorted(kNeverTrailers));
constexpr size_t kNameMax = 25;
static_assert(std::ranges::all_of(kNeverTrailers,
                                  [](std::string_view name) { return name.size() <= kNameMax; }));
constexpr std::string_view kForwarding = "x-forwarded-";

}  // namespace

bool may_be_trailer(const Headers& head, const Headers::Field& field) {
    // CGI and WSGI take '_' for '-' (h1_parser.cc).
    std::array<char, kNameMax> copy{};
    const size_t size = std::min(field.name.size(), copy.size());
    for (size_t at = 0; at < size; ++at) {
        const char c = field.name[at];
        const bool is_upper = c >= 'A' && c <= 'Z';
        copy[at] = c == '_' ? '-' : is_upper ? static_cast<char>(c | 0x20) : c;
    }
    const std::string_view name(copy.data(), size);
    if (name.starts_with(kForwarding)) return false;
    const bool is_listed =
        size == field.name.size() && std::ranges::binary_search(kNeverTrailers, name);
    return !is_listed && !head.has_token(FieldId::kConnection, field.name);
}

}  // namespace candela::http
