#include "capacity.h"

#include <algorithm>
#include <cmath>

namespace candela::host {

namespace {

uint64_t without(uint64_t all, uint64_t reserved) { return all > reserved ? all - reserved : 0; }

}  // namespace

Capacity::Capacity(const Config& config)
    : reserved_cpu_millis_(
          static_cast<uint64_t>(std::llround(std::max(0.0, config.number("reserve_cpu")) * 1000))),
      reserved_memory_bytes_(config.size_bytes("reserve_memory")),
      ports_(static_cast<uint32_t>(config.integer("ports_last") - config.integer("ports_first") +
                                   1)) {}

void Capacity::add_to(proto::NodeHeartbeat& beat) const {
    beat.cpu_millis_max = without(uint64_t{beat.cpus} * 1000, reserved_cpu_millis_);
    beat.memory_bytes_max = without(beat.memory_bytes, reserved_memory_bytes_);
    beat.ports_max = ports_;
}

}  // namespace candela::host
