#pragma once

// What messages say of caching: Cache-Control (RFC 9111 §5.2), Pragma, dates and ages. Pure.

#include <cstdint>
#include <optional>
#include <string_view>

#include "http/headers.h"

namespace candela::http {

// RFC 9111 §1.2.2: what no number of seconds goes beyond.
inline constexpr int64_t kCacheSecondsMax = 2'147'483'647;

// Directives of a request or an answer. Of doubled ones the stricter holds; a lifetime that is no
// number is 0. A list of fields behind no-cache or private is taken as if it were not there
// (§5.2.2.4, §5.2.2.7 allow that): it stands for the whole answer.
struct CacheControl {
    bool is_said = false;  // there is a Cache-Control field at all
    bool no_store = false;
    bool no_cache = false;
    bool is_private = false;
    bool is_public = false;
    bool must_revalidate = false;
    bool proxy_revalidate = false;
    bool must_understand = false;
    bool no_transform = false;
    bool only_if_cached = false;
    bool takes_any_stale = false;  // max-stale without a number
    std::optional<int64_t> max_age;
    std::optional<int64_t> s_maxage;
    std::optional<int64_t> max_stale;
    std::optional<int64_t> min_fresh;
    std::optional<int64_t> stale_while_revalidate;  // RFC 5861
    std::optional<int64_t> stale_if_error;
};

CacheControl parse_cache_control(const Headers& headers);
// The same, and Pragma: no-cache where there is no Cache-Control (§5.4).
CacheControl parse_request_cache_control(const Headers& headers);

// RFC 9110 §5.6.7 in its three forms; nothing for what is no date. Seconds of Unix time.
std::optional<int64_t> parse_http_date(std::string_view text);
// RFC 9111 §1.2.2: digits alone; what is larger is the maximum.
std::optional<int64_t> parse_delta_seconds(std::string_view text);

}  // namespace candela::http
