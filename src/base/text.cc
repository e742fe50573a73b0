#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <numeric>

namespace candela {

std::string_view trim(std::string_view text) {
    const auto blank = [](char c) { return c == ' ' || c == '\t'; };
    while (!text.empty() && blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && blank(text.back())) text.remove_suffix(1);
    return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    for (;;) {
        const size_t at = text.find(separator);
        parts.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

std::optional<std::pair<std::string_view, std::string_view>> split_once(std::string_view text,
                                                                        char separator) {
    const size_t at = text.find(separator);
    if (at == std::string_view::npos) return std::nullopt;
    return std::pair(text.substr(0, at), text.substr(at + 1));
}

std::string join(std::span<const std::string> parts, std::string_view separator) {
    return fmt::format("{}", fmt::join(parts, separator));
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// The same of eight bytes at once: a letter's case is its bit 0x20.
static uint64_t lower_word(uint64_t word) {
    constexpr uint64_t kOnes = 0x0101010101010101;
    constexpr uint64_t kTops = 0x80 * kOnes;
    // Without their top bits no sum carries into the next byte: it sets the top bit instead.
    const uint64_t low = word & ~kTops;
    const uint64_t from_a = low + (0x80 - 'A') * kOnes;
    const uint64_t beyond_z = low + (0x7f - 'Z') * kOnes;
    const uint64_t is_upper = from_a & ~beyond_z & ~word & kTops;
    return word | is_upper >> 2;
}

template <class Word>
[[gnu::always_inline]] static inline bool equal_words(const char* x, const char* y) {
    Word first = 0;
    Word second = 0;
    std::memcpy(&first, x, sizeof first);
    std::memcpy(&second, y, sizeof second);
    return first == second || lower_word(first) == lower_word(second);
}

bool ascii_iequals(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    const char* x = a.data();
    const char* y = b.data();
    size_t left = a.size();
    // What is left at the end is compared with some bytes before it once more.
    if (left >= 8) {
        for (; left > 8; left -= 8, x += 8, y += 8) {
            if (!equal_words<uint64_t>(x, y)) return false;
        }
        return equal_words<uint64_t>(x + left - 8, y + left - 8);
    }
    if (left >= 4)
        return equal_words<uint32_t>(x, y) && equal_words<uint32_t>(x + left - 4, y + left - 4);
    for (; left > 0; --left, ++x, ++y) {
        if (*x != *y && lower(*x) != lower(*y)) return false;
    }
    return true;
}

std::string ascii_lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), lower);
    return out;
}

Result<uint64_t> parse_uint(std::string_view text) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        return fail(Code::kInvalid, "\"{}\" is not a whole number", printable(text));
    }
    return value;
}

Result<uint16_t> parse_port(std::string_view text) {
    const auto value = parse_uint(text);
    if (!value || *value > 65535) {
        return fail(Code::kInvalid, "\"{}\" is not a port (0 to 65535)", printable(text));
    }
    return static_cast<uint16_t>(*value);
}

namespace {
struct SizeUnit {
    std::string_view name;
    uint64_t bytes;
};
constexpr std::array<SizeUnit, 10> kSizeUnits{{{"", 1},
                                               {"B", 1},
                                               {"KiB", 1ULL << 10},
                                               {"MiB", 1ULL << 20},
                                               {"GiB", 1ULL << 30},
                                               {"TiB", 1ULL << 40},
                                               {"KB", 1000},
                                               {"MB", 1000ULL * 1000},
                                               {"GB", 1000ULL * 1000 * 1000},
                                               {"TB", 1000ULL * 1000 * 1000 * 1000}}};
}  // namespace

Result<uint64_t> parse_size(std::string_view text) {
    uint64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error == std::errc()) {
        const auto unit_name = trim(text.substr(static_cast<size_t>(end - text.data())));
        for (const SizeUnit& unit : kSizeUnits) {
            if (!ascii_iequals(unit.name, unit_name)) continue;
            if (count > UINT64_MAX / 2 / unit.bytes) break;
            return count * unit.bytes;
        }
    }
    return fail(Code::kInvalid,
                "\"{}\" is not a size; write for example \"512KiB\", \"64MiB\" or "
                "\"2GB\"",
                printable(text));
}

std::string format_size(uint64_t size_bytes) {
    constexpr std::array<std::string_view, 5> kNames{"B", "KiB", "MiB", "GiB", "TiB"};
    double value = static_cast<double>(size_bytes);
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < kNames.size()) {
        value /= 1024;
        ++unit;
    }
    return unit == 0 ? fmt::format("{} B", size_bytes)
                     : fmt::format("{:.1f} {}", value, kNames[unit]);
}

// Edit distance with adjacent transpositions counted once ("prot" is one step from "port").
static size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
    std::iota(previous.begin(), previous.end(), 0);
    for (size_t i = 1; i <= a.size(); ++i) {
        current[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
            current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + cost});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                current[j] = std::min(current[j], before[j - 2] + 1);
            }
        }
        std::swap(before, previous);
        std::swap(previous, current);
    }
    return previous[b.size()];
}

std::optional<std::string_view> nearest(std::string_view text,
                                        std::span<const std::string_view> candidates) {
    const std::string wanted = ascii_lower(text);
    std::optional<std::string_view> best;
    size_t best_distance = std::max<size_t>(2, wanted.size() / 3) + 1;
    for (const std::string_view candidate : candidates) {
        size_t distance = edit_distance(wanted, ascii_lower(candidate));
        const bool prefix = wanted.size() >= 3 && candidate.starts_with(wanted);
        if (prefix) distance = std::min<size_t>(distance, 1);
        if (distance < best_distance && distance < candidate.size()) {
            best_distance = distance;
            best = candidate;
        }
    }
    return best;
}

namespace {
// The length of the UTF-8 sequence at the front (RFC 3629 §4), or 0 where it is not one.
size_t utf8_sequence_length(std::string_view text) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    size_t length = 0;
    unsigned low = 0x80, high = 0xBF;
    if (first >= 0xC2 && first <= 0xDF)
        length = 2;
    else if (first >= 0xE0 && first <= 0xEF)
        length = 3;
    else if (first >= 0xF0 && first <= 0xF4)
        length = 4;
    if (length == 0 || text.size() < length) return 0;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
    if (byte(1) < low || byte(1) > high) return 0;
    for (size_t i = 2; i < length; ++i) {
        if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
    }
    return length;
}
}  // namespace

std::string_view cut_utf8(std::string_view text, size_t bytes_max) {
    if (text.size() <= bytes_max) return text;
    size_t end = bytes_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
    return text.substr(0, end);
}

bool is_valid_utf8(std::string_view text) {
    while (!text.empty()) {
        const size_t length = utf8_sequence_length(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

std::string printable(std::string_view text, size_t length_max) {
    std::string out;
    while (!text.empty()) {
        if (out.size() >= length_max) return out + "…";
        const size_t length = utf8_sequence_length(text);
        const auto first = static_cast<unsigned char>(text.front());
        if (length == 0 || first < 0x20 || first == 0x7F) {
            out += fmt::format("\\x{:02x}", first);
            text.remove_prefix(1);
        } else {
            out += text.substr(0, length);
            text.remove_prefix(length);
        }
    }
    return out;
}

}  // namespace candela
