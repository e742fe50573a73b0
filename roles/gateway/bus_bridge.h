#pragma once

// Serves a bus-native service (NATS micro) over HTTP, by the mapping of docs/bus-over-http.md. To
// the proxy it is an endpoint like any other, reached by a name inside this process; behind it a
// request becomes one message and the reply the answer. One per service and worker, on the worker's
// loop.

#include <memory>
#include <string>

#include "http/flow_server.h"
#include "node/context.h"
#include "space_login.h"

namespace candela::gateway {

struct BridgeOptions {
    std::string space;
    std::string service;
    size_t hold_requests_max = 256;  // while nobody answers on the bus
    Duration hold_timeout = 30s;
    Duration answer_timeout = 2min;
};

class BusBridge final : public http::Handler {
public:
    // `name` is a free one among those in this process, by which the bridge is reached.
    static Result<std::unique_ptr<BusBridge>> create(NodeContext& context, Loop& loop,
                                                     std::string_view name, SpaceLogins& logins,
                                                     BridgeOptions options);

    const Address& address() const { return listener_->address(); }
    void set_options(BridgeOptions options) { options_ = std::move(options); }

    Task<void> handle(http::ServerRequest& request) override;

private:
    BusBridge(NodeContext& context, Loop& loop, SpaceLogins& logins, BridgeOptions options);
    Task<Result<bus::OwnedMessage>> ask(std::string subject, std::string payload,
                                        std::string headers);

    Loop& loop_;
    SpaceLogins& logins_;
    BridgeOptions options_;
    size_t held_ = 0;
    http::FlowServer server_;
    std::unique_ptr<Listener> listener_;
};

}  // namespace candela::gateway
