#pragma once

// Where the gateway's routes come from: pulled from the lighthouse over the bus when nudged, when
// connected, and every ten seconds; kept in DIR/gateway/routes, so that a start without lighthouse
// or bus serves what was served last. Lives on the control loop.

#include <filesystem>
#include <functional>
#include <memory>

#include "bus/client.h"
#include "loop/flow.h"
#include "node/context.h"
#include "route_table.h"

namespace candela::gateway {

class RouteSource {
public:
    using OnTable = std::function<void(RouteTablePtr)>;

    RouteSource(NodeContext& context, OnTable on_table);

    // Hands out the table kept on disk, if there is one. Blocks: for the role's start.
    void load();
    void start();
    // The lighthouse has answered since the start.
    bool is_live() const { return is_live_; }
    bool has_table() const { return table_ != nullptr; }

private:
    Task<void> run();
    Task<Result<>> pull();
    void adopt(proto::RouteTable table);
    Task<void> keep(std::string bytes);

    NodeContext& context_;
    OnTable on_table_;
    std::filesystem::path folder_;
    RouteTablePtr table_;
    uint64_t epoch_seen_ = 0;  // by pulls; what is on disk may be of a cloud that is no more
    bool is_live_ = false;
    bool was_refused_ = false;
    std::unique_ptr<bus::Client> client_;
    bus::Subscription nudges_;
    Event wake_;
    Timer timer_;
    AsyncMutex disk_;
    TaskGroup flows_;  // last: ends first
};

}  // namespace candela::gateway
