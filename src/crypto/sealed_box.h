#pragma once

// Sealed boxes (libsodium crypto_box_seal: X25519, XSalsa20-Poly1305): anyone can seal for a public
// key, only the holder of the secret can open, and the sender stays anonymous. Values; any thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/encoding.h"
#include "base/result.h"
#include "base/secret.h"

namespace candela::crypto {

using BoxPublicKey = std::array<uint8_t, 32>;

class BoxKey {
public:
    static BoxKey generate();
    // From the 32 bytes of a seed; another length is kInvalid.
    static Result<BoxKey> from_seed(ByteView seed);

    const BoxPublicKey& public_key() const { return public_; }
    // kCorrupt where the box was sealed for another key or has been changed.
    Result<Secret> open(ByteView sealed) const;

private:
    BoxKey() = default;
    BoxPublicKey public_{};
    Secret secret_;
};

inline constexpr size_t kSealOverheadBytes = 48;

// The sealed text is kSealOverheadBytes longer than what is in it. A public key that is no point of
// the curve's large group is kInvalid.
Result<std::string> seal(const BoxPublicKey& key, ByteView plain);

}  // namespace candela::crypto
