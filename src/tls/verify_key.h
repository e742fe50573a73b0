#pragma once

// Public keys that check signatures made elsewhere: RSA with PKCS #1 v1.5 and SHA-256 (RS256),
// ECDSA on P-256 with SHA-256 (ES256), Ed25519 (EdDSA); RFC 7518 §3.3 and 3.4, RFC 8037. Values; a
// key may be used by several threads at once.

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.h"

namespace candela::tls {

enum class SignatureAlgorithm : uint8_t { kRs256, kEs256, kEdDsa };

class VerifyKey {
public:
    // Numbers and points are big-endian bytes without padding, as JWK has them (RFC 7518 §6).
    static Result<VerifyKey> from_rsa(std::string_view modulus, std::string_view exponent);
    static Result<VerifyKey> from_p256(std::string_view x, std::string_view y);
    static Result<VerifyKey> from_ed25519(std::string_view key);

    SignatureAlgorithm algorithm() const { return algorithm_; }
    // The signature in its JOSE form: of ES256 the two numbers side by side.
    bool verify(std::string_view message, std::string_view signature) const;

private:
    struct Key;
    VerifyKey(SignatureAlgorithm algorithm, std::shared_ptr<const Key> key)
        : algorithm_(algorithm), key_(std::move(key)) {}

    SignatureAlgorithm algorithm_;
    std::shared_ptr<const Key> key_;
};

}  // namespace candela::tls
