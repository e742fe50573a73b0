#include "acme_jws.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/json.h"
#include "base/text.h"
#include "crypto/hash.h"

namespace candela::lighthouse {

namespace {

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

Result<http::Url> parse_acme_url(std::string_view text, bool allow_plain) {
    const auto refused = [&] {
        return fail(Code::kInvalid, "\"{}\" is not an https:// address", printable(text));
    };
    auto url = http::parse_url(text);
    if (!url || (!url->is_encrypted && !allow_plain)) return refused();
    // What an authority names has a path.
    const std::string_view behind = text.substr(text.find("//") + 2 + url->authority.size());
    if (behind.starts_with('?')) return refused();
    return std::move(*url);
}

}  // namespace candela::lighthouse
