#pragma once

// Ed25519 signatures (RFC 8032) through libsodium. Values; any thread. A SigningKey keeps its
// secret in memory that is wiped when it ends.

#include <array>
#include <cstdint>

#include "base/encoding.h"
#include "base/result.h"
#include "base/secret.h"

namespace candela::crypto {

using PublicKey = std::array<uint8_t, 32>;
using Signature = std::array<uint8_t, 64>;

class SigningKey {
public:
    // From the operating system's entropy.
    static SigningKey generate();
    // From the 32 bytes of a seed; another length is kInvalid.
    static Result<SigningKey> from_seed(ByteView seed);

    SigningKey(SigningKey&& other) noexcept;
    SigningKey& operator=(SigningKey&& other) noexcept;
    ~SigningKey();
    SigningKey clone() const { return SigningKey(*this); }

    PublicKey public_key() const;
    // The 32 bytes that from_seed() takes.
    Secret seed() const;
    Signature sign(ByteView message) const;

private:
    SigningKey() = default;
    SigningKey(const SigningKey&) = default;
    SigningKey& operator=(const SigningKey&) = delete;

    std::array<uint8_t, 64> secret_{};  // libsodium's form: seed, then public key
};

// False for a signature of another length too.
bool verify(const PublicKey& key, ByteView message, ByteView signature);

}  // namespace candela::crypto
