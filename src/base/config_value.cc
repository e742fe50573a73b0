#include "base/config_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/text.h"

namespace candela {

namespace {

Result<int64_t> parse_int(std::string_view text) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        return fail(Code::kInvalid, "\"{}\" is not a whole number", printable(text));
    }
    return value;
}

Result<double> parse_float(std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
        return fail(Code::kInvalid, "\"{}\" is not a number", printable(text));
    }
    return value;
}

// The same forms as Address::parse in src/loop, which base can't use.
Result<> check_address(std::string_view text) {
    constexpr size_t kUnixPathMax = 107;  // sockaddr_un holds 108 bytes with the terminator
    if (text.starts_with("unix:")) {
        const size_t length = text.size() - 5;
        if (length >= 1 && length <= kUnixPathMax) return {};
        return fail(Code::kInvalid, "a socket's path has 1 to {} bytes", kUnixPathMax);
    }
    if (text.starts_with("inproc:") && text.size() > 7) return {};
    const auto bad = [&] {
        return fail(Code::kInvalid, "\"{}\" is not an address; write HOST:PORT or unix:/PATH",
                    printable(text));
    };
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos || colon == 0) return bad();
    std::string_view host = text.substr(0, colon);
    if (!parse_port(text.substr(colon + 1))) return bad();
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return bad();
    }
    if (host.empty() || host.find_first_of(" \t/") != std::string_view::npos) return bad();
    return {};
}

Result<ConfigScalar> parse_by_type(ConfigType type, std::string_view text) {
    ConfigScalar out;
    switch (type) {
        case ConfigType::kString: break;
        case ConfigType::kAddress:
        case ConfigType::kAddresses: CANDELA_TRY(check_address(text)); break;
        case ConfigType::kInt: {
            CANDELA_TRY_ASSIGN(out.integer, parse_int(text));
            break;
        }
        case ConfigType::kBool:
            if (text != "true" && text != "false") {
                return fail(Code::kInvalid, "\"{}\" is neither true nor false", printable(text));
            }
            out.integer = text == "true" ? 1 : 0;
            break;
        case ConfigType::kFloat: {
            CANDELA_TRY_ASSIGN(out.number, parse_float(text));
            break;
        }
        case ConfigType::kDuration: {
            CANDELA_TRY_ASSIGN(const Duration duration, parse_duration(text));
            out.integer = duration.count();
            break;
        }
        case ConfigType::kSize: {
            CANDELA_TRY_ASSIGN(const uint64_t size, parse_size(text));
            out.integer = static_cast<int64_t>(size);
            break;
        }
        case ConfigType::kStrings: break;
        case ConfigType::kStringMap:
        case ConfigType::kTable:
        case ConfigType::kTables: CANDELA_CHECK(false);
    }
    return out;
}

Result<> check_range(const ConfigKey& key, const ConfigScalar& value) {
    const auto beyond = [&](const std::string& bound_text, int sign) {
        if (bound_text.empty()) return false;
        const auto bound = parse_by_type(key.type, bound_text);
        CANDELA_CHECK(bound.has_value());
        if (key.type == ConfigType::kFloat) return (value.number - bound->number) * sign > 0;
        return sign > 0 ? value.integer > bound->integer : value.integer < bound->integer;
    };
    if (!beyond(key.min_text, -1) && !beyond(key.max_text, 1)) return {};
    if (key.max_text.empty()) return fail(Code::kInvalid, "must be at least {}", key.min_text);
    if (key.min_text.empty()) return fail(Code::kInvalid, "must be at most {}", key.max_text);
    return fail(Code::kInvalid, "must be from {} to {}", key.min_text, key.max_text);
}

}  // namespace

std::string suggest(std::string_view text, const std::vector<std::string>& allowed) {
    std::vector<std::string_view> views(allowed.begin(), allowed.end());
    if (const auto near = nearest(text, views)) return fmt::format("did you mean \"{}\"?", *near);
    return fmt::format("write one of \"{}\"", fmt::join(allowed, "\", \""));
}

Result<ConfigScalar> parse_config_scalar(const ConfigKey& key, std::string_view text) {
    CANDELA_TRY_ASSIGN(const ConfigScalar value, parse_by_type(key.type, text));
    const bool is_text = key.type == ConfigType::kString || key.type == ConfigType::kStrings;
    if (is_text && !key.allowed.empty() &&
        std::find(key.allowed.begin(), key.allowed.end(), text) == key.allowed.end()) {
        return fail(Code::kInvalid, "unknown value \"{}\"; {}", printable(text),
                    suggest(text, key.allowed));
    }
    CANDELA_TRY(check_range(key, value));
    return value;
}

}  // namespace candela
