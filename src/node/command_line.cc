#include "node/command_line.h"

#include <algorithm>

#include "base/text.h"

namespace candela {

const ParsedOptions::Given* ParsedOptions::find(std::string_view name) const {
    const auto found = std::find_if(given.begin(), given.end(),
                                    [&](const Given& option) { return option.name == name; });
    return found == given.end() ? nullptr : &*found;
}

std::string ParsedOptions::value_or(std::string_view name, std::string_view fallback) const {
    const Given* option = find(name);
    return option != nullptr && option->value ? *option->value : std::string(fallback);
}

namespace {
Result<const CommandOption*> find_option(std::string_view name,
                                         std::span<const CommandOption> options) {
    std::vector<std::string_view> names;
    for (const CommandOption& option : options) {
        if (option.name == name) return &option;
        names.push_back(option.name);
    }
    const auto near = nearest(name, names);
    if (near) {
        return fail(Code::kInvalid, "unknown option \"{}\"; did you mean \"{}\"?", printable(name),
                    *near);
    }
    return fail(Code::kInvalid, "unknown option \"{}\"; there are {}", printable(name),
                fmt::join(names, ", "));
}
}  // namespace

Result<ParsedOptions> parse_options(std::span<const std::string_view> arguments,
                                    std::span<const CommandOption> options) {
    using Takes = CommandOption::Takes;
    ParsedOptions out;
    for (size_t i = 0; i < arguments.size(); ++i) {
        std::string_view name = arguments[i];
        std::optional<std::string> value;
        if (!name.starts_with("--")) {
            return fail(Code::kInvalid, "unexpected \"{}\"", printable(name));
        }
        if (const auto parts = split_once(name, '=')) {
            name = parts->first;
            value = std::string(parts->second);
        }
        CANDELA_TRY_ASSIGN(const CommandOption* option, find_option(name, options));
        if (out.has(option->name)) return fail(Code::kInvalid, "{} is given twice", option->name);
        if (option->takes == Takes::kNothing && value) {
            return fail(Code::kInvalid, "{} takes no value", option->name);
        }
        const bool has_next = i + 1 < arguments.size() && !arguments[i + 1].starts_with("--");
        if (option->takes != Takes::kNothing && !value && has_next) value = arguments[++i];
        if (option->takes == Takes::kValue && !value) {
            return fail(Code::kInvalid, "{} needs a value: {} {}", option->name, option->name,
                        option->value_name);
        }
        out.given.push_back(ParsedOptions::Given{option->name, std::move(value)});
    }
    return out;
}

std::string format_options(std::span<const CommandOption> options) {
    std::string out;
    for (const CommandOption& option : options) {
        std::string left(option.name);
        if (!option.value_name.empty()) {
            left += fmt::format(" {}", option.value_name);
        }
        out += fmt::format("  {:<22} {}\n", left, option.help);
    }
    return out;
}

}  // namespace candela
