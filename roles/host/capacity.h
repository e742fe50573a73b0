#pragma once

// What this host gives to instances, all together: its machine less what is kept back for the
// system and for candela itself. A value; src/node has put what the machine has into the heartbeat.

#include <cstdint>

#include "base/config.h"
#include "proto/messages.h"

namespace candela::host {

class Capacity {
public:
    explicit Capacity(const Config& config);
    void add_to(proto::NodeHeartbeat& beat) const;

private:
    uint64_t reserved_cpu_millis_;
    uint64_t reserved_memory_bytes_;
    uint32_t ports_;
};

}  // namespace candela::host
