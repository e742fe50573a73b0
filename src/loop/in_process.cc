#include "loop/in_process.h"

#include "loop/pending_connect.h"

namespace candela {

namespace {

class PostLink final : public DuplexLink {
public:
    void deliver(Loop& to, Loop::Callback callback) override { to.post(std::move(callback)); }
};

}  // namespace

class InProcessHub::HubListener final : public Listener {
public:
    HubListener(InProcessHub& hub, std::string name, std::shared_ptr<Loop::AcceptHandler> on_accept)
        : hub_(hub), address_(Address::in_process(name)), on_accept_(std::move(on_accept)) {}
    ~HubListener() override {
        const std::lock_guard lock(hub_.mutex_);
        hub_.entries_.erase(address_.host);
    }
    const Address& address() const override { return address_; }

private:
    InProcessHub& hub_;
    Address address_;
    std::shared_ptr<Loop::AcceptHandler> on_accept_;
};

Result<std::unique_ptr<Listener>> InProcessHub::listen(Loop& loop, const std::string& name,
                                                       Loop::AcceptHandler on_accept) {
    auto handler = std::make_shared<Loop::AcceptHandler>(std::move(on_accept));
    {
        const std::lock_guard lock(mutex_);
        if (!entries_.emplace(name, Entry{&loop, handler}).second) {
            return fail(Code::kConflict, "inproc:{} is taken in this process", name);
        }
    }
    return std::unique_ptr<Listener>(
        std::make_unique<HubListener>(*this, name, std::move(handler)));
}

std::unique_ptr<ConnectAttempt> InProcessHub::connect(Loop& loop, const std::string& name,
                                                      Loop::ConnectHandler on_connect) {
    auto pending = std::make_shared<PendingConnect>(std::move(on_connect));
    auto attempt = std::make_unique<PendingAttempt>(pending);

    Loop* server = nullptr;
    std::weak_ptr<Loop::AcceptHandler> on_accept;
    {
        const std::lock_guard lock(mutex_);
        const auto found = entries_.find(name);
        if (found != entries_.end()) {
            server = found->second.loop;
            on_accept = found->second.on_accept;
        }
    }
    if (server == nullptr) {
        loop.defer([pending, name] {
            pending->finish(
                fail(Code::kUnreachable, "connecting to inproc:{}: nobody listens", name));
        });
        return attempt;
    }
    // The pair is made here and the far end travels to its loop, where it is used from then on.
    auto [near_end, far_end] = make_duplex(loop, *server, std::make_shared<PostLink>(), name);
    server->post([on_accept, far = std::move(far_end)]() mutable {
        if (const auto handler = on_accept.lock()) (*handler)(std::move(far));
    });
    loop.defer(
        [pending, near = std::move(near_end)]() mutable { pending->finish(std::move(near)); });
    return attempt;
}

}  // namespace candela
