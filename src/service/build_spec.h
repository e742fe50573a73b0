#pragma once

// [build] of service.toml: how the folder becomes what is deployed. It is for `candela ctl` alone;
// a lighthouse and hosts see only what comes of it, so that it is not part of a Manifest. Besides:
// what a recipe knows of a service, which stands in for keys that service.toml does not write.
// Values.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "base/time.h"
#include "service/manifest.h"

namespace candela::service {

inline constexpr size_t kBuildCommandsMax = 64;
inline constexpr size_t kBuildListMax = 256;  // of outputs, cached folders, paths, variables

struct BuildSpec {
    bool is_written = false;  // there is a [build]
    bool is_enabled = true;
    std::string recipe;                 // one of kRecipeNames; "": by the files that are there
    std::vector<std::string> commands;  // lines for a shell, in place of the recipe's
    std::vector<std::string> output;    // what goes into the bundle; empty: all that is there
    std::vector<std::string> cache;     // folders that the next build finds as this one left them
    std::map<std::string, std::string> env;
    std::vector<std::string> pass_env;  // variables of the caller
    std::vector<std::string> paths;     // what else of the machine a build may read
    bool has_network = true;
    Duration timeout = 30min;            // of all commands together
    uint64_t cache_bytes_max = 2 << 30;  // of one project
};

inline constexpr std::string_view kRecipeNames[] = {"node", "python", "maven", "java",
                                                    "php",  "cmake",  "meson", "make"};

ConfigSchema build_schema();

// What is wrong in it, parse_manifest() tells with all other mistakes; here it takes its default.
BuildSpec read_build_spec(std::string_view toml);
// What a type can't express, of the table [build].
void check_build(const Config& table, ConfigProblems& problems);

// Each is used where service.toml does not write the key.
struct ManifestDefaults {
    std::string name;
    std::optional<Kind> kind;
    std::vector<std::string> command;
    std::string root;
    std::map<std::string, std::string> env;  // variable by variable
    std::string host;                        // of the one route; "": none
};

Result<Manifest> parse_manifest(std::string_view toml, std::string_view file_name,
                                const ManifestDefaults& defaults);

}  // namespace candela::service
