#pragma once

// `candela dev`: every role in one process, on loopback only, without a profile. Its data is in a
// folder of its own; a small file tells `candela ctl` where to find it.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "base/log.h"
#include "node/profile.h"

namespace candela {

struct DevOptions {
    std::filesystem::path data_dir;  // empty: ${XDG_DATA_HOME:-~/.local/share}/candela/dev
    uint16_t port_offset = 0;        // added to every default port
    LogLevel log_level = LogLevel::kWarn;
};

// Where its data is.
std::filesystem::path dev_data_dir(const DevOptions& options);

// Runs until it is told to stop; the process's exit code.
int run_dev(std::span<const RoleSpec> table, const DevOptions& options);

// The profile that run_dev() uses.
std::optional<Profile> dev_profile(std::span<const RoleSpec> table, const DevOptions& options,
                                   ConfigProblems& problems);

// Where the file for ctl is: ${XDG_STATE_HOME:-~/.local/state}/candela/dev.json.
std::filesystem::path dev_state_file();

// "${<variable>}/<rest>", or "~/<fallback>/<rest>" where the variable is not set (XDG base
// directories).
std::filesystem::path user_folder(const char* variable, std::string_view fallback);

}  // namespace candela
