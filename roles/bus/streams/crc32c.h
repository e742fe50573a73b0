#pragma once

// CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor's instruction where it has one. Any
// thread.

#include <cstdint>
#include <string_view>

namespace candela::bus_role {

// Continues from `crc`, which is 0 at the start.
uint32_t crc32c(std::string_view bytes, uint32_t crc = 0);

}  // namespace candela::bus_role
