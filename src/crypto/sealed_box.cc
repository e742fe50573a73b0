#include "crypto/sealed_box.h"

#include <sodium.h>

#include "base/check.h"
#include "crypto/entropy.h"
#include "crypto/sodium_init.h"

namespace candela::crypto {

static_assert(crypto_box_PUBLICKEYBYTES == 32 && crypto_box_SEEDBYTES == 32);
static_assert(crypto_box_SEALBYTES == kSealOverheadBytes);

BoxKey BoxKey::generate() {
    std::array<uint8_t, crypto_box_SEEDBYTES> seed;
    random_bytes(seed);
    Result<BoxKey> key = from_seed(seed);
    sodium_memzero(seed.data(), seed.size());
    CANDELA_CHECK(key.has_value());
    return std::move(*key);
}

Result<BoxKey> BoxKey::from_seed(ByteView seed) {
    ensure_sodium();
    if (seed.size() != crypto_box_SEEDBYTES) {
        return fail(Code::kInvalid, "the seed of a box key has 32 bytes, not {}", seed.size());
    }
    BoxKey key;
    std::array<uint8_t, crypto_box_SECRETKEYBYTES> secret;
    CANDELA_CHECK(crypto_box_seed_keypair(key.public_.data(), secret.data(), seed.data()) == 0);
    key.secret_ = Secret(as_text(secret));
    sodium_memzero(secret.data(), secret.size());
    return key;
}

Result<Secret> BoxKey::open(ByteView sealed) const {
    if (sealed.size() < kSealOverheadBytes) {
        return fail(Code::kCorrupt, "a sealed box of {} bytes is too short", sealed.size());
    }
    std::string plain(sealed.size() - kSealOverheadBytes, '\0');
    const int result =
        crypto_box_seal_open(reinterpret_cast<uint8_t*>(plain.data()), sealed.data(), sealed.size(),
                             public_.data(), as_bytes(secret_.reveal()).data());
    if (result != 0) {
        return fail(Code::kCorrupt, "the sealed box is not for this key, or was changed");
    }
    return Secret(std::move(plain));
}

Result<std::string> seal(const BoxPublicKey& key, ByteView plain) {
    ensure_sodium();
    std::string sealed(plain.size() + kSealOverheadBytes, '\0');
    if (crypto_box_seal(reinterpret_cast<uint8_t*>(sealed.data()), plain.data(), plain.size(),
                        key.data()) != 0) {
        return fail(Code::kInvalid, "the public key is not one that can be sealed for");
    }
    return sealed;
}

}  // namespace candela::crypto
