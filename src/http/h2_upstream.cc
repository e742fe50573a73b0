#include "http/h2_upstream.h"

#include <algorithm>

#include "http/h2_upstream_session.h"
#include "http/upstream.h"

namespace candela::http {

// An exchange that waits for a session.
class H2Upstream::Waiter final : public ConnectAttempt {
public:
    Waiter(H2Upstream& owner, ReadyHandler ready) : owner_(&owner), ready_(std::move(ready)) {
        place_ = owner.waiters_.insert(owner.waiters_.end(), this);
    }
    ~Waiter() override { leave(); }

    void leave() {
        if (owner_ != nullptr) std::exchange(owner_, nullptr)->waiters_.erase(place_);
    }
    // It may destroy this.
    void tell(Result<> result) {
        leave();
        ReadyHandler ready = std::move(ready_);
        ready(std::move(result));
    }

private:
    H2Upstream* owner_;
    ReadyHandler ready_;
    std::list<Waiter*>::iterator place_;
};

H2Upstream::H2Upstream(Endpoint& endpoint, H2UpstreamOptions options)
    : endpoint_(endpoint), options_(std::move(options)) {}

H2Upstream::~H2Upstream() {
    *alive_ = false;
    while (!waiters_.empty()) waiters_.front()->leave();
    // This may be called from within a session.
    for (auto& session : sessions_) {
        session->shut();
        endpoint_.upstream().loop().defer([dead = std::move(session)] {});
    }
}

H2Call* H2Upstream::open_call() {
    for (const auto& session : sessions_) {
        if (session->has_room()) return &session->open_call();
    }
    return nullptr;
}

bool H2Upstream::has_room() const {
    size_t usable = 0;
    for (const auto& session : sessions_) {
        if (session->has_room()) return true;
        if (!session->is_closing()) ++usable;
    }
    return usable < endpoint_.upstream().options().h2_sessions_max;
}

std::unique_ptr<ConnectAttempt> H2Upstream::wait(ReadyHandler ready) {
    auto waiter = std::make_unique<Waiter>(*this, std::move(ready));
    connect();
    return waiter;
}

// One at a time: whether its streams do for all who wait is known only when it is there.
void H2Upstream::connect() {
    const auto is_opening = [](const auto& session) { return session->is_opening(); };
    if (connecting_ != nullptr || std::ranges::any_of(sessions_, is_opening)) return;
    Loop& loop = endpoint_.upstream().loop();
    bump(endpoint_.upstream().counters().connects);
    if (connect_timer_ == nullptr) {
        connect_timer_ = std::make_unique<Timer>(loop.timers(), [this] {
            on_connected(candela::fail(Code::kTimeout, "no connection within {}",
                                       format_duration(options_.connect_timeout)));
        });
    }
    connect_timer_->start(options_.connect_timeout);
    connecting_ = endpoint_.connector().connect(
        loop, [this](Result<StreamPtr> stream) { on_connected(std::move(stream)); });
}

void H2Upstream::on_connected(Result<StreamPtr> stream) {
    connecting_.reset();
    connect_timer_->stop();
    if (!stream) {
        bump(endpoint_.upstream().counters().connect_failures);
        tell_waiters(&stream.error());
        return;
    }
    sessions_.push_back(std::make_unique<H2UpstreamSession>(*this, std::move(*stream)));
    sessions_.back()->start();
}

void H2Upstream::on_open(const H2UpstreamSession& session) {
    // At least one of those who wait must get on, or they would wait forever.
    const Error no_room(Code::kUnreachable, "takes no requests on a new connection");
    tell_waiters(session.has_room() ? nullptr : &no_room);
}

void H2Upstream::on_room() { endpoint_.upstream().wake_soon(); }

void H2Upstream::on_not_open(const Error& error) {
    bump(endpoint_.upstream().counters().connect_failures);
    tell_waiters(&error);
}

void H2Upstream::on_gone(H2UpstreamSession& session) {
    const auto place =
        std::ranges::find_if(sessions_, [&](const auto& one) { return one.get() == &session; });
    if (place == sessions_.end()) return;
    endpoint_.upstream().loop().defer([dead = std::move(*place)] {});
    sessions_.erase(place);
    on_room();
}

void H2Upstream::tell_waiters(const Error* failure) {
    const std::shared_ptr<bool> alive = alive_;
    const std::optional<Error> error =
        failure != nullptr ? std::optional<Error>(*failure) : std::nullopt;
    // Each is told once, also where it waits again; and the last one's exchange may have been what
    // kept this here.
    for (size_t count = waiters_.size(); count > 0 && *alive && !waiters_.empty(); --count) {
        waiters_.front()->tell(error ? Result<>(candela::fail(*error)) : Result<>());
    }
}

void H2Upstream::drain() {
    // One that has nothing to do is gone at once.
    for (size_t i = sessions_.size(); i-- > 0;) sessions_[i]->drain();
}

}  // namespace candela::http
