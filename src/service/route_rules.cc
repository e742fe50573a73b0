// What a route must fulfil beyond the types of its keys.

#include <algorithm>
#include <array>

#include "base/text.h"
#include "crypto/password.h"
#include "http/headers.h"
#include "http/jwt.h"
#include "http/url.h"
#include "service/manifest.h"
#include "service/route.h"
#include "tls/client_authority.h"
#include "tls/context.h"

namespace candela::service {
namespace {

constexpr uint64_t kRateMax = 1'000'000;

// A path that can stand in a request line (RFC 9112 §3) as it is, and in one form only.
bool is_path_prefix(std::string_view path) {
    if (!path.starts_with('/') || path.size() > 1024) return false;
    if (path.find_first_of("?#\\") != std::string_view::npos) return false;
    if (path.find("//") != std::string_view::npos) return false;
    if (!std::ranges::all_of(path, [](char c) { return c > 0x20 && c < 0x7F; })) return false;
    return std::ranges::none_of(split(path, '/'),
                                [](std::string_view part) { return part == "." || part == ".."; });
}

// RFC 1123 §2.1, with "*." allowed in front.
bool is_route_host(std::string_view host) {
    if (host.starts_with("*.")) host.remove_prefix(2);
    if (host.empty() || host.size() > 253) return false;
    return std::ranges::all_of(split(host, '.'), [](std::string_view label) {
        return !label.empty() && label.size() <= 63 && label.front() != '-' &&
               label.back() != '-' && std::ranges::all_of(label, [](char c) {
                   return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
               });
    });
}

// A place that can stand in a Location field: a URL, or a path of the same host.
bool is_redirect(std::string_view text) {
    const bool is_absolute = text.starts_with("https://") || text.starts_with("http://");
    const bool is_plain = std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7F; });
    if (!is_plain || text.size() > 1024 || text.find_first_of("?#") != std::string_view::npos) {
        return false;
    }
    return is_absolute ? text.find("://") + 3 < text.size() : is_path_prefix(text);
}

bool is_origin(std::string_view text) {
    if (text == "*") return true;
    const size_t scheme_end = text.find("://");
    if (scheme_end == std::string_view::npos || scheme_end == 0) return false;
    const std::string_view host = text.substr(scheme_end + 3);
    return !host.empty() && host.find_first_of("/?#* ") == std::string_view::npos;
}

// Fields that belong to the connection or to candela.
bool may_be_set(std::string_view name) {
    using http::FieldId;
    constexpr std::array kReserved = {FieldId::kConnection,       FieldId::kContentLength,
                                      FieldId::kTransferEncoding, FieldId::kTe,
                                      FieldId::kTrailer,          FieldId::kUpgrade,
                                      FieldId::kKeepAlive,        FieldId::kProxyConnection,
                                      FieldId::kExpect,           FieldId::kForwarded,
                                      FieldId::kXForwardedFor,    FieldId::kXForwardedProto,
                                      FieldId::kXForwardedHost,   FieldId::kTraceparent,
                                      FieldId::kHttp2Settings,    FieldId::kDate};
    return std::ranges::find(kReserved, http::field_id(name)) == kReserved.end();
}

class Checker {
public:
    Checker(const Route& route, const RouteReport& report) : route_(route), report_(report) {}

    void check() {
        check_match();
        check_answers();
        check_path_for_service();
        check_fields("request_headers", fields_of(route_.request_headers));
        check_fields("response_headers", fields_of(route_.response_headers));
        if (route_.cors) check_cors(*route_.cors);
        if (route_.jwt) check_jwt(*route_.jwt);
        if (route_.basic_auth) check_basic_auth(*route_.basic_auth);
        check_split();
        if (route_.mirror) check_mirror(*route_.mirror);
        if (route_.cache) check_cache(*route_.cache);
        if (route_.client_certificate) check_client_certificate(*route_.client_certificate);
        if (route_.rate_limit) check_rate_limit(*route_.rate_limit);
        if (route_.response_timeout < 0s || route_.response_timeout > 24h) {
            report_("response_timeout", "a day is the most");
        }
    }

private:
    using Fields = std::vector<std::pair<std::string, std::string>>;  // header and value

    static std::string not_a(std::string_view what, std::string_view text) {
        return fmt::format("\"{}\" is not {}", printable(text), what);
    }

    void check_jwt(const RouteJwt& jwt) {
        if (jwt.jwks.empty() == jwt.jwks_url.empty()) {
            report_("jwt.jwks", "the keys come by jwks or by jwks_url, one of them");
        } else if (!jwt.jwks_url.empty()) {
            check_jwks_url(jwt);
        } else if (const auto keys = http::parse_jwks(jwt.jwks); !keys) {
            report_("jwt.jwks", std::string(keys.error().message()));
        }
        if (!jwt.jwks_ca.empty() && jwt.jwks_url.empty()) {
            report_("jwt.jwks_ca", "goes with jwks_url");
        }
        // By header: two claims can't have one.
        Fields by_header;
        for (const auto& [claim, header] : jwt.claim_headers) by_header.emplace_back(header, claim);
        check_fields("jwt.claim_headers", by_header);
    }

