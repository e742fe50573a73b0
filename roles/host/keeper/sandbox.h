#pragma once

// The walls around an instance. What to build is the host's decision and comes with the plan; here
// it is only carried out, and any step that fails ends the start: nothing runs with fewer walls
// than it was said to have.
//
// Three steps: leave() before the keeper's second process is made, since that is to be PID 1 of the
// new namespace; furnish() in it, which changes its own root; confine() in each program, between
// fork and exec.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "keeper/wire.h"

namespace candela::keeper {

// What could not be done, and why.
struct Failure {
    const char* what = nullptr;
    int error = 0;
};

// One entry of the new root, in the order in which they are made.
struct Furniture {
    Entry kind{};
    const char* path = nullptr;
    const char* content = nullptr;  // of a file
    uint64_t size_bytes = 0;        // of a tmpfs at most; of a file
};

struct Limit {
    uint32_t resource = 0;
    uint64_t soft = 0;
    uint64_t hard = 0;
};

struct LandlockRule {
    uint64_t access = 0;
    const char* path = nullptr;
};

struct Sandbox {
    static constexpr size_t kFurnitureMax = 128;
    static constexpr size_t kLimitsMax = 16;
    static constexpr size_t kLandlockRulesMax = 32;

    uint32_t namespaces = 0;  // CLONE_NEW…
    const char* host_name = nullptr;
    Furniture furniture[kFurnitureMax];
    size_t furniture_count = 0;

    bool has_ids = false;
    uint32_t uid = 0;
    uint32_t gid = 0;
    bool is_confined = false;  // no new privileges, no capabilities
    Limit limits[kLimitsMax];
    size_t limits_count = 0;
    int32_t oom_score = 0;
    const char* seccomp = nullptr;  // a program for the kernel, sock_filter by sock_filter
    size_t seccomp_size = 0;
    uint64_t landlock[3] = {};  // handled: files, network, scopes
    size_t landlock_size = 0;   // of that, as this kernel's version has it; 0: none
    LandlockRule landlock_rules[kLandlockRulesMax];
    size_t landlock_rules_count = 0;
    const char* cgroup = nullptr;  // the folder of the instance's own
};

// Before the fork. Becomes a user of a user namespace where the plan says so.
bool leave(const Sandbox& sandbox, Failure& failure);

// The other namespaces, and a root that has what the plan lists and nothing else.
bool furnish(const Sandbox& sandbox, Failure& failure);

// In the child, and for good. `host_proc` is the host's /proc.
// `executable`: what will run, where it is not in its root; or -1.
bool confine(const Sandbox& sandbox, int host_proc, int executable, Failure& failure);

// The last step, after which system calls are filtered: before exec.
bool filter(const Sandbox& sandbox, Failure& failure);

// What this kernel lets us do, as lines for the host: "NAME ERRNO" with 0 for yes, or a version.
int print_abilities();

}  // namespace candela::keeper
