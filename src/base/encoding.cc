#include "base/encoding.h"

namespace candela {

namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string encode_bits(ByteView bytes, std::string_view alphabet, unsigned bits) {
    std::string out;
    out.reserve((bytes.size() * 8 + bits - 1) / bits);
    uint32_t accumulator = 0;
    unsigned held = 0;
    const uint32_t mask = (1u << bits) - 1;
    for (const uint8_t byte : bytes) {
        accumulator = (accumulator << 8) | byte;
        held += 8;
        while (held >= bits) {
            held -= bits;
            out += alphabet[(accumulator >> held) & mask];
        }
    }
    if (held > 0) out += alphabet[(accumulator << (bits - held)) & mask];
    return out;
}

Result<std::string> decode_bits(std::string_view text, std::string_view alphabet, unsigned bits,
                                std::string_view name) {
    std::string out;
    out.reserve(text.size() * bits / 8);
    uint32_t accumulator = 0;
    unsigned held = 0;
    for (const char c : text) {
        const size_t value = alphabet.find(c);
        if (value == std::string_view::npos) {
            return fail(Code::kInvalid, "a character that is not {}", name);
        }
        accumulator = (accumulator << bits) | static_cast<uint32_t>(value);
        held += bits;
        if (held >= 8) {
            held -= 8;
            out += static_cast<char>((accumulator >> held) & 0xFF);
        }
    }
    if (held >= bits || (accumulator & ((1u << held) - 1)) != 0) {
        return fail(Code::kInvalid, "text that ends in the middle of a {} group", name);
    }
    return out;
}

}  // namespace

std::string hex_encode(ByteView bytes) { return encode_bits(bytes, kHex, 4); }

Result<std::string> hex_decode(std::string_view text) {
    std::string lowered(text);
    for (char& c : lowered) {
        if (c >= 'A' && c <= 'F') c = static_cast<char>(c + 32);
    }
    if (text.size() % 2 != 0) return fail(Code::kInvalid, "an odd number of hex digits");
    return decode_bits(lowered, kHex, 4, "hex");
}

std::string base64_encode(ByteView bytes) {
    std::string out = encode_bits(bytes, kBase64, 6);
    while (out.size() % 4 != 0) out += '=';
    return out;
}

std::string base64url_encode(ByteView bytes) { return encode_bits(bytes, kBase64Url, 6); }

Result<std::string> base64_decode(std::string_view text) {
    if (text.size() % 4 != 0) return fail(Code::kInvalid, "base64 without its padding");
    for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
    return decode_bits(text, kBase64, 6, "base64");
}

Result<std::string> base64url_decode(std::string_view text) {
    return decode_bits(text, kBase64Url, 6, "base64url");
}

std::string base32_encode(ByteView bytes) { return encode_bits(bytes, kBase32, 5); }

Result<std::string> base32_decode(std::string_view text) {
    return decode_bits(text, kBase32, 5, "base32");
}

uint16_t crc16_xmodem(ByteView bytes) {
    uint16_t crc = 0;
    for (const uint8_t byte : bytes) {
        crc = static_cast<uint16_t>(crc ^ (byte << 8));
        for (int bit = 0; bit < 8; ++bit) {
            crc = static_cast<uint16_t>((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
        }
    }
    return crc;
}

}  // namespace candela
