#pragma once

// SHA-1, which WebSocket's opening is made of (RFC 6455 §4.2.2). It protects nothing: use
// crypto/hash.h for what must hold.

#include <array>
#include <cstdint>
#include <string_view>

namespace candela::tls {

std::array<uint8_t, 20> sha1(std::string_view bytes);

}  // namespace candela::tls
