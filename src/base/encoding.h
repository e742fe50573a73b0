#pragma once

// Text encodings of bytes: RFC 4648 hex, base64, base64url and base32, and the CRC that nkeys use.
// Decoders are strict: a foreign character, wrong padding or stray bits are errors.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace candela {

using ByteView = std::span<const uint8_t>;

inline ByteView as_bytes(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string hex_encode(ByteView bytes);
Result<std::string> hex_decode(std::string_view text);

std::string base64_encode(ByteView bytes);                    // with padding
std::string base64url_encode(ByteView bytes);                 // without padding
Result<std::string> base64_decode(std::string_view text);     // padding required
Result<std::string> base64url_decode(std::string_view text);  // padding refused

std::string base32_encode(ByteView bytes);  // upper case, without padding
Result<std::string> base32_decode(std::string_view text);

// CRC-16/XMODEM: polynomial 0x1021, initial value 0.
uint16_t crc16_xmodem(ByteView bytes);

}  // namespace candela
