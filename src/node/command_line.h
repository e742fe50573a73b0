#pragma once

// The few options of `candela node`, `dev` and `init`; `candela ctl` has more and uses CLI11.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela {

struct CommandOption {
    enum class Takes : uint8_t { kNothing, kValue, kMaybeValue };

    std::string_view name;        // "--config"
    std::string_view value_name;  // "FILE"; empty: takes nothing
    std::string_view help;
    Takes takes = Takes::kValue;
};

struct ParsedOptions {
    struct Given {
        std::string_view name;
        std::optional<std::string> value;
    };
    std::vector<Given> given;

    bool has(std::string_view name) const { return find(name) != nullptr; }
    const Given* find(std::string_view name) const;
    std::string value_or(std::string_view name, std::string_view fallback) const;
};

// "--name VALUE" or "--name=VALUE", each at most once. Nothing else is accepted; the error offers
// the nearest option.
Result<ParsedOptions> parse_options(std::span<const std::string_view> arguments,
                                    std::span<const CommandOption> options);

// One aligned line for each option.
std::string format_options(std::span<const CommandOption> options);

}  // namespace candela
