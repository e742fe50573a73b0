#include "crypto/entropy.h"

#include <sodium.h>

#include <vector>

#include "base/encoding.h"
#include "crypto/sodium_init.h"

namespace candela::crypto {

void random_bytes(std::span<uint8_t> out) {
    ensure_sodium();
    randombytes_buf(out.data(), out.size());
}

std::string random_token(size_t size_bytes) {
    std::vector<uint8_t> bytes(size_bytes);
    random_bytes(bytes);
    return base64url_encode(bytes);
}

}  // namespace candela::crypto
