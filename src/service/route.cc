#include "service/route.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "service/json_table.h"
#include "service/route_read.h"

namespace candela::service {
namespace {

ConfigSchema cors_schema() {
    return ConfigSchema({
        config_strings("origins", {}, "Such as \"https://app.example.org\"; \"*\": any.")
            .required()
            .at_most(kRouteOriginsMax),
        config_strings("methods", {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"},
                       "That a page may use.")
            .at_most(kRouteConditionsMax),
        config_strings("headers", {}, "That a page may send; absent: those it asks for.")
            .at_most(kRouteFieldsMax),
        config_strings("exposed_headers", {}, "Of the answer, that a page may read.")
            .at_most(kRouteFieldsMax),
        config_bool("credentials", "false", "Whether cookies and logins come along."),
        config_duration("max_age", "10m", "How long a browser may remember the answer.")
            .range("0s", "24h"),
    });
}

ConfigSchema rate_limit_schema() {
    return ConfigSchema({
        config_int("requests", "", "How many.").required().range("1", "1000000"),
        config_duration("per", "1s", "In how long.").range("1s", "24h"),
        config_int("burst", "0", "How many at once; 0: as many as `requests`.")
            .range("0", "1000000"),
        config_string("header", "", "Counts each value of it apart; absent: each client address."),
    });
}

ConfigSchema jwt_schema() {
    return ConfigSchema({
        config_string("jwks", "", "The issuer's public keys, a JSON Web Key Set."),
        config_string("jwks_url", "", "Where the issuer publishes them: the gateway fetches them."),
        config_string("jwks_ca", "",
                      "The authority of that address, in PEM; absent: a public one."),
        config_string("issuer", "", "Whose tokens are taken; absent: any that a key has signed."),
        config_strings("audience", {}, "For whom a token must be; absent: anybody.")
            .at_most(kRouteConditionsMax),
        config_string_map("claim_headers", "Claims that the service gets as headers.")
            .at_most(kRouteConditionsMax),
    });
}

ConfigSchema client_certificate_schema() {
    return ConfigSchema({
        config_string("ca", "", "The authority's certificate, or several, in PEM.").required(),
        config_bool("required", "true", "Whether clients without a certificate are refused."),
    });
}

ConfigSchema basic_auth_schema() {
    return ConfigSchema({
        config_string_map("users", "Name and hash, as `candela hash-password` prints it.")
            .required()
            .at_most(kRouteUsersMax),
        config_string("realm", "restricted", "What a browser says that the password is for."),
    });
}

ConfigSchema split_schema() {
    return ConfigSchema({
        config_string("service", "", "Of the same space.").required(),
        config_int("percent", "", "Of the requests.").required().range("0", "100"),
    });
}

ConfigSchema mirror_schema() {
    return ConfigSchema({
        config_string("service", "", "Of the same space.").required(),
        config_int("percent", "100", "Of the requests.").range("0", "100"),
        config_size("body_max", "64KiB", "Requests with a larger body are not copied.")
            .range("0", "1MiB"),
    });
}

ConfigSchema cache_schema() {
    return ConfigSchema({
        config_size("object_max", "1MiB", "The largest body that is kept.").range("1KiB", "1GiB"),
        config_duration("fresh", "0s", "Of answers that do not say it; 0s: those are not kept.")
            .range("0s", "365d"),
        config_duration("stale_while_revalidate", "0s",
                        "Used so long past its time while a newer one is fetched.")
            .range("0s", "365d"),
        config_duration("stale_if_error", "0s", "Used so long past its time where fetching fails.")
            .range("0s", "365d"),
    });
}

void add_map(Json& json, const char* key, const std::map<std::string, std::string>& values) {
    if (!values.empty()) json[key] = values;
}

void add_list(Json& json, const char* key, const std::vector<std::string>& values) {
    if (!values.empty()) json[key] = values;
}

Json cors_json(const RouteCors& cors) {
    Json json = {{"origins", cors.origins}, {"methods", cors.methods}};
    add_list(json, "headers", cors.headers);
    add_list(json, "exposed_headers", cors.exposed_headers);
    if (cors.credentials) json["credentials"] = true;
    json["max_age"] = format_duration(cors.max_age);
    return json;
}

Json rate_limit_json(const RouteRateLimit& limit) {
    Json json = {{"requests", limit.requests}, {"per", format_duration(limit.per)}};
    if (limit.burst != 0) json["burst"] = limit.burst;
    if (!limit.header.empty()) json["header"] = limit.header;
    return json;
}

void add_duration(Json& json, const char* key, Duration duration) {
    if (duration != Duration(0)) json[key] = format_duration(duration);
}

Json cache_json(const RouteCache& cache) {
    Json json = {{"object_max", cache.object_bytes_max}};
    add_duration(json, "fresh", cache.fresh);
    add_duration(json, "stale_while_revalidate", cache.stale_while_revalidate);
    add_duration(json, "stale_if_error", cache.stale_if_error);
    return json;
}

Json jwt_json(const RouteJwt& jwt) {
    Json json = Json::object();
    if (!jwt.jwks.empty()) json["jwks"] = jwt.jwks;
    if (!jwt.jwks_url.empty()) json["jwks_url"] = jwt.jwks_url;
    if (!jwt.jwks_ca.empty()) json["jwks_ca"] = jwt.jwks_ca;
    if (!jwt.issuer.empty()) json["issuer"] = jwt.issuer;
    add_list(json, "audience", jwt.audience);
    add_map(json, "claim_headers", jwt.claim_headers);
    return json;
}

Json basic_auth_json(const RouteBasicAuth& auth) {
    return {{"users", auth.users}, {"realm", auth.realm}};
}

}  // namespace

const ConfigSchema& route_schema() {
    static const ConfigSchema schema({
        config_string("host", "", "Host name; \"*.example.org\" for any label; absent: any host."),
        config_string("path", "/", "Prefix of whole segments."),
        config_bool("exact", "false", "The path itself, and nothing below it."),
        config_strings("methods", {}, "Only these.").at_most(kRouteConditionsMax),
        config_string_map("headers", "Only with these; \"*\" is any value.")
            .at_most(kRouteConditionsMax),
        config_string_map("query", "Only with these parameters; \"*\" is any value.")
            .at_most(kRouteConditionsMax),
        config_bool("https_only", "false", "Leads plain HTTP to HTTPS."),
        config_string("redirect", "", "Leads there; what follows the path is appended."),
        config_int("redirect_status", "308", "Of a redirect.").range("301", "308"),
        config_int("answer_status", "0", "Answers in the service's stead, such as 503.")
            .range("0", "599"),
        config_string("answer_text", "", "What that answer says."),
        config_bool("strip_prefix", "false", "The service does not see the path."),
        config_string("rewrite", "", "What the service sees instead of the path."),
        config_string_map("request_headers", "Set for the service; \"\" removes.")
            .at_most(kRouteFieldsMax),
        config_string_map("response_headers", "Set for the client; \"\" removes.")
            .at_most(kRouteFieldsMax),
        config_bool("compress", "false", "Sends text to clients as gzip, br or zstd."),
        config_table("cache", cache_schema(), "Keeps answers that may be kept, for others."),
        config_tables("split", split_schema(), "Other services that get a share.")
            .at_most(kRouteSharesMax),
        config_string("split_by", "",
                      "\"header:NAME\" or \"cookie:NAME\", to stay; absent: chance."),
        config_table("mirror", mirror_schema(), "Another service that gets copies."),
        config_table("cors", cors_schema(), "Lets pages of other origins in."),
        config_table("rate_limit", rate_limit_schema(), "How often a client may ask."),
        config_table("jwt", jwt_schema(), "Lets bearers of a token in, and nobody else."),
        config_table("basic_auth", basic_auth_schema(),
                     "Lets users with a password in, and nobody else."),
        config_table("client_certificate", client_certificate_schema(),
                     "Lets clients with a certificate of an authority in, over HTTPS."),
        config_size("body_max", "0", "The largest body of a request; 0: as the gateway says."),
        config_int("concurrency", "0", "Requests in progress on a gateway; 0: no limit.")
            .range("0", "1000000"),
        config_duration("response_timeout", "0s",
                        "For an answer to begin; 0s: as the gateway says.")
            .range("0s", "24h"),
    });
    return schema;
}

bool Route::is_same_match(const Route& other) const {
    return host == other.host && path == other.path && exact == other.exact &&
           methods == other.methods && headers == other.headers && query == other.query;
}

Json to_json(const Route& route) {
    Json json = {{"path", route.path}};
    if (!route.host.empty()) json["host"] = route.host;
    if (route.exact) json["exact"] = true;
    add_list(json, "methods", route.methods);
    add_map(json, "headers", route.headers);
    add_map(json, "query", route.query);
    if (route.https_only) json["https_only"] = true;
    if (!route.redirect.empty()) {
        json["redirect"] = route.redirect;
        json["redirect_status"] = route.redirect_status;
    }
    if (route.answer_status != 0) json["answer_status"] = route.answer_status;
    if (!route.answer_text.empty()) json["answer_text"] = route.answer_text;
    if (route.strip_prefix) json["strip_prefix"] = true;
    if (!route.rewrite.empty()) json["rewrite"] = route.rewrite;
    add_map(json, "request_headers", route.request_headers);
    add_map(json, "response_headers", route.response_headers);
    if (route.compress) json["compress"] = true;
    if (route.cache) json["cache"] = cache_json(*route.cache);
    for (const RouteSplit& share : route.split) {
        json["split"].push_back({{"service", share.service}, {"percent", share.percent}});
    }
    if (!route.split_by.empty()) json["split_by"] = route.split_by;
    if (route.mirror) {
        json["mirror"] = {{"service", route.mirror->service},
                          {"percent", route.mirror->percent},
                          {"body_max", route.mirror->body_bytes_max}};
    }
    if (route.cors) json["cors"] = cors_json(*route.cors);
    if (route.rate_limit) json["rate_limit"] = rate_limit_json(*route.rate_limit);
    if (route.basic_auth) json["basic_auth"] = basic_auth_json(*route.basic_auth);
    if (route.client_certificate) {
        json["client_certificate"] = {{"ca", route.client_certificate->ca},
                                      {"required", route.client_certificate->required}};
    }
    if (route.jwt) json["jwt"] = jwt_json(*route.jwt);
    if (route.body_bytes_max != 0) json["body_max"] = route.body_bytes_max;
    if (route.concurrency != 0) json["concurrency"] = route.concurrency;
    add_duration(json, "response_timeout", route.response_timeout);
    return json;
}

Result<Route> route_from_json(const Json& json) {
    std::vector<std::string> mistakes;
    const JsonTable table(json, route_schema(), "route", mistakes);
    Route route = read_route(table);
    check_route(route, [&](std::string_view key, std::string message) {
        mistakes.push_back(fmt::format("route.{}: {}", key, message));
    });
    if (!mistakes.empty()) return fail(Code::kInvalid, "{}", join(mistakes, "\n"));
    return route;
}

std::string to_settings(const Route& route) {
    const Route plain{route.host, route.path};
    return route == plain ? std::string() : to_json(route).dump();
}

Result<Route> route_from_settings(std::string_view settings) {
    CANDELA_TRY_ASSIGN(const Json json, parse_json(settings));
    return route_from_json(json);
}

}  // namespace candela::service