    void check_jwks_url(const RouteJwt& jwt) {
        const auto url = http::parse_url(jwt.jwks_url);
        if (!url) {
            report_("jwt.jwks_url", std::string(url.error().message()));
        } else if (!url->is_encrypted && !url->is_loopback()) {
            report_("jwt.jwks_url", "must be https://: whoever changed the keys would be let in");
        }
        if (jwt.jwks_ca.empty()) return;
        tls::ClientOptions options;
        options.ca_pem = jwt.jwks_ca;
        const auto trusted = tls::ClientContext::create(options);
        if (!trusted) report_("jwt.jwks_ca", std::string(trusted.error().message()));
    }

    void check_client_certificate(const RouteClientCertificate& certificate) {
        if (route_.cache) {
            // Nothing in a request tells a cache whose certificate it came with (RFC 9440 §3.2).
            report_("cache",
                    "one client would get the other's answer: not with client_certificate");
        }
        if (certificate.ca.size() > kClientCaBytesMax) {
            report_("client_certificate.ca",
                    fmt::format("{} bytes are the most", kClientCaBytesMax));
        } else if (const auto authority = tls::ClientAuthority::create(certificate.ca);
                   !authority) {
            report_("client_certificate.ca", std::string(authority.error().message()));
        }
    }

    void check_basic_auth(const RouteBasicAuth& auth) {
        if (route_.jwt) {
            report_("basic_auth", "a request has one Authorization: take jwt or basic_auth");
        }
        if (auth.users.empty()) report_("basic_auth.users", "nobody could come in");
        for (const auto& [name, hash] : auth.users) {
            if (name.empty() || name.size() > 255 || name.find(':') != std::string::npos ||
                !http::is_field_value(name)) {
                report_("basic_auth.users", not_a("a user's name", name));
            }
            if (const auto fine = crypto::check_password_hash(hash); !fine) {
                report_("basic_auth.users",
                        fmt::format("the password of {}: {}; make one by candela hash-password",
                                    printable(name), fine.error().message()));
            }
        }
        const bool is_plain = http::is_field_value(auth.realm) &&
                              auth.realm.find_first_of("\"\\") == std::string::npos;
        if (!is_plain) report_("basic_auth.realm", not_a("a realm", auth.realm));
    }

    void check_cache(const RouteCache& cache) {
        constexpr uint64_t kMin = 1 << 10;
        constexpr uint64_t kMax = 1 << 30;
        if (cache.object_bytes_max < kMin || cache.object_bytes_max > kMax) {
            report_("cache.object_max", "must be from 1KiB to 1GiB");
        }
        const auto check = [&](std::string_view key, Duration duration) {
            if (duration < 0s || duration > 365 * 24h) report_(key, "must be from 0s to 365d");
        };
        check("cache.fresh", cache.fresh);
        check("cache.stale_while_revalidate", cache.stale_while_revalidate);
        check("cache.stale_if_error", cache.stale_if_error);
    }

    void check_mirror(const RouteMirror& mirror) {
        if (!is_valid_name(mirror.service)) {
            report_("mirror.service", not_a("a service's name", mirror.service));
        }
        if (mirror.percent > 100) report_("mirror.percent", "must be from 0 to 100");
        if (mirror.body_bytes_max > 1 << 20) report_("mirror.body_max", "must be at most 1MiB");
    }

    void check_split() {
        uint64_t percent = 0;
        std::vector<std::string_view> seen;
        for (const RouteSplit& share : route_.split) {
            percent += share.percent;
            if (!is_valid_name(share.service)) {
                report_("split.service", not_a("a service's name", share.service));
            } else if (std::ranges::find(seen, share.service) != seen.end()) {
                report_("split.service", fmt::format("{} has a share already", share.service));
            }
            seen.emplace_back(share.service);
        }
        if (percent > 100) report_("split.percent", "the shares are more than 100 together");
        if (route_.split_by.empty()) return;
        const auto parts = split_once(route_.split_by, ':');
        const bool is_said = parts && (parts->first == "header" || parts->first == "cookie") &&
                             http::is_token(parts->second);
        if (!is_said) {
            report_("split_by",
                    not_a("what to go by; write for example \"cookie:session\"", route_.split_by));
        } else if (route_.split.empty()) {
            report_("split_by", "without split there is nothing to stay with");
        }
    }

    void check_rate_limit(const RouteRateLimit& limit) {
        if (limit.requests < 1 || limit.requests > kRateMax) {
            report_("rate_limit.requests", fmt::format("must be from 1 to {}", kRateMax));
        }
        if (limit.burst > kRateMax) {
            report_("rate_limit.burst", fmt::format("must be from 0 to {}", kRateMax));
        }
        if (limit.per < 1s || limit.per > 24h) {
            report_("rate_limit.per", "must be from 1s to 24h");
        }
        if (!limit.header.empty() && !http::is_token(limit.header)) {
            report_("rate_limit.header", not_a("a header's name", limit.header));
        }
    }

