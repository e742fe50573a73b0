#include "auth/key_pair.h"

#include <algorithm>
#include <optional>

#include "base/encoding.h"

namespace candela::auth {

namespace {

// The first base32 digit of a text is that of its prefix: five bits, then three of zero.
constexpr uint8_t kSeedPrefix = 18 << 3;  // 'S'
constexpr size_t kPublicTextLength = 56;  // 1 + 32 + 2 bytes in base32
constexpr size_t kSeedTextLength = 58;    // 2 + 32 + 2 bytes

constexpr uint8_t prefix_of(KeyKind kind) {
    switch (kind) {
        case KeyKind::kOperator: return 14 << 3;
        case KeyKind::kAccount: return 0;
        case KeyKind::kUser: return 20 << 3;
        case KeyKind::kServer: return 13 << 3;
    }
    return 0xFF;
}

std::optional<KeyKind> kind_of(uint8_t prefix) {
    for (const KeyKind kind :
         {KeyKind::kOperator, KeyKind::kAccount, KeyKind::kUser, KeyKind::kServer}) {
        if (prefix_of(kind) == prefix) return kind;
    }
    return std::nullopt;
}

// Appends the CRC, low byte first, and encodes.
std::string encode_checked(std::string raw) {
    const uint16_t crc = crc16_xmodem(as_bytes(raw));
    raw += static_cast<char>(crc & 0xFF);
    raw += static_cast<char>(crc >> 8);
    std::string text = base32_encode(as_bytes(raw));
    Secret wiped(std::move(raw));
    return text;
}

// The bytes without their CRC.
Result<std::string> decode_checked(std::string_view text) {
    CANDELA_TRY_ASSIGN(std::string raw, base32_decode(text));
    if (raw.size() < 3) return fail(Code::kInvalid, "it is too short");
    const ByteView body = as_bytes(raw).first(raw.size() - 2);
    const auto low = static_cast<uint8_t>(raw[raw.size() - 2]);
    const auto high = static_cast<uint8_t>(raw[raw.size() - 1]);
    if (crc16_xmodem(body) != (low | high << 8)) {
        return fail(Code::kInvalid, "its checksum is wrong");
    }
    raw.resize(raw.size() - 2);
    return raw;
}

}  // namespace

std::string_view to_string(KeyKind kind) {
    switch (kind) {
        case KeyKind::kOperator: return "operator";
        case KeyKind::kAccount: return "account";
        case KeyKind::kUser: return "user";
        case KeyKind::kServer: return "server";
    }
    return "unknown";
}

KeyPair::KeyPair(KeyKind kind, crypto::SigningKey key)
    : kind_(kind), key_(std::move(key)), public_key_(format_public_key(kind, key_.public_key())) {}

KeyPair KeyPair::generate(KeyKind kind) { return KeyPair(kind, crypto::SigningKey::generate()); }

Result<KeyPair> KeyPair::from_seed(std::string_view seed_text) {
    if (seed_text.size() != kSeedTextLength || seed_text[0] != 'S') {
        return fail(Code::kInvalid, "not an nkey seed: it has {} characters and starts with S",
                    kSeedTextLength);
    }
    Result<std::string> decoded = decode_checked(seed_text);
    if (!decoded) return fail(decoded.error().in("not an nkey seed"));
    const Secret raw(std::move(*decoded));
    const ByteView bytes = as_bytes(raw.reveal());
    const auto prefix = static_cast<uint8_t>((bytes[0] & 7) << 5 | bytes[1] >> 3);
    const std::optional<KeyKind> kind = kind_of(prefix);
    if ((bytes[0] & 0xF8) != kSeedPrefix || (bytes[1] & 7) != 0 || !kind) {
        return fail(Code::kInvalid, "not an nkey seed of an operator, account, user or server");
    }
    CANDELA_TRY_ASSIGN(crypto::SigningKey key, crypto::SigningKey::from_seed(bytes.subspan(2)));
    return KeyPair(*kind, std::move(key));
}

Secret KeyPair::seed() const {
    const uint8_t prefix = prefix_of(kind_);
    const Secret seed = key_.seed();
    std::string raw;
    raw.reserve(36);
    raw += static_cast<char>(kSeedPrefix | prefix >> 5);
    raw += static_cast<char>((prefix & 31) << 3);
    raw += seed.reveal();
    return Secret(encode_checked(std::move(raw)));
}

crypto::Signature KeyPair::sign(std::string_view message) const {
    return key_.sign(as_bytes(message));
}

Result<PublicKey> parse_public_key(std::string_view text) {
    if (text.size() != kPublicTextLength) {
        return fail(Code::kInvalid, "not a public key: it has {} characters", kPublicTextLength);
    }
    Result<std::string> raw = decode_checked(text);
    if (!raw) return fail(raw.error().in("not a public key"));
    const std::optional<KeyKind> kind = kind_of(static_cast<uint8_t>((*raw)[0]));
    if (!kind) return fail(Code::kInvalid, "not a public key of a known kind");
    PublicKey key{*kind, {}};
    std::copy_n(as_bytes(*raw).begin() + 1, key.bytes.size(), key.bytes.begin());
    return key;
}

bool is_public_key(std::string_view text, KeyKind kind) {
    const Result<PublicKey> key = parse_public_key(text);
    return key && key->kind == kind;
}

std::string format_public_key(KeyKind kind, const crypto::PublicKey& bytes) {
    std::string raw;
    raw.reserve(35);
    raw += static_cast<char>(prefix_of(kind));
    raw += as_text(bytes);
    return encode_checked(std::move(raw));
}

bool verify(std::string_view public_key, std::string_view message, ByteView signature) {
    const Result<PublicKey> key = parse_public_key(public_key);
    return key && crypto::verify(key->bytes, as_bytes(message), signature);
}

bool verify_text(std::string_view public_key, std::string_view message,
                 std::string_view signature) {
    while (!signature.empty() && signature.back() == '=') signature.remove_suffix(1);
    std::string url(signature);
    std::replace(url.begin(), url.end(), '+', '-');
    std::replace(url.begin(), url.end(), '/', '_');
    const Result<std::string> raw = base64url_decode(url);
    return raw && verify(public_key, message, as_bytes(*raw));
}

}  // namespace candela::auth
