#include "service/build_spec.h"

#include <algorithm>

#include "base/text.h"
#include "service/manifest_schema.h"

namespace candela::service {

namespace {

std::vector<std::string> recipe_names() {
    std::vector<std::string> names{""};
    for (const std::string_view name : kRecipeNames) names.emplace_back(name);
    return names;
}

// A file or folder below the project's own, written plainly.
bool is_inside(std::string_view path) {
    if (path.empty() || path.starts_with('/') || path.find('\0') != std::string_view::npos) {
        return false;
    }
    return std::ranges::none_of(split(path, '/'), [](std::string_view part) {
        return part.empty() || part == "." || part == "..";
    });
}

void check_inside(const Config& table, std::string_view key, ConfigProblems& problems) {
    for (const ConfigItem& item : table.items(key)) {
        if (is_inside(item.value)) continue;
        problems.add(item.at, "\"{}\" is not within the folder; write for example \"dist\"",
                     printable(item.value));
    }
}

}  // namespace

ConfigSchema build_schema() {
    return ConfigSchema({
        config_bool("enabled", "true", "Whether ctl deploy builds the folder."),
        config_string("recipe", "", "How; by default the files in the folder say it.")
            .one_of(recipe_names()),
        config_strings("commands", {}, "Lines for a shell, in place of the recipe's.")
            .at_most(kBuildCommandsMax),
        config_strings("output", {}, "Files and folders that make up the bundle; default: all.")
            .at_most(kBuildListMax),
        config_strings("cache", {}, "Folders that the next build finds as this one left them.")
            .at_most(kBuildListMax),
        config_string_map("env", "Environment of the commands.").at_most(kBuildListMax),
        config_strings("pass_env", {}, "Variables that the commands get from the caller.")
            .at_most(kBuildListMax),
        config_strings("paths", {}, "What else of the machine the commands may read.")
            .at_most(kBuildListMax),
        config_bool("network", "true", "Whether the commands reach the network."),
        config_duration("timeout", "30m", "Of all commands together.").range("1s", "24h"),
        config_size("cache_max", "2GiB", "What is kept for the next build of this folder."),
    });
}

void check_build(const Config& table, ConfigProblems& problems) {
    check_inside(table, "output", problems);
    check_inside(table, "cache", problems);
    for (const ConfigItem& item : table.items("paths")) {
        if (!item.value.starts_with('/')) {
            problems.add(item.at, "\"{}\" is not an absolute path", printable(item.value));
        }
    }
    for (const ConfigItem& item : table.items("commands")) {
        if (trim(item.value).empty()) problems.add(item.at, "the command is empty");
    }
}

BuildSpec read_build_spec(std::string_view toml) {
    ConfigProblems told_elsewhere("");
    const Config config =
        read_config(toml.substr(0, kManifestSizeMax), manifest_schema(), told_elsewhere);
    const Config& table = config.table("build");
    BuildSpec spec;
    spec.is_written = config.is_written("build");
    spec.is_enabled = table.boolean("enabled");
    spec.recipe = table.string("recipe");
    spec.commands = table.strings("commands");
    spec.output = table.strings("output");
    spec.cache = table.strings("cache");
    for (const ConfigItem& item : table.items("env")) spec.env[item.name] = item.value;
    spec.pass_env = table.strings("pass_env");
    spec.paths = table.strings("paths");
    spec.has_network = table.boolean("network");
    spec.timeout = table.duration("timeout");
    spec.cache_bytes_max = table.size_bytes("cache_max");
    return spec;
}

}  // namespace candela::service
