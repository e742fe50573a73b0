#pragma once

// What is left of an instance whose keeper was killed, where no namespace died with that: processes
// that carry the CANDELA_RUN_ID of this data folder (drawn once) and the CANDELA_INSTANCE in their
// environment. Blocking: at start, or on the pool.

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace candela::host {

// Reads DIR/run_id, or makes it.
Result<std::string> load_run_id(const std::filesystem::path& host_folder);

// Kills all that have these entries ("NAME=value") in their environment, and waits for a moment
// until they are gone. Returns how many there were.
size_t end_marked(const std::vector<std::string>& entries);

// Kills them, and waits for a moment until they are gone. Returns how many there were.
size_t end_leftovers(const std::string& run_id, const std::string& instance);

}  // namespace candela::host
