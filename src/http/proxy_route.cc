// Where a request goes, and what its route's options make of it.

#include <fmt/format.h>

#include "http/client_certificates.h"
#include "http/proxy.h"
#include "http/proxy_headers.h"
#include "http/target.h"

namespace candela::http {
namespace {

void refuse(RoutedRequest& out, int status, std::string_view text, bool ends_connection = false) {
    out.route.upstream = nullptr;
    out.route.status = status;
    out.route.text = text;
    out.ends_connection = ends_connection;
}

// Whether the client's own connection is encrypted, as far as can be told from here.
bool came_by_https(const ClientInfo& client, const Headers& headers) {
    if (client.is_encrypted) return true;
    if (!client.is_trusted) return false;
    return headers.get(FieldId::kXForwardedProto) == "https";
}

}  // namespace

RoutedRequest Proxy::find_route(Requester& client) {
    const RequestHead& head = client.request_head();
    const Framing& framing = client.request_framing();
    RoutedRequest out;
    out.target = head.target;
    own_fields_.clear();
    request_fields_.clear();
    out.fields = &own_fields_;
    out.request_fields = &request_fields_;
    const std::string_view method = head.method;
    if (method == "CONNECT" || method == "TRACE") {
        refuse(out, 405, "this method is not for a gateway");
        return out;
    }
    // Route and upstream see one path, in the form that leaves no doubt.
    TargetParts parts = split_target(out.target);
    if (parts.path != "*" && !is_normal_path(parts.path)) {
        auto path = normalize_path(parts.path);
        if (!path) {
            bump(counters_.requests_malformed);
            target_buffer_ = path.error().message();
            refuse(out, 400, target_buffer_, true);
            return out;
        }
        target_buffer_ = std::move(*path);
        const size_t path_bytes = target_buffer_.size();
        if (parts.has_query) target_buffer_.append("?").append(parts.query);
        out.target = target_buffer_;
        parts.path = out.target.substr(0, path_bytes);
    }
    out.public_target = out.target;
    host_buffer_.assign(framing.host);
    for (char& c : host_buffer_) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    }
    if (host_buffer_.ends_with('.')) host_buffer_.pop_back();
    out.host = host_buffer_;
    const RouteRequest request{head, host_buffer_, parts.path, parts.query};
    out.route = router_.route(request);
    if (out.route.upstream == nullptr) return out;
    const RouteOptions* options = out.route.options.get();
    out.body_bytes_max = options != nullptr && options->body_bytes_max != 0
                             ? options->body_bytes_max
                             : options_.body_bytes_max;
    if (out.body_bytes_max == 0) out.body_bytes_max = UINT64_MAX;
    if (options != nullptr) apply_options(client, request, out);
    if (out.route.upstream == nullptr) return out;
    if (framing.content_length > out.body_bytes_max) {
        refuse(out, 413, "the request's body is larger than is allowed here", true);
    } else if (options != nullptr && !options->enter()) {
        refuse(out, 503, "too many requests are in progress here");
    }
    return out;
}

void Proxy::apply_options(Requester& client, const RouteRequest& request, RoutedRequest& out) {
    const RouteOptions& options = *out.route.options;
    const Headers& headers = request.head.headers;
    if (options.https_only && !came_by_https(client.client_info(), headers)) {
        rewritten_ = fmt::format("https://{}", request.host);
        if (options_.https_port != 443) rewritten_ += fmt::format(":{}", options_.https_port);
        rewritten_ += out.target;
        own_fields_.add("Location", rewritten_);
        refuse(out, 308, "this is served over HTTPS only");
        return;
    }
    if (options.is_in_maintenance) {
        const std::string_view ip =
            client_ip_of(headers, client.client_info().ip, options_.trusted_peers);
        if (!options.maintenance_allowed->contains(ip)) {
            const auto wait =
                std::chrono::ceil<std::chrono::seconds>(options.maintenance_retry).count();
            own_fields_.add("Retry-After", fmt::format("{}", wait));
            refuse(out, 503, "this is being worked on");
            return;
        }
    }
    if (options.cors) {
        const std::string_view origin = headers.get("origin").value_or("");
        if (Cors::is_preflight(request.head.method, headers)) {
            if (!options.cors->allows(origin)) {
                refuse(out, 403, "requests from this origin are not allowed here");
                return;
            }
            options.cors->append_preflight_fields(headers, own_fields_);
            refuse(out, 204, "");
            return;
        }
        // A browser shows the answer to its script even where it is our own.
        options.cors->append_answer_fields(headers, own_fields_);
    }
    if (options.answer_status != 0) {
        refuse(out, options.answer_status, options.answer_text);
    } else if (!options.redirect.empty()) {
        lead_elsewhere(request, out);
    } else if (options.rate_limiter != nullptr && is_rate_exceeded(client, options, own_fields_)) {
        refuse(out, 429, "too many requests; try again later");
    }
    if (out.route.upstream == nullptr) return;
    if (options.client_authority != nullptr) {
        check_certificate(client, request, out);
        if (out.route.upstream == nullptr) return;
    }
    if (options.jwt != nullptr) {
        const Result<> allowed = options.jwt->check(headers, loop_.wall(), request_fields_);
        if (!allowed && allowed.error().code() == Code::kUnreachable) {
            refusal_ = allowed.error().message();
            refuse(out, 503, refusal_);
            return;
        }
        if (!allowed) {
            ask_for_token(allowed.error(), headers, out);
            return;
        }
    }
    if (options.basic_auth != nullptr) check_login(options, headers, out);
    if (options.rewrite) {
        const std::string_view rest = request.path.substr(out.route.prefix.size());
        rewritten_ = *options.rewrite;
        if (!rest.starts_with('/') && rewritten_.empty()) rewritten_ = "/";
        rewritten_ += rest;
        if (!request.query.empty()) rewritten_.append("?").append(request.query);
        out.target = rewritten_;
    }
}

