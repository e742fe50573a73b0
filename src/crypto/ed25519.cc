#include "crypto/ed25519.h"

#include <sodium.h>

#include <algorithm>

#include "base/check.h"
#include "crypto/sodium_init.h"

namespace candela::crypto {

static_assert(crypto_sign_PUBLICKEYBYTES == 32 && crypto_sign_SEEDBYTES == 32);
static_assert(crypto_sign_SECRETKEYBYTES == 64 && crypto_sign_BYTES == 64);

SigningKey SigningKey::generate() {
    ensure_sodium();
    SigningKey key;
    PublicKey ignored;
    CANDELA_CHECK(crypto_sign_keypair(ignored.data(), key.secret_.data()) == 0);
    return key;
}

Result<SigningKey> SigningKey::from_seed(ByteView seed) {
    ensure_sodium();
    if (seed.size() != crypto_sign_SEEDBYTES) {
        return fail(Code::kInvalid, "an Ed25519 seed has 32 bytes, not {}", seed.size());
    }
    SigningKey key;
    PublicKey ignored;
    CANDELA_CHECK(crypto_sign_seed_keypair(ignored.data(), key.secret_.data(), seed.data()) == 0);
    return key;
}

SigningKey::SigningKey(SigningKey&& other) noexcept : secret_(other.secret_) {
    sodium_memzero(other.secret_.data(), other.secret_.size());
}

SigningKey& SigningKey::operator=(SigningKey&& other) noexcept {
    if (this == &other) return *this;
    secret_ = other.secret_;
    sodium_memzero(other.secret_.data(), other.secret_.size());
    return *this;
}

SigningKey::~SigningKey() { sodium_memzero(secret_.data(), secret_.size()); }

PublicKey SigningKey::public_key() const {
    PublicKey key;
    std::copy_n(secret_.begin() + crypto_sign_SEEDBYTES, key.size(), key.begin());
    return key;
}

Secret SigningKey::seed() const {
    return Secret(as_text(ByteView(secret_).first(crypto_sign_SEEDBYTES)));
}

Signature SigningKey::sign(ByteView message) const {
    Signature signature;
    CANDELA_CHECK(crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(),
                                       secret_.data()) == 0);
    return signature;
}

bool verify(const PublicKey& key, ByteView message, ByteView signature) {
    ensure_sodium();
    if (signature.size() != crypto_sign_BYTES) return false;
    return crypto_sign_verify_detached(signature.data(), message.data(), message.size(),
                                       key.data()) == 0;
}

}  // namespace candela::crypto