    void check_match() {
        if (!route_.host.empty() && !is_route_host(route_.host)) {
            report_("host", not_a("a host name; write for example \"shop.example.org\", without "
                                  "scheme and port",
                                  route_.host));
        }
        if (!is_path_prefix(route_.path)) {
            report_("path", not_a("a path prefix; write for example \"/api\"", route_.path));
        }
        check_methods("methods", route_.methods);
        for (const auto& [name, value] : route_.headers) {
            if (!http::is_token(name)) report_("headers", not_a("a header's name", name));
            if (!http::is_field_value(value)) report_("headers", not_a("a header's value", value));
        }
        for (const auto& [name, value] : route_.query) {
            if (name.empty()) report_("query", "a parameter's name is empty");
        }
    }

    void check_methods(std::string_view key, const std::vector<std::string>& methods) {
        for (const std::string& method : methods) {
            const bool is_upper =
                std::ranges::none_of(method, [](char c) { return c >= 'a' && c <= 'z'; });
            if (!http::is_token(method) || !is_upper) {
                report_(key, not_a("a method; write for example \"GET\"", method));
            }
        }
    }

    void check_answers() {
        constexpr std::array<uint32_t, 5> kRedirects = {301, 302, 303, 307, 308};
        if (std::ranges::find(kRedirects, route_.redirect_status) == kRedirects.end()) {
            report_("redirect_status",
                    fmt::format("{} leads nowhere; 301, 302, 303, 307 and 308 do",
                                route_.redirect_status));
        }
        if (!route_.redirect.empty() && !is_redirect(route_.redirect)) {
            report_("redirect",
                    not_a("a place to go; write for example \"https://www.example.org\", without "
                          "query",
                          route_.redirect));
        }
        if (route_.answer_status != 0 &&
            (route_.answer_status < 200 || route_.answer_status == 304)) {
            report_("answer_status", fmt::format("{} is no status of an answer in the service's "
                                                 "stead; write for example 503",
                                                 route_.answer_status));
        }
        if (route_.answer_status != 0 && !route_.redirect.empty()) {
            report_("redirect", "the route answers by itself already: answer_status");
        }
        if (!route_.answer_text.empty() && route_.answer_status == 0) {
            report_("answer_text", "without answer_status the service answers");
        }
        if (route_.answer_text.size() > 1024) {
            report_("answer_text", "a text has at most 1024 bytes");
        }
    }

    void check_path_for_service() {
        if (!route_.rewrite.empty() && !is_path_prefix(route_.rewrite)) {
            report_("rewrite", not_a("a path; write for example \"/v2\"", route_.rewrite));
        }
        if (!route_.rewrite.empty() && route_.strip_prefix) {
            report_("rewrite", "strip_prefix and rewrite are two ways to say it; write one");
        }
    }

    static Fields fields_of(const std::map<std::string, std::string>& fields) {
        return {fields.begin(), fields.end()};
    }
    void check_fields(std::string_view key, const Fields& fields) {
        std::vector<std::string> seen;
        for (const auto& [name, value] : fields) {
            if (!http::is_token(name)) {
                report_(key, not_a("a header's name", name));
            } else if (!may_be_set(name)) {
                report_(key, fmt::format("{} is candela's to say", name));
            } else if (key == "response_headers" && ascii_iequals(name, "host")) {
                report_(key, "Host is a header of requests");
            }
            if (key == "jwt.claim_headers" && ascii_iequals(name, "host")) {
                report_(key, "a token can not say where a request goes");
            }
            if (key == "request_headers" && ascii_iequals(name, "host") && value.empty()) {
                report_(key, "a request can't be without Host");
            }
            if (!http::is_field_value(value) || value.size() > 4096) {
                report_(key,
                        fmt::format("the value of {} can't stand in a header", printable(name)));
            }
            const std::string lower = ascii_lower(name);
            if (std::ranges::find(seen, lower) != seen.end()) {
                report_(key, fmt::format("{} stands here twice", name));
            }
            seen.push_back(lower);
        }
    }

    void check_cors(const RouteCors& cors) {
        for (const std::string& origin : cors.origins) {
            if (!is_origin(origin)) {
                report_("cors.origins",
                        not_a("an origin; write for example \"https://app.example.org\"", origin));
            }
        }
        const bool takes_any = std::ranges::find(cors.origins, "*") != cors.origins.end();
        if (takes_any && cors.credentials) {
            report_("cors.credentials",
                    "with any origin allowed, any page could act in a user's name; list the "
                    "origins");
        }
        if (cors.max_age < 0s || cors.max_age > 24h) {
            report_("cors.max_age", "must be from 0s to 24h");
        }
        if (cors.origins.empty()) report_("cors.origins", "no origin is allowed");
        check_methods("cors.methods", cors.methods);
        for (const auto* names : {&cors.headers, &cors.exposed_headers}) {
            for (const std::string& name : *names) {
                if (http::is_token(name)) continue;
                report_(names == &cors.headers ? "cors.headers" : "cors.exposed_headers",
                        not_a("a header's name", name));
            }
        }
    }

    const Route& route_;
    const RouteReport& report_;
};

}  // namespace

void check_route(const Route& route, const RouteReport& report) { Checker(route, report).check(); }

}  // namespace candela::service
