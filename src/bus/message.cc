#include "bus/message.h"

#include "base/text.h"

namespace candela::bus {

namespace {

constexpr std::string_view kVersion = "NATS/1.0";
constexpr std::string_view kLineEnd = "\r\n";

// Takes the next line off the block; nothing where no line end is left.
std::optional<std::string_view> next_line(std::string_view& rest) {
    const size_t end = rest.find(kLineEnd);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + kLineEnd.size());
    return line;
}

std::string without_line_ends(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c == '\r' || c == '\n' || c == '\0') c = ' ';
    }
    return out;
}

}  // namespace

std::optional<std::string_view> find_header(std::string_view block, std::string_view key) {
    if (!block.starts_with(kVersion) || !next_line(block)) return std::nullopt;
    while (const auto line = next_line(block)) {
        const auto pair = split_once(*line, ':');
        if (pair && ascii_iequals(trim(pair->first), key)) return trim(pair->second);
    }
    return std::nullopt;
}

int header_status(std::string_view block) {
    if (!block.starts_with(kVersion)) return 0;
    block.remove_prefix(kVersion.size());
    const std::string_view digits = trim(block.substr(0, block.find(kLineEnd))).substr(0, 3);
    const Result<uint64_t> status = parse_uint(digits);
    return status && digits.size() == 3 ? static_cast<int>(*status) : 0;
}

HeaderBuilder& HeaderBuilder::add(std::string_view key, std::string_view value) {
    text_ += without_line_ends(key);
    text_ += ": ";
    text_ += without_line_ends(value);
    text_ += kLineEnd;
    return *this;
}

}  // namespace candela::bus
