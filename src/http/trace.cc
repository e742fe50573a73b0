#include "http/trace.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace candela::http {

namespace {

bool is_lower_hex(std::string_view text) {
    return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_zero(std::string_view text) {
    return text.find_first_not_of('0') == std::string_view::npos;
}

// The digits of each byte.
constexpr auto kHexPairs = [] {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::array<char, 512> pairs{};
    for (size_t byte = 0; byte < 256; ++byte) {
        pairs[2 * byte] = kDigits[byte >> 4];
        pairs[2 * byte + 1] = kDigits[byte & 0xf];
    }
    return pairs;
}();

char* put_hex(uint64_t value, char* to) {
    for (int shift = 56; shift >= 0; shift -= 8) {
        std::memcpy(to, &kHexPairs[2 * (value >> shift & 0xff)], 2);
        to += 2;
    }
    return to;
}

}  // namespace

bool is_traceparent(std::string_view text) {
    if (text.size() < kTraceParentSize) return false;
    const std::string_view version = text.substr(0, 2);
    // What a later version adds follows a further dash; 00 adds nothing.
    if (text.size() > kTraceParentSize && (version == "00" || text[kTraceParentSize] != '-')) {
        return false;
    }
    const std::string_view trace = text.substr(3, 32);
    const std::string_view parent = text.substr(36, 16);
    return text[2] == '-' && text[35] == '-' && text[52] == '-' && version != "ff" &&
           is_lower_hex(version) && is_lower_hex(trace) && is_lower_hex(parent) &&
           is_lower_hex(text.substr(53, 2)) && !is_zero(trace) && !is_zero(parent);
}

TraceParent make_traceparent(Random& random) {
    TraceParent out;
    char* at = std::copy_n("00-", 3, out.data());
    at = put_hex(random.next(), at);
    at = put_hex(random.next() | 1, at);  // no id is all zeros
    *at++ = '-';
    at = put_hex(random.next() | 1, at);
    std::copy_n("-00", 3, at);
    return out;
}

}  // namespace candela::http
