#pragma once

// Small text helpers that more than one layer needs. Views returned point into the argument.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela {

std::string_view trim(std::string_view text);  // spaces and tabs at both ends
std::vector<std::string_view> split(std::string_view text, char separator);
// ("a=b=c", '=') -> {"a", "b=c"}; absent where the separator is.
std::optional<std::pair<std::string_view, std::string_view>> split_once(std::string_view text,
                                                                        char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);

bool ascii_iequals(std::string_view a, std::string_view b);
std::string ascii_lower(std::string_view text);

// Decimal without sign, blanks or overflow; nothing else is accepted.
Result<uint64_t> parse_uint(std::string_view text);
Result<uint16_t> parse_port(std::string_view text);

// "512", "64KiB", "10MB", "2GiB": bytes. A bare number is bytes.
Result<uint64_t> parse_size(std::string_view text);
std::string format_size(uint64_t size_bytes);

// The candidate that a person most likely meant, or nothing where none is near (typo suggestions).
std::optional<std::string_view> nearest(std::string_view text,
                                        std::span<const std::string_view> candidates);

// Printable for logs and error texts: control bytes and non-UTF-8 become \xNN, long text is cut.
std::string printable(std::string_view text, size_t length_max = 120);

bool is_valid_utf8(std::string_view text);
// At most so many bytes of valid UTF-8, cut between two characters.
std::string_view cut_utf8(std::string_view text, size_t bytes_max);

}  // namespace candela
