#pragma once

// Bytes that nobody can guess, from the operating system: for keys, nonces and tokens. Any thread.
// What a simulation must be able to replay takes base/random.h instead.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace candela::crypto {

void random_bytes(std::span<uint8_t> out);
// `size_bytes` random bytes as base64url, without padding.
std::string random_token(size_t size_bytes);

}  // namespace candela::crypto