// A certificate counts for the host that its connection was made for, and no other: RFC 9110
// §15.5.20 has a client with one connection for several hosts make another.
void Proxy::check_certificate(Requester& client, const RouteRequest& request, RoutedRequest& out) {
    const RouteOptions& options = *out.route.options;
    ClientCertificates* const certificates = client.client_certificates();
    if (certificates == nullptr) {
        if (!options.needs_client_certificate) return;
        refuse(out, 403, "a client certificate is needed, and so HTTPS");
        return;
    }
    const std::string_view asked_name = certificates->server_name();
    if (!certificates->was_asked() || (!asked_name.empty() && asked_name != request.host)) {
        refuse(out, 421, "a connection of its own is needed for this host", true);
        return;
    }
    if (certificates->empty()) {
        if (!options.needs_client_certificate) return;
        refuse(out, 403, "a client certificate is needed");
        return;
    }
    const ClientCertificates::Verdict& verdict =
        certificates->check(options.client_authority, loop_.wall());
    if (!verdict.refusal.empty()) {
        refusal_ = "the client certificate is not taken: " + verdict.refusal;
        refuse(out, 403, refusal_);
        return;
    }
    request_fields_.add(kClientCertField, verdict.field);
    request_fields_.add(kClientSubjectField, verdict.subject);
}

void Proxy::check_login(const RouteOptions& options, const Headers& request, RoutedRequest& out) {
    auto credentials = parse_basic(request.get(FieldId::kAuthorization).value_or(""));
    if (!credentials || request.count(FieldId::kAuthorization) != 1) {
        own_fields_.add("WWW-Authenticate", options.basic_auth->challenge());
        refuse(out, 401, "a user name and a password are needed");
        return;
    }
    request_fields_.add("X-Forwarded-User", credentials->user);
    if (!options.basic_auth->knows(*credentials)) out.unchecked = std::move(credentials);
}

// RFC 6750 §3: who brings no token is only told that one is needed.
void Proxy::ask_for_token(const Error& error, const Headers& request, RoutedRequest& out) {
    refusal_ = error.message();
    own_fields_.add(
        "WWW-Authenticate",
        request.contains(FieldId::kAuthorization)
            ? fmt::format(R"(Bearer error="invalid_token", error_description="{}")", refusal_)
            : std::string("Bearer"));
    refuse(out, 401, refusal_);
}

void Proxy::lead_elsewhere(const RouteRequest& request, RoutedRequest& out) {
    const RouteOptions& options = *out.route.options;
    rewritten_ = options.redirect;
    std::string_view rest = request.path.substr(out.route.prefix.size());
    if (rewritten_.ends_with('/') && rest.starts_with('/')) rest.remove_prefix(1);
    rewritten_ += rest;
    if (!request.query.empty()) rewritten_.append("?").append(request.query);
    own_fields_.add("Location", rewritten_);
    refuse(out, options.redirect_status, "it is elsewhere");
}

bool Proxy::is_rate_exceeded(const Requester& client, const RouteOptions& options,
                             Headers& fields) {
    const Headers& headers = client.request_head().headers;
    const std::string_view key =
        options.rate_key_field.empty()
            ? client_ip_of(headers, client.client_info().ip, options_.trusted_peers)
            : headers.get(options.rate_key_field).value_or("");
    const Duration wait = options.rate_limiter->take(key, loop_.now());
    if (wait == Duration(0)) return false;
    fields.add("Retry-After",
               fmt::format("{}", std::chrono::ceil<std::chrono::seconds>(wait).count()));
    return true;
}

}  // namespace candela::http
