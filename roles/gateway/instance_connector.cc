#include "instance_connector.h"

#include <cerrno>

#include "bus/client.h"
#include "bus/tunnel.h"
#include "loop/task.h"

namespace candela::gateway {
namespace {

// The proxy's own limit is shorter where it matters; this one only ends what nobody waits for.
constexpr Duration kTunnelTimeout = 10s;

}  // namespace

class InstanceConnector::Attempt final : public ConnectAttempt {
public:
    Attempt(Loop& loop, InstanceConnector& connector, Loop::ConnectHandler done)
        : loop_(loop),
          node_(connector.node_),
          instance_(connector.instance_),
          client_(connector.client_),
          done_(std::move(done)),
          alive_(std::make_shared<Attempt*>(this)) {
        if (!connector.straight_) {
            start_tunnel();
            return;
        }
        straight_ = loop_.connect(*connector.straight_, [this](Result<StreamPtr> stream) {
            on_straight(std::move(stream));
        });
    }
    ~Attempt() override { *alive_ = nullptr; }

private:
    void on_straight(Result<StreamPtr> stream) {
        if (stream || stream.error().system_errno() == ECONNREFUSED) {
            finish(std::move(stream));
            return;
        }
        straight_.reset();
        start_tunnel();
    }

    void start_tunnel() {
        tunnel_.emplace(
            bus::connect_tunnel(client_(), "candela.tunnel." + node_, instance_, kTunnelTimeout));
        tunnel_->start([](void* context) { static_cast<Attempt*>(context)->on_tunnel(); }, this);
    }

    // Later: the flow that calls this is not quite over, and may not have left start_tunnel() yet.
    void on_tunnel() {
        loop_.defer([alive = alive_] {
            if (*alive != nullptr) (*alive)->finish((*alive)->tunnel_->take());
        });
    }

    // The handler may destroy this.
    void finish(Result<StreamPtr> stream) {
        Loop::ConnectHandler done = std::move(done_);
        done(std::move(stream));
    }

    Loop& loop_;
    std::string node_;
    std::string instance_;
    std::function<bus::Client&()> client_;
    Loop::ConnectHandler done_;
    std::shared_ptr<Attempt*> alive_;
    std::unique_ptr<ConnectAttempt> straight_;
    std::optional<Task<Result<StreamPtr>>> tunnel_;
};

std::unique_ptr<ConnectAttempt> InstanceConnector::connect(Loop& loop, Loop::ConnectHandler done) {
    return std::make_unique<Attempt>(loop, *this, std::move(done));
}

}  // namespace candela::gateway
