#pragma once

// nats-server's monitoring endpoints over plain HTTP: /varz, /connz, /subsz, /jsz, /accountz,
// /accstatz, /healthz, and a page that names them. Off unless [bus] monitor says where. They tell
// whoever asks who is connected and to what: so it is a loopback address unless the profile says
// that it may be another. Control loop.

#include <memory>
#include <string>

#include "http/flow_server.h"
#include "monitoring/monitor.h"

namespace candela::bus_role {

class MonitorHttp final : public http::Handler {
public:
    static constexpr size_t kConnectionsMax = 64;

    // The monitor is borrowed, and outlives this.
    static Result<std::unique_ptr<MonitorHttp>> open(Monitor& monitor, const Address& address);
    const Address& address() const { return listener_->address(); }

    Task<void> handle(http::ServerRequest& request) override;

private:
    explicit MonitorHttp(Monitor& monitor);
    void respond(http::ServerRequest& request, const std::string& path, const Result<Json>& answer);

    Monitor& monitor_;
    http::FlowServer server_;
    std::unique_ptr<Listener> listener_;
};

}  // namespace candela::bus_role
