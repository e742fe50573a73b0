#pragma once

// The planner's times and numbers. A value; the lighthouse's settings fill some of it.

#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace candela::lighthouse {

struct PlanLimits {
    Duration silent_after = 4s;   // without a heartbeat: the node counts as gone
    Duration arrive_max = 15s;    // the same for nodes that must find us first: at our start
    Duration hold_for = 5min;     // storm guard: how long a vanished majority is waited for
    Duration together = 30s;      // what falls silent within this time counts as one storm
    Duration drain_max = 10s;     // for requests in flight, beyond the service's stop.grace
    Duration routed_max = 15s;    // after which a gateway that lags is no longer waited for
    Duration pending_max = 5min;  // for a host to fetch the bundle and start an instance
    Duration start_slack = 5s;    // the host times a start itself; this is for when it doesn't
    Duration unready_max = 10s;   // then an old instance counts as broken, not as blinking
    Duration stuck_max = 90s;     // without any progress, beyond the start timeout and pending_max
    Duration replace_pause_max = 5min;
    uint32_t restarts_max = 3;     // of a new instance before its release counts as failed
    uint32_t instances_max = 500;  // on a host that names no limit of its own
    size_t assignment_bytes_max = 900 * 1024;  // of all specs of one host: a message holds 1 MiB
};

}  // namespace candela::lighthouse
