#pragma once

// What a keeper is told about the walls of one instance: what its root has, who it is, what it may.

#include <string>
#include <vector>

#include "cgroups.h"
#include "driver.h"
#include "plan_writer.h"
#include "protections.h"

namespace candela::host {

struct WallSettings {
    Walls walls;
    CgroupBase cgroups;              // without a folder: there are none
    std::string seccomp;             // the filter, where walls.has_seccomp
    std::vector<std::string> paths;  // what else of the machine services may read
    InstanceLimits limits;           // where a service names none
};

// What the instance asks for, and where it asks for nothing, what everyone gets.
InstanceLimits limits_for(const InstanceLimits& wanted, const InstanceLimits& usual);

// `cgroup` is the folder of the instance's own; empty: none.
void add_walls(PlanWriter& plan, const StartRequest& request, const WallSettings& settings,
               uint32_t uid, const std::string& cgroup);

// The uid of an instance on this host, the same after a restart: drawn by its name from a range
// that systemd and distributions leave alone.
uint32_t instance_uid(std::string_view run_id, std::string_view instance);
inline constexpr uint32_t kUidFirst = 1'879'048'192;
inline constexpr uint32_t kUidCount = 1U << 28;

// What a service finds as HOME and TMPDIR within the walls: one file system in memory, of limited
// size, that is gone with the program.
inline constexpr std::string_view kInnerTemporary = "/tmp";
inline constexpr std::string_view kInnerHome = "/tmp/home";

inline constexpr uint64_t kShmBytesMax = 64ULL << 20;
inline constexpr uint64_t kFilesMax = 16'384;  // descriptors of one process

}  // namespace candela::host
