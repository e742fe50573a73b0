#pragma once

// nkeys: Ed25519 keys in NATS's text form. A public key is base32 of a prefix byte, the 32 bytes
// and a CRC16: "O…" an operator, "A…" an account, "U…" a user, "N…" a server; a seed starts with
// "S" and the kind. Values; any thread.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "crypto/ed25519.h"

namespace candela::auth {

enum class KeyKind : uint8_t { kOperator, kAccount, kUser, kServer };

std::string_view to_string(KeyKind kind);

class KeyPair {
public:
    static KeyPair generate(KeyKind kind);
    // "SUAB…"; kInvalid says what is wrong with it and never quotes it.
    static Result<KeyPair> from_seed(std::string_view seed_text);
    KeyPair clone() const { return KeyPair(kind_, key_.clone()); }

    KeyKind kind() const { return kind_; }
    const std::string& public_key() const { return public_key_; }  // the text form
    Secret seed() const;                                           // the text form
    crypto::Signature sign(std::string_view message) const;

private:
    KeyPair(KeyKind kind, crypto::SigningKey key);

    KeyKind kind_;
    crypto::SigningKey key_;
    std::string public_key_;
};

struct PublicKey {
    KeyKind kind;
    crypto::PublicKey bytes;
};

Result<PublicKey> parse_public_key(std::string_view text);
bool is_public_key(std::string_view text, KeyKind kind);
std::string format_public_key(KeyKind kind, const crypto::PublicKey& bytes);

// False for a malformed key or signature too. `signature` is the 64 bytes.
bool verify(std::string_view public_key, std::string_view message, ByteView signature);
// The same for a signature in base64url or base64, with or without padding, as clients send it.
bool verify_text(std::string_view public_key, std::string_view message, std::string_view signature);

}  // namespace candela::auth
