#pragma once

// What /proc says about processes. Blocking, though only for moments: on the pool, or at start.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace candela::host {

struct ProcessStat {
    char state = '?';  // 'Z': it has ended, and its parent has not looked
    int group = 0;
    uint64_t started = 0;  // clock ticks since boot: with the pid it names one process only
};

std::vector<int> all_pids();                                    // but for our own, and 1
Result<ProcessStat> read_process_stat(int pid);                 // kNotFound where there is none
bool has_environment_entry(int pid, const std::string& entry);  // "NAME=value"

// Whether somebody in the process group still runs; zombies do not count.
bool has_living_member(int group);

}  // namespace candela::host
