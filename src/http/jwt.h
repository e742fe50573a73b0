#pragma once

// Bearer tokens on a route: JWTs (RFC 7519) signed by a key of a JSON Web Key Set (RFC 7517) with
// RS256, ES256 or EdDSA. What a token may claim is checked strictly: an algorithm that is not its
// key's, a critical extension, a token without end or for somebody else are refused. Any thread.

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "http/headers.h"
#include "http/jwt_keys.h"

namespace candela::http {

inline constexpr size_t kJwtBytesMax = 8192;
inline constexpr size_t kJwksBytesMax = 64 * 1024;
inline constexpr size_t kJwksKeysMax = 32;
inline constexpr Duration kJwtLeeway = 1min;  // by which clocks may differ

// Keys of kinds that are not known, or not for signatures, are passed over; at least one is left.
Result<std::vector<JwtKey>> parse_jwks(std::string_view json);

struct JwtRules {
    std::vector<JwtKey> keys;
    std::shared_ptr<JwtKeys> fetched;   // instead of them; null: none are
    std::string issuer;                 // empty: any
    std::vector<std::string> audience;  // one of them; empty: any
    std::vector<std::pair<std::string, std::string>> claim_fields;  // claim, and field it goes to
};

class JwtCheck {
public:
    explicit JwtCheck(JwtRules rules) : rules_(std::move(rules)) {}

    const JwtRules& rules() const { return rules_; }
    // Checks what "Authorization: Bearer" brings, and appends what its claims say as fields for the
    // service. kDenied says what is wrong, in words that may go to the client; kUnreachable, that
    // the keys were not fetched yet.
    Result<> check(const Headers& request, WallTime now, Headers& added) const;

private:
    // What was found right before, by the token's digest, so that its signature is checked once.
    struct Known {
        std::array<uint8_t, 32> digest{};
        int64_t from = 0;  // unix seconds
        int64_t until = 0;
        uint64_t generation = 0;          // of the keys that it was found with
        std::vector<std::string> values;  // of claim_fields
    };
    static constexpr size_t kKnownMax = 1024;

    Result<Known> verify(std::string_view token) const;
    Result<> check_claims(const std::string& json, Known& out) const;
    Result<> check_signature(std::string_view signed_part, const std::string& signature,
                             std::string_view id, tls::SignatureAlgorithm algorithm) const;
    Result<> apply(const Known& known, WallTime now, Headers& added) const;

    JwtRules rules_;
    mutable std::mutex mutex_;  // taken only where it is free: nobody waits
    mutable std::vector<Known> known_;
};

}  // namespace candela::http
