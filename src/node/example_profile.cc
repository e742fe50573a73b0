#include "node/example_profile.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "node/profile.h"

#include <nlohmann/json.hpp>

namespace candela {

namespace {

constexpr size_t kColumns = 100;

std::string comment(std::string_view text) {
    std::string out;
    std::string line = "#";
    for (const std::string_view word : split(text, ' ')) {
        if (line.size() + 1 + word.size() > kColumns) {
            out += line + "\n";
            line = "#";
        }
        line += fmt::format(" {}", word);
    }
    return out + line + "\n";
}

// JSON's text and list of texts are TOML's, too.
std::string quoted(const std::string& text) { return dump_json(Json(text)); }

std::string value_text(const ConfigKey& key) {
    switch (key.type) {
        case ConfigType::kInt:
        case ConfigType::kBool:
        case ConfigType::kFloat: return key.default_text.empty() ? "0" : key.default_text;
        case ConfigType::kStrings:
        case ConfigType::kAddresses: {
            std::vector<std::string> items;
            for (const std::string& item : key.default_items) items.push_back(quoted(item));
            return fmt::format("[{}]", fmt::join(items, ", "));
        }
        default: return quoted(key.default_text);
    }
}

std::string help_of(const ConfigKey& key) {
    std::string help = key.help;
    if (key.is_required) help += " Required.";
    if (!key.allowed.empty()) help += fmt::format(" One of: {}.", fmt::join(key.allowed, ", "));
    if (!key.min_text.empty() && !key.max_text.empty()) {
        help += fmt::format(" From {} to {}.", key.min_text, key.max_text);
    } else if (!key.min_text.empty()) {
        help += fmt::format(" At least {}.", key.min_text);
    } else if (!key.max_text.empty()) {
        help += fmt::format(" At most {}.", key.max_text);
    }
    return help;
}

// `off` is "# " below a header that is itself commented out.
void append_table(const ConfigSchema& schema, const std::string& path, std::string_view off,
                  std::string& out) {
    for (const ConfigKey& key : schema.keys()) {
        const bool is_table = key.type == ConfigType::kTable || key.type == ConfigType::kTables ||
                              key.type == ConfigType::kStringMap;
        if (is_table) continue;
        const bool has_value = !key.default_text.empty() || key.type == ConfigType::kStrings ||
                               key.type == ConfigType::kAddresses || key.is_required;
        out += comment(help_of(key));
        out += fmt::format("{}{} = {}\n", off.empty() && !has_value ? "# " : off, key.name,
                           value_text(key));
    }
    // Tables come last: what follows a header belongs to it.
    for (const ConfigKey& key : schema.keys()) {
        const std::string name = path + "." + key.name;
        if (key.type == ConfigType::kTable) {
            out += fmt::format("\n{}# [{}]\n", comment(key.help), name);
            append_table(*key.table, name, "# ", out);
        } else if (key.type == ConfigType::kTables) {
            out += fmt::format("\n{}# [[{}]]\n", comment(key.help), name);
            append_table(*key.table, name, "# ", out);
        } else if (key.type == ConfigType::kStringMap) {
            out += fmt::format("\n{}# [{}]\n# NAME = \"value\"\n", comment(key.help), name);
        }
    }
}

}  // namespace

Result<std::string> example_profile(std::string_view roles, std::span<const RoleSpec> table) {
    std::vector<std::string> names;
    std::vector<std::string_view> known;
    for (const RoleSpec& spec : table) known.push_back(spec.name);
    for (const std::string_view part : split(roles, ',')) {
        const std::string name(trim(part));
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            const auto near = nearest(name, known);
            return fail(Code::kInvalid, "unknown role \"{}\"{}", printable(name, 60),
                        near ? fmt::format("; did you mean \"{}\"?", *near)
                             : fmt::format("; there are {}", fmt::join(known, ", ")));
        }
        names.push_back(name);
    }
    const bool has_bus = std::find(names.begin(), names.end(), "bus") != names.end();
    std::string out;
    const ConfigSchema schema = profile_schema(table);
    for (const ConfigKey& section : schema.keys()) {
        const bool is_wanted = section.name == "node" || section.name == "bus" ||
                               std::find(names.begin(), names.end(), section.name) != names.end();
        if (!is_wanted) continue;
        ConfigSchema shown;
        for (ConfigKey key : section.table->keys()) {
            if (section.name == "node" && key.name == "roles") key.default_items = names;
            const bool is_url = section.name == "bus" && key.name == "url";
            const bool is_of_bus_role = section.name == "bus" && !is_bus_client_key(key.name);
            if (is_of_bus_role && !has_bus) continue;
            if (is_url && !has_bus) key.default_text = "127.0.0.1:4222";
            shown.add(std::move(key));
        }
        out +=
            fmt::format("{}{}[{}]\n", out.empty() ? "" : "\n", comment(section.help), section.name);
        append_table(shown, section.name, "", out);
    }
    return out;
}

}  // namespace candela
