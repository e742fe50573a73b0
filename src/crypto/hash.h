#pragma once

// SHA-256 (FIPS 180-4) and BLAKE2b through libsodium. Values; any thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/encoding.h"
#include "base/secret.h"

namespace candela::crypto {

using Digest = std::array<uint8_t, 32>;

Digest sha256(ByteView bytes);
// The digest as 64 lower-case hex digits, the form in which bundles are named.
std::string sha256_hex(ByteView bytes);

// BLAKE2b-256 with a key of 16 to 64 bytes (RFC 7693): only who has the key can make it.
Digest keyed_hash(const Secret& key, ByteView bytes);

// For what does not fit in memory: update() any number of times, then finish() once.
class Sha256 {
public:
    Sha256();
    void update(ByteView bytes);
    Digest finish();
    std::string finish_hex();

private:
    alignas(
        16) std::array<uint8_t, 128> state_{};  // libsodium's state; its header stays in the .cc
};

// Compares in a time that does not depend on where the bytes differ.
bool equal_constant_time(ByteView a, ByteView b);

}  // namespace candela::crypto
