// What a request's head must be (RFC 9112 §3, RFC 9110 §7), beyond its syntax.

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "http/h1_parser.h"
#include "http/target.h"

namespace candela::http {

RequestParser::RequestParser(const ParserLimits& limits) : H1Parser(limits, true, head_.headers) {}

bool RequestParser::check_head() {
    head_.version = version_;
    const std::string_view method = head_.method;
    if (method == "CONNECT") return fail(501, "CONNECT is not served here");
    if (!check_transfer_encoding() || !check_host() || !check_target()) return false;
    framing_.body = seen_.is_chunked ? BodyKind::kChunked : length_body();
    framing_.expects_continue =
        seen_.has_continue && version_ == Version::kHttp11 && framing_.body != BodyKind::kNone;
    framing_.upgrade = seen_.has_upgrade && seen_.has_upgrade_option && !seen_.has_h2c &&
                       version_ == Version::kHttp11 && framing_.body == BodyKind::kNone;
    return true;
}

bool RequestParser::check_host() {
    if (seen_.hosts == 0) {
        return version_ == Version::kHttp10 || fail(400, "no Host field");  // RFC 9112 §3.2
    }
    const std::optional<Authority> host = parse_authority(*head_.headers.get(FieldId::kHost));
    if (!host) return fail(400, "a Host field that names no host");
    framing_.host = host->host;
    return true;
}

bool RequestParser::check_target() {
    const std::string& target = head_.target;
    for (const char c : target) {
        if (c == '#' || static_cast<uint8_t>(c) <= 0x20 || static_cast<uint8_t>(c) >= 0x7f) {
            return fail(400, "a byte in the request target that must be encoded");
        }
    }
    if (target.front() == '/') return true;
    if (target == "*") return head_.method == "OPTIONS" || fail(400, "target * without OPTIONS");
    return check_absolute_target();
}

// RFC 9112 §3.2.2: http://host/path, reduced to /path. Its host must be the Host field's, so that
// nobody behind us can take it for another site's.
bool RequestParser::check_absolute_target() {
    const std::string_view target = head_.target;
    const size_t colon = target.find("://");
    const std::string_view scheme = target.substr(0, colon);
    if (colon == std::string_view::npos ||
        (!ascii_iequals(scheme, "http") && !ascii_iequals(scheme, "https"))) {
        return fail(400, "a request target that is neither a path nor an http URL");
    }
    const size_t authority_at = colon + 3;
    const size_t path_at = std::min(target.find_first_of("/?", authority_at), target.size());
    const std::string_view text = target.substr(authority_at, path_at - authority_at);
    const std::optional<Authority> authority = parse_authority(text);
    if (!authority) return fail(400, "a request target that names no host");

    if (seen_.hosts == 0) head_.headers.add("Host", text);
    const std::optional<Authority> host = parse_authority(*head_.headers.get(FieldId::kHost));
    const std::string_view default_port = scheme.size() == 5 ? "443" : "80";
    const auto port = [&](const Authority& of) { return of.port.empty() ? default_port : of.port; };
    if (!ascii_iequals(host->host, authority->host) || port(*host) != port(*authority)) {
        return fail(400, "the request target's host is not the Host field's");
    }
    framing_.host = host->host;

    if (path_at == target.size()) {
        head_.target = head_.method == "OPTIONS" ? "*" : "/";
    } else {
        const bool is_query = target[path_at] == '?';
        head_.target.erase(0, path_at);
        if (is_query) head_.target.insert(0, 1, '/');
    }
    return true;
}

}  // namespace candela::http
