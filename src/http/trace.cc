#include "http/trace.h"

#include <algorithm>
#include <cstdint>

namespace candela::http {

namespace {

bool is_lower_hex(std::string_view text) {
    return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_zero(std::string_view text) {
    return text.find_first_not_of('0') == std::string_view::npos;
}

char* put_hex(uint64_t value, char* to) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (int shift = 60; shift >= 0; shift -= 4) *to++ = kDigits[value >> shift & 0xf];
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
