#pragma once

// One value of a schema's key from its text. Private to src/base.

#include "base/config.h"

namespace candela {

struct ConfigScalar {
    int64_t integer = 0;  // kInt, kBool, kDuration in nanoseconds, kSize
    double number = 0;    // kFloat
};

// The text of a value as config files write it, without quotes; the allowed values and the range
// are checked. Lists and tables are not values of this kind (CHECK).
Result<ConfigScalar> parse_config_scalar(const ConfigKey& key, std::string_view text);

// "a", "b" or "c", with the nearest to `text` offered first where there is one.
std::string suggest(std::string_view text, const std::vector<std::string>& allowed);

}  // namespace candela
