#include "crypto/hash.h"

#include <sodium.h>

#include <new>

#include "base/check.h"
#include "crypto/sodium_init.h"

namespace candela::crypto {

static_assert(crypto_hash_sha256_BYTES == 32);
static_assert(sizeof(crypto_hash_sha256_state) <= 128);

static crypto_hash_sha256_state* as_state(std::array<uint8_t, 128>& bytes) {
    return std::launder(reinterpret_cast<crypto_hash_sha256_state*>(bytes.data()));
}

Digest sha256(ByteView bytes) {
    ensure_sodium();
    Digest digest;
    crypto_hash_sha256(digest.data(), bytes.data(), bytes.size());
    return digest;
}

std::string sha256_hex(ByteView bytes) {
    const Digest digest = sha256(bytes);
    return hex_encode(digest);
}

Digest keyed_hash(const Secret& key, ByteView bytes) {
    ensure_sodium();
    const ByteView key_bytes = as_bytes(key.reveal());
    CANDELA_CHECK(key_bytes.size() >= crypto_generichash_KEYBYTES_MIN &&
                  key_bytes.size() <= crypto_generichash_KEYBYTES_MAX);
    Digest digest;
    crypto_generichash(digest.data(), digest.size(), bytes.data(), bytes.size(), key_bytes.data(),
                       key_bytes.size());
    return digest;
}

Sha256::Sha256() {
    ensure_sodium();
    crypto_hash_sha256_init(new (state_.data()) crypto_hash_sha256_state);
}

void Sha256::update(ByteView bytes) {
    crypto_hash_sha256_update(as_state(state_), bytes.data(), bytes.size());
}

Digest Sha256::finish() {
    Digest digest;
    crypto_hash_sha256_final(as_state(state_), digest.data());
    return digest;
}

std::string Sha256::finish_hex() {
    const Digest digest = finish();
    return hex_encode(digest);
}

bool equal_constant_time(ByteView a, ByteView b) {
    if (a.size() != b.size()) return false;
    return sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace candela::crypto
