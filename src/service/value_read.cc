#include "service/value_read.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace candela::service {

namespace {

constexpr uint32_t kModeMask = 0554;  // never writable: the copy that counts is the lighthouse's

bool is_variable(std::string_view name) {
    return !(name.front() >= '0' && name.front() <= '9') &&
           name.find_first_of("-.") == std::string_view::npos && is_value_name(name);
}

bool is_taken(std::string_view variable) {
    return variable == "PORT" || variable == "HOST" || variable.starts_with("CANDELA_");
}

}  // namespace

ConfigSchema value_schema() {
    return ConfigSchema({
        config_string("name", "", "As `candela ctl secrets list`, or config list, shows it."),
        config_string("env", "", "The variable that has it; without file the default is its name."),
        config_string("file", "", "The file in $CANDELA_VALUES that has it."),
        config_string("mode", "0400", "Of the file."),
        config_string("on_change", "restart", "What becomes of instances when it changes.")
            .one_of({"restart", "signal", "nothing"}),
        config_string("signal", "SIGHUP", "What on_change = \"signal\" sends."),
    });
}

Result<uint32_t> parse_mode(std::string_view text) {
    uint32_t mode = 0;
    const bool is_octal = !text.empty() && text.size() <= 4 &&
                          std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '7'; });
    if (is_octal) {
        for (const char c : text) mode = mode * 8 + static_cast<uint32_t>(c - '0');
        if ((mode & ~kModeMask) == 0 && (mode & 0400) != 0) return mode;
    }
    return fail(Code::kInvalid,
                "\"{}\" is not a mode of such a file: 0400, 0440 or 0444, with x where it is run",
                printable(text));
}

void check_values(const Manifest& manifest, const std::function<void(ManifestMistake)>& report) {
    if (manifest.values.size() > kValueUsesMax) {
        const std::string table(to_string(manifest.values.front().kind));
        report({{"", table},
                fmt::format("{} secrets and config values; at most {} are allowed",
                            manifest.values.size(), kValueUsesMax)});
    }
    if (manifest.kind == Kind::kStatic && !manifest.values.empty()) {
        const std::string table(to_string(manifest.values.front().kind));
        report({{"", table}, "a static service has no program that could take it"});
    }
    std::set<std::string> variables;
    std::set<std::string> files;
    int counts[2] = {0, 0};
    for (const ValueUse& use : manifest.values) {
        const std::string table(to_string(use.kind));
        const int index = counts[static_cast<size_t>(use.kind)]++;
        const auto wrong = [&](std::string_view key, std::string message) {
            report({{table, std::string(key), index}, std::move(message)});
        };
        if (use.name.empty()) {
            report({{table, "name", index}, "\"name\" is missing", true});
            continue;
        }
        if (!is_value_name(use.name)) {
            wrong("name", fmt::format("\"{}\" is not a name: a letter, then letters, digits, _, - "
                                      "and ., at most {}",
                                      printable(use.name), kValueNameMax));
            continue;
        }
        if (!use.env.empty() && !use.file.empty()) {
            wrong("file", "a variable or a file, not both; write it twice to have both");
        } else if (!use.env.empty()) {
            if (!is_variable(use.env)) {
                wrong("env", fmt::format("\"{}\" is not a variable's name; write env or file",
                                         printable(use.env)));
            } else if (is_taken(use.env)) {
                wrong("env", fmt::format("{} is set by candela for each instance", use.env));
            } else if (manifest.env.contains(use.env) || !variables.insert(use.env).second) {
                wrong("env", fmt::format("the variable {} is set already", use.env));
            }
            if (use.on_change == OnChange::kSignal) {
                wrong("on_change", "a variable can't change in a program that runs; write file");
            }
        } else if (!is_value_name(use.file)) {
            wrong("file", fmt::format("\"{}\" is not a file's name: no folders, a letter first",
                                      printable(use.file)));
        } else if (!files.insert(use.file).second) {
            wrong("file", fmt::format("the file {} is there already", use.file));
        }
        if (signal_number(use.signal) == 0) {
            wrong("signal", fmt::format("\"{}\" is not one of SIGHUP, SIGUSR1, SIGUSR2, SIGINT, "
                                        "SIGTERM, SIGQUIT and SIGWINCH",
                                        printable(use.signal)));
        }
    }
}

Json to_json(const ValueUse& use) {
    Json json = {{"name", use.name}};
    if (!use.env.empty()) json["env"] = use.env;
    if (!use.file.empty()) {
        json["file"] = use.file;
        json["mode"] = fmt::format("{:04o}", use.mode);
    }
    if (use.on_change != OnChange::kRestart) json["on_change"] = to_string(use.on_change);
    if (use.on_change == OnChange::kSignal) json["signal"] = use.signal;
    return json;
}

}  // namespace candela::service
