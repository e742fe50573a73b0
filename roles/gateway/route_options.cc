#include "route_options.h"

#include "base/check.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "http/proxy_headers.h"

namespace candela::gateway {
namespace {

http::FieldEdits edits_of(const std::map<std::string, std::string>& fields) {
    return http::FieldEdits({fields.begin(), fields.end()});
}

std::optional<http::TrafficSplit> split_of(const service::Route& route, std::string_view space) {
    if (route.split.empty()) return std::nullopt;
    using By = http::TrafficSplit::By;
    std::vector<http::TrafficSplit::Share> shares;
    for (const service::RouteSplit& share : route.split) {
        shares.push_back({fmt::format("{}/{}", space, share.service), share.percent});
    }
    const auto by = split_once(route.split_by, ':');
    if (!by) return http::TrafficSplit(std::move(shares), By::kChance, "");
    return http::TrafficSplit(std::move(shares), by->first == "cookie" ? By::kCookie : By::kHeader,
                              std::string(by->second));
}

http::Cors cors_of(const service::RouteCors& source) {
    http::Cors cors;
    cors.origins = source.origins;
    cors.methods = join(source.methods, ", ");
    cors.headers = join(source.headers, ", ");
    cors.exposed_headers = join(source.exposed_headers, ", ");
    cors.allows_credentials = source.credentials;
    cors.max_age = source.max_age;
    return cors;
}

http::JwtRules jwt_rules_of(const service::RouteJwt& source, const KeysOf& keys_of) {
    http::JwtRules rules;
    if (!source.jwks_url.empty()) {
        rules.fetched = keys_of(source.jwks_url, source.jwks_ca);
    } else {
        auto keys = http::parse_jwks(source.jwks);
        CANDELA_CHECK(keys.has_value());
        rules.keys = std::move(*keys);
    }
    rules.issuer = source.issuer;
    rules.audience = source.audience;
    rules.claim_fields.assign(source.claim_headers.begin(), source.claim_headers.end());
    return rules;
}

}  // namespace

ServiceOptions service_options(const proto::RouteService& service) {
    ServiceOptions options;
    options.space = service.space;
    if (!service.error_pages.empty()) {
        auto pages = std::make_shared<http::ErrorPages>();
        for (const proto::ErrorPage& page : service.error_pages) pages->add(page.status, page.body);
        options.pages = std::move(pages);
    }
    options.is_in_maintenance = service.is_in_maintenance;
    options.maintenance_retry = std::chrono::milliseconds(
        std::min<uint64_t>(service.maintenance_retry_ms, 24 * 3600 * 1000ULL));
    auto allowed = std::make_shared<http::TrustedPeers>();
    for (const std::string& network : service.maintenance_allow) {
        // The lighthouse has refused what is none; at worst, it lets in nobody.
        static_cast<void>(allowed->add(network));
    }
    options.maintenance_allowed = std::move(allowed);
    std::string all =
        fmt::format("{} {}\n", options.is_in_maintenance, service.maintenance_retry_ms);
    for (const std::string& network : service.maintenance_allow) all += network + "\n";
    for (const proto::ErrorPage& page : service.error_pages) {
        all += fmt::format("{} {}\n{}", page.status, page.body.size(), page.body);
    }
    options.identity = crypto::sha256_hex(as_bytes(all));
    return options;
}

http::RouteOptionsPtr make_route_options(const service::Route& route, const ServiceOptions& service,
                                         const KeysOf& keys_of) {
    service::Route conditions_only;
    conditions_only.host = route.host;
    conditions_only.path = route.path;
    conditions_only.exact = route.exact;
    conditions_only.methods = route.methods;
    conditions_only.headers = route.headers;
    conditions_only.query = route.query;
    if (route == conditions_only && service.is_plain()) return nullptr;

    auto options = std::make_shared<http::RouteOptions>();
    options->pages = service.pages;
    options->is_in_maintenance = service.is_in_maintenance;
    options->maintenance_retry = service.maintenance_retry;
    options->maintenance_allowed = service.maintenance_allowed;
    options->https_only = route.https_only;
    options->redirect = route.redirect;
    options->redirect_status = static_cast<int>(route.redirect_status);
    options->answer_status = static_cast<int>(route.answer_status);
    options->answer_text = route.answer_text;
    if (route.strip_prefix) {
        options->rewrite = "";
    } else if (!route.rewrite.empty()) {
        // "/": what follows brings its own slash.
        options->rewrite = route.rewrite == "/" ? "" : route.rewrite;
    }
    std::map<std::string, std::string> request_edits = route.request_headers;
    if (route.jwt) {
        options->jwt = std::make_shared<http::JwtCheck>(jwt_rules_of(*route.jwt, keys_of));
        // Only a token may say what its claims are.
        for (const auto& [claim, header] : route.jwt->claim_headers) request_edits[header].clear();
    }
    if (route.basic_auth) {
        const service::RouteBasicAuth& auth = *route.basic_auth;
        options->basic_auth = std::make_shared<http::BasicAuth>(
            std::map<std::string, std::string, std::less<>>(auth.users.begin(), auth.users.end()),
            auth.realm);
        // The password is the gateway's affair; the service is told who it is.
        request_edits["Authorization"].clear();
        request_edits["X-Forwarded-User"].clear();
    }
    if (route.client_certificate) {
        auto authority = tls::ClientAuthority::create(route.client_certificate->ca);
        CANDELA_CHECK(authority.has_value());
        options->client_authority = std::move(*authority);
        options->needs_client_certificate = route.client_certificate->required;
        // Only this gateway says who the client is, not a proxy in front of it either.
        for (const std::string_view field :
             {http::kClientCertField, http::kClientCertChainField, http::kClientSubjectField}) {
            request_edits[std::string(field)].clear();
        }
    }
    options->request_fields = edits_of(request_edits);
    options->answer_fields = edits_of(route.response_headers);
    options->compress = route.compress;
    options->split = split_of(route, service.space);
    if (route.mirror) {
        options->mirror =
            http::MirrorRules{fmt::format("{}/{}", service.space, route.mirror->service),
                              route.mirror->percent, route.mirror->body_bytes_max};
    }
    if (route.cache) {
        http::CacheRules rules;
        rules.object_bytes_max = route.cache->object_bytes_max;
        rules.fresh = route.cache->fresh;
        rules.stale_while_revalidate = route.cache->stale_while_revalidate;
        rules.stale_if_error = route.cache->stale_if_error;
        // Whatever the route says may change what the service is asked for.
        rules.identity = crypto::sha256_hex(as_bytes(service::to_settings(route)));
        options->cache = std::make_shared<const http::CacheRules>(std::move(rules));
    }
    if (route.cors) options->cors = cors_of(*route.cors);
    if (route.rate_limit) {
        const service::RouteRateLimit& limit = *route.rate_limit;
        const uint64_t burst = limit.burst != 0 ? limit.burst : limit.requests;
        options->rate_limiter = std::make_shared<http::RateLimiter>(
            limit.requests, limit.per, burst, KeyedHash::from_system());
        options->rate_key_field = limit.header;
    }
    options->body_bytes_max = route.body_bytes_max;
    options->requests_max = route.concurrency;
    options->response_timeout = route.response_timeout;
    return options;
}

}  // namespace candela::gateway
