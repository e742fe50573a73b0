#include "crc32c.h"

#include <array>
#include <cstring>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace candela::bus_role {

namespace {

constexpr std::array<uint32_t, 256> make_table() {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit)
            value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0);
        table[i] = value;
    }
    return table;
}

uint32_t by_table(std::string_view bytes, uint32_t crc) {
    static constexpr std::array<uint32_t, 256> kTable = make_table();
    for (const char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t by_instruction(std::string_view bytes, uint32_t crc) {
    uint64_t wide = crc;
    while (bytes.size() >= 8) {
        uint64_t word = 0;
        std::memcpy(&word, bytes.data(), 8);
        wide = _mm_crc32_u64(wide, word);
        bytes.remove_prefix(8);
    }
    auto narrow = static_cast<uint32_t>(wide);
    for (const char c : bytes) narrow = _mm_crc32_u8(narrow, static_cast<uint8_t>(c));
    return narrow;
}
#endif

}  // namespace

uint32_t crc32c(std::string_view bytes, uint32_t crc) {
#if defined(__x86_64__)
    static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
    if (has_instruction) return ~by_instruction(bytes, ~crc);
#endif
    return ~by_table(bytes, ~crc);
}

}  // namespace candela::bus_role
