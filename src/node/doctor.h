#pragma once

// What is wrong on this machine for the node that a profile describes, and what to do about it
// (candela doctor). Looks, and changes nothing. Blocks, for some seconds at most.

#include <string>
#include <vector>

#include "node/profile.h"

namespace candela {

struct Finding {
    enum class Level { kOk, kWarning, kWrong };
    Level level = Level::kOk;
    std::string subject;  // "disk", "bus"
    std::string text;
    std::string remedy;  // empty where all is well
};

std::vector<Finding> examine(const Profile& profile);

// ---- parts, for tests

struct DiskSpace {
    uint64_t free_bytes = 0;
    uint64_t size_bytes = 0;
    uint64_t free_files = 0;
    uint64_t files = 0;  // 0: the file system counts none
};
Finding judge_disk(const std::string& folder, const DiskSpace& space);
// `expires_at` in unix seconds; 0: never.
Finding judge_credential(const std::string& file, int64_t expires_at, int64_t now);
// The process that listens on the TCP port, as "nginx (pid 12)"; empty where nobody can be found.
std::string listener_of(uint16_t port);

}  // namespace candela
