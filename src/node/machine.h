#pragma once

// What the kernel tells about the machine and this process. Reads small files of /proc: no
// blocking.

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace candela {

// The same for all processes that can reach each other on 127.0.0.1: one boot of one kernel, one
// network namespace. So containers and cloned machines differ, though their /etc/machine-id may
// not.
std::string machine_id();

uint64_t machine_memory_bytes();
unsigned machine_cpus();

// How busy the machine's cores were since the last call, 0 to 100.
class LoadMeter {
public:
    unsigned percent();

private:
    uint64_t last_busy_ = 0;
    uint64_t last_total_ = 0;
};

struct ProcessUsage {
    uint64_t resident_bytes = 0;
    uint64_t open_files = 0;
    double cpu_seconds = 0;
};
ProcessUsage process_usage();

// Raises the limit of open files to what the kernel allows us; the limit that is then in force.
uint64_t raise_open_files_limit();

}  // namespace candela
