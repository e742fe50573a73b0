#pragma once

// Where the gateway's routes come from: pulled from the lighthouse over the bus when nudged, when
// connected, and every ten seconds; kept in DIR/gateway/routes, so that a start without lighthouse
// or bus serves what was served last. Lives on the control loop.

#include <filesystem>
#include <functional>
#include <memory>

#include "lighthouse_puller.h"
#include "loop/flow.h"
#include "node/context.h"
#include "route_table.h"

namespace candela::gateway {

class RouteSource {
public:
    using OnTable = std::function<void(RouteTablePtr)>;

    RouteSource(NodeContext& context, KeysOf keys_of, OnTable on_table);

    // Hands out the table kept on disk, if there is one. Blocks: for the role's start.
    void load();
    void start() { puller_.start(); }
    // The lighthouse has answered since the start.
    bool is_live() const { return puller_.is_live(); }
    bool has_table() const { return table_ != nullptr; }

private:
    Task<Result<>> pull();
    void adopt(proto::RouteTable table);
    Task<void> keep(std::string bytes);

    NodeContext& context_;
    KeysOf keys_of_;
    OnTable on_table_;
    std::filesystem::path folder_;
    RouteTablePtr table_;
    AsyncMutex disk_;
    TaskGroup flows_;
    LighthousePuller puller_;  // last: ends first
};

}  // namespace candela::gateway
