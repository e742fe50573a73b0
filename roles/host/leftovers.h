#pragma once

// Processes of an earlier run of this host. If a host is killed, its instances run on; the next one
// ends them before it starts anything, so that none is orphaned or runs twice. They are known by
// the CANDELA_RUN_ID in their environment, which is drawn once for a data folder, and by what
// record() wrote (a program may overwrite the memory that /proc shows as its environment).
// Blocking: at start, or on the pool.

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace candela::host {

struct ProcessRecord {
    int pid = 0;
    uint64_t started = 0;  // clock ticks since boot: with the pid it names one process only

    friend bool operator==(const ProcessRecord&, const ProcessRecord&) = default;
};

// Reads DIR/run_id, or makes it.
Result<std::string> load_run_id(const std::filesystem::path& host_folder);

// The running process of this pid; kNotFound where there is none.
Result<ProcessRecord> look_up_process(int pid);

// Writes the file run/<instance>/process, and reads all of them.
Result<> record_process(const std::filesystem::path& instance_folder, int pid);
std::vector<ProcessRecord> read_records(const std::filesystem::path& run_folder);

// Asks every leftover to end, kills what is left after `grace`, and waits until they are gone.
// Returns how many there were.
Result<size_t> end_leftovers(const std::string& run_id, const std::vector<ProcessRecord>& records,
                             Duration grace);

}  // namespace candela::host
