#pragma once

// What requests to an ACME server (RFC 8555) are made of: signed messages, the account's
// thumbprint, addresses. Pure functions; any thread.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/url.h"
#include "tls/signing_key.h"

namespace candela::lighthouse {

// The public key, its members in the order that RFC 7638 §3.2 asks for.
std::string jwk_of(const tls::SigningKey& key);
std::string thumbprint_of(const tls::SigningKey& key);

struct JwsHeader {
    std::string url;
    std::string nonce;
    std::string account_url;  // empty: the key itself is sent (RFC 8555 §6.2)
};
// The flattened JSON form; an empty payload is a POST-as-GET (RFC 8555 §6.3).
Result<std::string> sign_jws(const tls::SigningKey& key, const JwsHeader& header,
                             std::string_view payload);

// Characters that a nonce or a token may have (RFC 8555 §6.5.1, §8.1), and no more of them.
bool is_base64url(std::string_view text, size_t size_max);

// "https://host[:port]/path"; http:// only where plain is allowed.
Result<http::Url> parse_acme_url(std::string_view text, bool allow_plain);

}  // namespace candela::lighthouse
