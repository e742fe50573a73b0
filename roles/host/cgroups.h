#pragma once

// A cgroup v2 of its own for each instance: what it may take of memory, CPU, processes and I/O, and
// how much it suffers from that. Blocking, for moments: at start, or on the pool.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "driver.h"

namespace candela::host {

// The folder below which we may make groups, and the controllers that they get.
struct CgroupBase {
    std::filesystem::path folder;
    bool has_memory = false, has_cpu = false, has_pids = false, has_io = false;
    std::string disk =
        {};  // "8:0", whose reads and writes are limited; empty where it is not known
};

// `mount` is where cgroup v2 is mounted, `own` what /proc/self/cgroup says. A group with processes
// in it can't give its children controllers: so we go to a child called "host", or are there
// already (systemd's DelegateSubgroup=host). The error says in one sentence why there is none.
Result<CgroupBase> find_cgroup_base(const std::filesystem::path& mount, std::string_view own,
                                    int pid);
// One that the profile names, as it is.
Result<CgroupBase> use_cgroup_folder(const std::filesystem::path& folder);

// The disk that a folder lies on, as io.max names it: the whole of it where the folder is on a
// partition. `devices` is /sys/dev/block.
Result<std::string> disk_of(const std::filesystem::path& folder,
                            const std::filesystem::path& devices);

std::filesystem::path cgroup_of(const CgroupBase& base, std::string_view instance);

// Makes it where it is missing, and limits it.
Result<> make_cgroup(const CgroupBase& base, const std::filesystem::path& folder,
                     const InstanceLimits& limits);
// Ends what is left in it, and removes it. One that is not there is no error.
Result<> remove_cgroup(const std::filesystem::path& folder);

// What an instance takes; zero where a controller is not there. Pressure is the share of the last
// ten seconds in which some of it waited, in hundredths of a percent.
struct CgroupUsage {
    uint64_t memory_bytes = 0;
    uint64_t cpu_us = 0;
    uint32_t pids = 0;
    uint32_t cpu_pressure = 0, memory_pressure = 0, io_pressure = 0;
    uint64_t oom_kills = 0;
};
CgroupUsage read_cgroup_usage(const std::filesystem::path& folder);
// "out of memory: it may take 64.0 MiB", where the kernel ended it for that; otherwise empty.
std::string why_ended(const std::filesystem::path& folder);

}  // namespace candela::host
