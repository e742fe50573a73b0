#pragma once

// Reads a Route from either spelling: Config and JsonTable answer the same questions.

#include <string>

#include "base/text.h"
#include "service/route.h"

namespace candela::service {

// "/api/" and "/api" are the same prefix of whole segments.
inline std::string normal_path(std::string_view path) {
    while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
    return std::string(path);
}

template <class Table>
std::map<std::string, std::string> read_texts(const Table& table, std::string_view key,
                                              bool in_lower_case) {
    std::map<std::string, std::string> out;
    for (const ConfigItem& item : table.items(key)) {
        out[in_lower_case ? ascii_lower(item.name) : item.name] = item.value;
    }
    return out;
}

template <class Table>
RouteCors read_cors(const Table& table) {
    RouteCors cors;
    cors.origins = table.strings("origins");
    cors.methods = table.strings("methods");
    cors.headers = table.strings("headers");
    cors.exposed_headers = table.strings("exposed_headers");
    cors.credentials = table.boolean("credentials");
    cors.max_age = table.duration("max_age");
    return cors;
}

template <class Table>
RouteRateLimit read_rate_limit(const Table& table) {
    RouteRateLimit limit;
    limit.requests = static_cast<uint64_t>(table.integer("requests"));
    limit.per = table.duration("per");
    limit.burst = static_cast<uint64_t>(table.integer("burst"));
    limit.header = ascii_lower(table.string("header"));
    return limit;
}

template <class Table>
RouteCache read_cache(const Table& table) {
    RouteCache cache;
    cache.object_bytes_max = table.size_bytes("object_max");
    cache.fresh = table.duration("fresh");
    cache.stale_while_revalidate = table.duration("stale_while_revalidate");
    cache.stale_if_error = table.duration("stale_if_error");
    return cache;
}

template <class Table>
RouteJwt read_jwt(const Table& table) {
    RouteJwt jwt;
    jwt.jwks = table.string("jwks");
    jwt.jwks_url = table.string("jwks_url");
    jwt.jwks_ca = table.string("jwks_ca");
    jwt.issuer = table.string("issuer");
    jwt.audience = table.strings("audience");
    jwt.claim_headers = read_texts(table, "claim_headers", false);
    return jwt;
}

template <class Table>
RouteBasicAuth read_basic_auth(const Table& table) {
    RouteBasicAuth auth;
    auth.users = read_texts(table, "users", false);
    auth.realm = table.string("realm");
    return auth;
}

template <class Table>
RouteClientCertificate read_client_certificate(const Table& table) {
    RouteClientCertificate certificate;
    certificate.ca = table.string("ca");
    certificate.required = table.boolean("required");
    return certificate;
}

template <class Table>
Route read_route(const Table& table) {
    Route route;
    route.host = ascii_lower(table.string("host"));
    route.path = normal_path(table.string("path"));
    route.exact = table.boolean("exact");
    route.methods = table.strings("methods");
    route.headers = read_texts(table, "headers", true);
    route.query = read_texts(table, "query", false);
    route.https_only = table.boolean("https_only");
    route.redirect = table.string("redirect");
    route.redirect_status = static_cast<uint32_t>(table.integer("redirect_status"));
    route.answer_status = static_cast<uint32_t>(table.integer("answer_status"));
    route.answer_text = table.string("answer_text");
    route.strip_prefix = table.boolean("strip_prefix");
    route.rewrite = table.string("rewrite");
    route.request_headers = read_texts(table, "request_headers", false);
    route.response_headers = read_texts(table, "response_headers", false);
    route.compress = table.boolean("compress");
    if (table.is_written("cache")) route.cache = read_cache(table.table("cache"));
    for (const Table& share : table.tables("split")) {
        route.split.push_back(RouteSplit{std::string(share.string("service")),
                                         static_cast<uint32_t>(share.integer("percent"))});
    }
    route.split_by = table.string("split_by");
    if (table.is_written("mirror")) {
        const Table& mirror = table.table("mirror");
        route.mirror = RouteMirror{std::string(mirror.string("service")),
                                   static_cast<uint32_t>(mirror.integer("percent")),
                                   mirror.size_bytes("body_max")};
    }
    if (table.is_written("cors")) route.cors = read_cors(table.table("cors"));
    if (table.is_written("rate_limit")) {
        route.rate_limit = read_rate_limit(table.table("rate_limit"));
    }
    if (table.is_written("jwt")) route.jwt = read_jwt(table.table("jwt"));
    if (table.is_written("basic_auth")) {
        route.basic_auth = read_basic_auth(table.table("basic_auth"));
    }
    if (table.is_written("client_certificate")) {
        route.client_certificate = read_client_certificate(table.table("client_certificate"));
    }
    route.body_bytes_max = table.size_bytes("body_max");
    route.concurrency = static_cast<uint32_t>(table.integer("concurrency"));
    route.response_timeout = table.duration("response_timeout");
    return route;
}

}  // namespace candela::service
