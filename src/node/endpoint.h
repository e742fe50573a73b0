#pragma once

// The node's own endpoint, plain HTTP on loopback: /healthz (this process answers), /readyz (every
// role is ready; otherwise 503, and the body says which is not) and /metrics (OpenMetrics). Lives
// on the control loop.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "http/flow_server.h"
#include "loop/loop.h"
#include "node/metrics.h"
#include "node/role.h"

namespace candela {

struct Readiness {
    struct Entry {
        std::string role;
        RoleStatus status;
    };
    std::vector<Entry> roles;
    bool started = false;  // every role's start() has returned
    bool draining = false;

    bool is_ready() const;
    // One line: what is not ready.
    std::string summary() const;
};

class NodeEndpoint final : public http::Handler {
public:
    using Ask = std::function<Readiness()>;

    static Result<std::unique_ptr<NodeEndpoint>> open(Loop& loop, const Address& address,
                                                      std::string node_name, const Metrics& metrics,
                                                      Ask ask, Logger log);
    const Address& address() const { return listener_->address(); }
    // Answers what has been asked; the process that took over is asked from now on.
    void stop_accepting() { listener_.reset(); }

    Task<void> handle(http::ServerRequest& request) override;

private:
    NodeEndpoint(Loop& loop, std::string node_name, const Metrics& metrics, Ask ask, Logger log);
    std::string readiness_json(const Readiness& readiness) const;

    const std::string node_name_;
    const Metrics& metrics_;
    Ask ask_;
    http::FlowServer server_;
    std::unique_ptr<Listener> listener_;
};

}  // namespace candela
