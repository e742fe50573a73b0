#include "acme_jws.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/json.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "http/target.h"

namespace candela::lighthouse {

namespace {

constexpr size_t kUrlBytesMax = 2048;

std::string base64url_text(std::string_view text) { return base64url_encode(as_bytes(text)); }

}  // namespace

std::string jwk_of(const tls::SigningKey& key) {
    return fmt::format(R"({{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}})", key.x(), key.y());
}

std::string thumbprint_of(const tls::SigningKey& key) {
    return base64url_encode(crypto::sha256(as_bytes(jwk_of(key))));
}

Result<std::string> sign_jws(const tls::SigningKey& key, const JwsHeader& header,
                             std::string_view payload) {
    Json head = {{"alg", "ES256"}, {"nonce", header.nonce}, {"url", header.url}};
    if (header.account_url.empty()) {
        CANDELA_TRY_ASSIGN(head["jwk"], parse_json(jwk_of(key)));
    } else {
        head["kid"] = header.account_url;
    }
    const std::string head_text = base64url_text(dump_json(head));
    const std::string payload_text = base64url_text(payload);
    CANDELA_TRY_ASSIGN(const std::string signature, key.sign(head_text + "." + payload_text));
    return dump_json(Json{{"protected", head_text},
                          {"payload", payload_text},
                          {"signature", base64url_text(signature)}});
}

bool is_base64url(std::string_view text, size_t size_max) {
    return !text.empty() && text.size() <= size_max &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_';
           });
}

Result<AcmeUrl> parse_acme_url(std::string_view text, bool allow_plain) {
    const auto refused = [&] {
        return fail(Code::kInvalid, "\"{}\" is not an https:// address", printable(text));
    };
    const bool is_printable =
        std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
    if (text.size() > kUrlBytesMax || !is_printable) return refused();
    AcmeUrl url;
    std::string_view rest = text;
    if (rest.starts_with("https://")) {
        rest.remove_prefix(8);
    } else if (allow_plain && rest.starts_with("http://")) {
        rest.remove_prefix(7);
        url.is_encrypted = false;
        url.port = 80;
    } else {
        return refused();
    }
    const size_t slash = std::min(rest.find('/'), rest.size());
    url.authority = rest.substr(0, slash);
    url.target = slash == rest.size() ? "/" : std::string(rest.substr(slash));
    if (url.target.find('#') != std::string::npos) return refused();
    const auto parts = http::parse_authority(url.authority);
    if (!parts || parts->host.empty()) return refused();
    std::string_view host = parts->host;
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    url.host = host;
    if (!parts->port.empty()) {
        const auto port = parse_port(parts->port);
        if (!port || *port == 0) return refused();
        url.port = *port;
    }
    return url;
}

}  // namespace candela::lighthouse
