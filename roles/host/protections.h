#pragma once

// The walls that this host can build around an instance: found out at start, on this kernel, by the
// user that we are; shown per node, and compared with what a service requires. A protection that is
// off says why.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela::host {

// What the keeper found this kernel to let us do ("candela-keeper abilities").
struct Abilities {
    bool has_namespaces = false;       // as we are
    bool has_user_namespaces = false;  // by way of a user namespace
    bool has_seccomp = false;
    int landlock_abi = 0;
    bool has_network_namespaces = false;  // in whichever of the first two ways
};

Result<Abilities> parse_abilities(std::string_view text);

// By what a limit is kept.
enum class LimitKind : uint8_t { kNone, kPerProcess, kGroup };

// What instances get here.
struct Walls {
    bool has_namespaces = false;  // PID, mount, IPC, UTS; a read-only root
    bool in_user_namespace = false;
    bool has_own_uid = false;
    bool has_own_network = false;  // for whom asks for it
    bool is_confined = false;      // no new privileges, no capabilities
    bool has_seccomp = false;
    int landlock_abi = 0;
    bool has_memory = false, has_cpu = false, has_pids = false, has_io = false;  // by cgroup v2
    std::vector<std::string> turned_off;                                         // by the profile
    std::string no_cgroup;  // why there is none
    std::string no_disk;    // why there is none whose use could be limited
    bool is_root = false;
};

struct Protection {
    std::string name;
    bool is_on = false;
    std::string detail;

    friend bool operator==(const Protection&, const Protection&) = default;
};

// `off`: what the profile turns off, of kWallNames.
Walls plan_walls(const Abilities& abilities, bool is_root, const std::vector<std::string>& off);
inline constexpr std::string_view kWallNames[] = {"namespaces", "network",  "user",  "privileges",
                                                  "seccomp",    "landlock", "cgroup"};

// One line for each, in a fixed order.
std::vector<Protection> list_protections(const Walls& walls);

// The levels that a service may require; each has all of those before it.
//   none      as things are
//   isolated  namespaces, a root of its own, no privileges, system calls filtered
//   strict    isolated, and memory, CPU and processes limited by cgroup v2
enum class Level : uint8_t { kNone, kIsolated, kStrict };

std::string_view to_string(Level level);
Result<Level> parse_level(std::string_view text);  // "" is none

// The highest that these walls have.
Level level_of(const Walls& walls);

// What is missing here for the level: "seccomp is off: …". Empty: nothing.
std::string missing_for(Level level, const Walls& walls);

}  // namespace candela::host
