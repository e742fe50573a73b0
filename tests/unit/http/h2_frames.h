#pragma once

// Frames of HTTP/2 by hand, for peers that no library would play.

#include <cstdint>
#include <string>
#include <string_view>

namespace candela::http::test {

// RFC 9113 §4.1.
inline std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
    std::string out;
    for (int shift = 16; shift >= 0; shift -= 8) {
        out += static_cast<char>(payload.size() >> shift & 0xff);
    }
    out += static_cast<char>(type);
    out += static_cast<char>(flags);
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(stream >> shift & 0xff);
    return out.append(payload);
}

}  // namespace candela::http::test
