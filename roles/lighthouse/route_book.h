#pragma once

// The route table that gateways pull, made from what is wanted and seen, with a version that grows
// whenever its content changes. It also notes in each Sighting from which version on an instance is
// in or out of the table, which is what the planner waits for. Pure but for its arguments.

#include "model.h"
#include "planner.h"

namespace candela::lighthouse {

struct HoldLimits {
    uint32_t requests_max = 1000;  // of one service, at one gateway
    Duration time_max = 30s;
};

class RouteBook {
public:
    // Versions begin above epoch << 32, so that they grow over restarts.
    RouteBook(uint64_t epoch, HoldLimits holds) : holds_(holds) {
        table_.version = (epoch << 32) + 1;
        table_.epoch = epoch;
    }

    // True where the table has changed; seen.routes_version and the sightings then say so too.
    bool update(const Wanted& wanted, Seen& seen, MonoTime now, const PlanLimits& limits);
    // The table that says so is a new one.
    void purge(proto::CachePurge purge);
    const proto::RouteTable& table() const { return table_; }

private:
    proto::RouteTable table_;
    HoldLimits holds_;
};

}  // namespace candela::lighthouse
