#pragma once

// A [[route]] of service.toml: which requests come to the service, and what becomes of them on the
// way. A value; docs/service-toml.md says what each key means to its user.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/json.h"
#include "base/result.h"
#include "base/time.h"

namespace candela::service {

// Requests of pages from elsewhere (WHATWG Fetch, "CORS protocol").
struct RouteCors {
    std::vector<std::string> origins;  // "https://app.example.org"; "*": any
    std::vector<std::string> methods;
    std::vector<std::string> headers;  // empty: those that are asked for
    std::vector<std::string> exposed_headers;
    bool credentials = false;
    Duration max_age = 10min;

    friend bool operator==(const RouteCors&, const RouteCors&) = default;
};

struct RouteRateLimit {
    uint64_t requests = 0;
    Duration per = 1s;
    uint64_t burst = 0;  // 0: as many as `requests`
    std::string header;  // whose values are counted apart; empty: the clients' addresses are

    friend bool operator==(const RouteRateLimit&, const RouteRateLimit&) = default;
};

// Who may ask: bearers of a token that one of these keys has signed (RFC 7519).
struct RouteJwt {
    std::string jwks;      // a JSON Web Key Set (RFC 7517), or:
    std::string jwks_url;  // where it is fetched
    std::string jwks_ca;   // PEM, that its server is trusted by; empty: the system's authorities
    std::string issuer;
    std::vector<std::string> audience;
    std::map<std::string, std::string> claim_headers;  // claim, and header that the service gets

    friend bool operator==(const RouteJwt&, const RouteJwt&) = default;
};

// Who may ask: clients with a certificate of this authority (TLS client authentication).
struct RouteClientCertificate {
    std::string ca;        // PEM
    bool required = true;  // otherwise clients without any may ask, too

    friend bool operator==(const RouteClientCertificate&, const RouteClientCertificate&) = default;
};

// Who may ask: these users, by name, with argon2id hashes of their passwords (RFC 7617).
struct RouteBasicAuth {
    std::map<std::string, std::string> users;
    std::string realm;

    friend bool operator==(const RouteBasicAuth&, const RouteBasicAuth&) = default;
};

// Which answers the gateway keeps for others (RFC 9111), by what they say themselves.
struct RouteCache {
    uint64_t object_bytes_max = 1 << 20;
    Duration fresh{};  // of answers that say nothing of it; 0: they are not kept
    Duration stale_while_revalidate{};
    Duration stale_if_error{};

    friend bool operator==(const RouteCache&, const RouteCache&) = default;
};

// Other services of the space that get a share of the requests.
struct RouteSplit {
    std::string service;
    uint32_t percent = 0;

    friend bool operator==(const RouteSplit&, const RouteSplit&) = default;
};

// Another service of the space that gets copies of requests.
struct RouteMirror {
    std::string service;
    uint32_t percent = 100;
    uint64_t body_bytes_max = 64 << 10;

    friend bool operator==(const RouteMirror&, const RouteMirror&) = default;
};

struct Route {
    // Which requests: all that is said must hold.
    std::string host;        // lower case; "*.example.org" for any label in front; empty: any host
    std::string path = "/";  // a prefix of whole segments
    bool exact = false;      // the path itself, and nothing below it
    std::vector<std::string> methods;            // empty: all
    std::map<std::string, std::string> headers;  // name in lower case; value "*": any
    std::map<std::string, std::string> query;    // the same

    // What becomes of them.
    bool https_only = false;
    std::string redirect;
    uint32_t redirect_status = 308;
    uint32_t answer_status = 0;  // 0: no answer in the service's stead
    std::string answer_text;
    bool strip_prefix = false;
    std::string rewrite;                                  // instead of the path; empty: as it is
    std::map<std::string, std::string> request_headers;   // set; removed where the value is empty
    std::map<std::string, std::string> response_headers;  // the same
    bool compress = false;
    std::optional<RouteCache> cache;
    std::vector<RouteSplit> split;
    std::string split_by;  // "header:x-user", "cookie:uid"; empty: chance
    std::optional<RouteMirror> mirror;
    std::optional<RouteCors> cors;
    std::optional<RouteRateLimit> rate_limit;
    std::optional<RouteJwt> jwt;
    std::optional<RouteBasicAuth> basic_auth;
    std::optional<RouteClientCertificate> client_certificate;
    uint64_t body_bytes_max = 0;  // 0: as the gateway says
    uint32_t concurrency = 0;     // requests in flight; 0: no limit
    Duration response_timeout{};  // 0: as the gateway says

    // Whether both take the same requests.
    bool is_same_match(const Route& other) const;
    friend bool operator==(const Route&, const Route&) = default;
};

// Limits, each with a test that meets it.
inline constexpr size_t kRouteConditionsMax = 16;  // methods, headers, query: of each
inline constexpr size_t kRouteFieldsMax = 32;      // headers that are set or removed, of each
inline constexpr size_t kRouteOriginsMax = 32;
inline constexpr size_t kRouteUsersMax = 256;
inline constexpr size_t kRouteSharesMax = 16;
inline constexpr size_t kClientCaBytesMax = 32 * 1024;

const ConfigSchema& route_schema();

// A rule that is broken: the key within the route ("cors.origins"), and what is wrong.
using RouteReport = std::function<void(std::string_view key, std::string message)>;
void check_route(const Route& route, const RouteReport& report);

// Keys without a value are left out; route_from_json(to_json(r)) == r.
Json to_json(const Route& route);
Result<Route> route_from_json(const Json& json);

// The same as text, for those who only pass it on; empty where host and path say all.
std::string to_settings(const Route& route);
Result<Route> route_from_settings(std::string_view settings);

}  // namespace candela::service
