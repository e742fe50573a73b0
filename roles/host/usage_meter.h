#pragma once

// What instances take of the machine, each with all the processes that it has started: from its
// cgroup v2 where it has one, of a container also from cgroup v1, otherwise from /proc. What the
// kernel does not tell stays unknown (proto Usage.known). Measured on the pool after a heartbeat
// for the next one, once a second, less often where that would cost more than 0.1 % of a core.
// Lives on one loop.

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "loop/loop.h"
#include "proto/messages.h"

namespace candela::host {

struct MeteredInstance {
    std::string instance;
    int pid = 0;
    std::filesystem::path cgroup;  // empty: it has none of its own
};

struct Measured {
    std::map<std::string, proto::Usage, std::less<>> instances;
    proto::Usage machine;
};

// Blocking. Tests have folders of their own for /proc and /sys/fs/cgroup.
Measured measure_usage(const std::vector<MeteredInstance>& instances,
                       const std::filesystem::path& proc = "/proc",
                       const std::filesystem::path& cgroups = "/sys/fs/cgroup");

class UsageMeter {
public:
    static constexpr Duration kInterval = 800ms;  // heartbeats come each second, or a little early
    static constexpr Duration kIntervalMax = 10s;
    static constexpr int kIdleShare = 1000;  // of its time it measures at most one part in so many

    explicit UsageMeter(Loop& loop);
    ~UsageMeter();
    UsageMeter(const UsageMeter&) = delete;
    UsageMeter& operator=(const UsageMeter&) = delete;

    // Adds what was measured last to the instances of the beat and to the beat itself. `cgroup_of`
    // names the group of an instance; empty: it has none.
    using CgroupOf = std::function<std::filesystem::path(const std::string& instance)>;
    void add_to(proto::NodeHeartbeat& beat, const CgroupOf& cgroup_of);

private:
    void measure(std::vector<MeteredInstance> instances);

    Loop& loop_;
    Measured measured_;
    MonoTime next_at_;
    bool is_measuring_ = false;
    std::shared_ptr<bool> alive_;
};

}  // namespace candela::host
