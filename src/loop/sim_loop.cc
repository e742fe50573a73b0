#include "loop/sim_loop.h"

#include <utility>

#include "base/check.h"
#include "loop/pending_connect.h"

namespace candela {

// Carries a connection's bytes across the simulated network: in order each way, with a delay, held
// while the machines are cut off from one another.
class SimLink final : public DuplexLink {
public:
    SimLink(SimWorld& world, SimLoop& a, SimLoop& b) : world_(world), a_(a), b_(b) {}

    void deliver(Loop& to, Loop::Callback callback) override {
        // A loop may talk to itself; then both directions share one order, which does no harm.
        const bool forward = &to == &b_;
        SimLoop& target = forward ? b_ : a_;
        const SimLoop& source = forward ? a_ : b_;
        if (world_.is_cut(source, target)) {
            world_.held_.push_back(SimWorld::Held{&source, &target, std::move(callback)});
            return;
        }
        MonoTime& last = forward ? last_to_b_ : last_to_a_;
        last = std::max(last, world_.now() + world_.latency());
        world_.schedule(last, target, std::move(callback));
    }

private:
    SimWorld& world_;
    SimLoop& a_;
    SimLoop& b_;
    MonoTime last_to_a_{};
    MonoTime last_to_b_{};
};

namespace {

class SimListener final : public Listener {
public:
    SimListener(Address address, std::shared_ptr<Loop::AcceptHandler> on_accept,
                std::function<void()> on_close)
        : address_(std::move(address)),
          on_accept_(std::move(on_accept)),
          on_close_(std::move(on_close)) {}
    ~SimListener() override { on_close_(); }
    const Address& address() const override { return address_; }

private:
    Address address_;
    std::shared_ptr<Loop::AcceptHandler> on_accept_;
    std::function<void()> on_close_;
};

}  // namespace

SimWorld::SimWorld(uint64_t seed) : random_(seed) {}

SimWorld::~SimWorld() {
    // What never ran may own streams whose ends schedule once more.
    for (int round = 0; round < 64 && (!events_.empty() || !held_.empty()); ++round) {
        const auto events = std::exchange(events_, {});
        const auto held = std::exchange(held_, {});
    }
}

SimLoop& SimWorld::add_loop(std::string name) {
    loops_.push_back(std::make_unique<SimLoop>(*this, std::move(name)));
    return *loops_.back();
}

void SimWorld::set_latency(Duration shortest, Duration longest) {
    CANDELA_CHECK(shortest <= longest);
    latency_min_ = shortest;
    latency_max_ = longest;
}

Duration SimWorld::latency() {
    const auto range = static_cast<uint64_t>((latency_max_ - latency_min_).count());
    return latency_min_ + Duration(static_cast<int64_t>(random_.below(range + 1)));
}

bool SimWorld::is_cut(const SimLoop& a, const SimLoop& b) const {
    return cuts_.contains(std::minmax(&a, &b));
}

void SimWorld::cut(const SimLoop& a, const SimLoop& b) { cuts_.insert(std::minmax(&a, &b)); }

void SimWorld::join(const SimLoop& a, const SimLoop& b) {
    cuts_.erase(std::minmax(&a, &b));
    std::vector<Held> still_held;
    MonoTime at = now_ + latency_min_;
    for (Held& held : std::exchange(held_, {})) {
        if (is_cut(*held.from, *held.to)) {
            still_held.push_back(std::move(held));
        } else {
            schedule(at, *held.to, std::move(held.callback));
            at += Duration(1);
        }
    }
    for (Held& held : still_held) held_.push_back(std::move(held));
}

void SimWorld::schedule(MonoTime at, SimLoop& loop, Loop::Callback callback) {
    events_.emplace(Key(at, sequence_++), Event{&loop, std::move(callback)});
}

void SimWorld::schedule_timers(SimLoop& loop) {
    const auto deadline = loop.timers_.next_deadline();
    if (!deadline || (loop.scheduled_ && *loop.scheduled_ <= *deadline)) return;
    loop.scheduled_ = *deadline;
    schedule(std::max(*deadline, now_), loop, {});
}

bool SimWorld::step(MonoTime limit) {
    if (events_.empty() || events_.begin()->first.first > limit) return false;
    auto node = events_.extract(events_.begin());
    now_ = std::max(now_, node.key().first);
    Event& event = node.mapped();
    SimLoop& loop = *event.loop;
    if (event.callback) {
        loop.run(std::move(event.callback));
    } else {
        if (loop.scheduled_ && *loop.scheduled_ <= now_) loop.scheduled_.reset();
        loop.run([&loop] { loop.timers_.run_due(); });
    }
    return true;
}

bool SimWorld::run_until(const std::function<bool()>& condition, Duration limit) {
    const MonoTime end = now_ + limit;
    // Timers may have been started, and work deferred, from outside any event.
    for (const auto& loop : loops_) loop->run([] {});
    while (!condition()) {
        if (!step(end)) {
            now_ = end;
            return condition();
        }
    }
    return true;
}

void SimWorld::run_for(Duration duration) {
    run_until([] { return false; }, duration);
}

SimLoop::SimLoop(SimWorld& world, std::string name)
    : world_(world), name_(std::move(name)), timers_(*this) {}

void SimLoop::run(Callback callback) {
    running_ = true;
    callback();
    while (!deferred_.empty()) {
        std::vector<Callback> batch;
        batch.swap(deferred_);
        for (Callback& each : batch) each();
    }
    running_ = false;
    world_.schedule_timers(*this);
}

void SimLoop::post(Callback callback) {
    Duration delay{0};
    if (world_.post_latency_max_ > Duration(0)) {
        const auto range = static_cast<uint64_t>(world_.post_latency_max_.count());
        delay = Duration(static_cast<int64_t>(world_.random().below(range + 1)));
    }
    last_post_ = std::max(last_post_, world_.now() + delay);
    world_.schedule(last_post_, *this, std::move(callback));
}

void SimLoop::defer(Callback callback) {
    if (running_) {
        deferred_.push_back(std::move(callback));
    } else {
        world_.schedule(world_.now(), *this, std::move(callback));
    }
}

void SimLoop::offload(Callback work, Callback done) {
    post([work = std::move(work), done = std::move(done)]() mutable {
        work();
        done();
    });
}

Result<std::unique_ptr<Listener>> SimLoop::listen(const Address& address, const ListenOptions&,
                                                  AcceptHandler on_accept) {
    Address bound = address;
    if (bound.kind == Address::Kind::kTcp && bound.port == 0) {
        bound.port = 40000;
        while (world_.listeners_.contains(bound.to_string())) ++bound.port;
    }
    const std::string key = bound.to_string();
    auto handler = std::make_shared<AcceptHandler>(std::move(on_accept));
    if (!world_.listeners_.emplace(key, SimWorld::Listening{this, handler}).second) {
        return fail(Code::kConflict, "listening on {}: it is taken", key);
    }
    return std::unique_ptr<Listener>(std::make_unique<SimListener>(
        bound, handler, [this, key] { world_.listeners_.erase(key); }));
}

std::unique_ptr<ConnectAttempt> SimLoop::connect(const Address& address,
                                                 ConnectHandler on_connect) {
    auto pending = std::make_shared<PendingConnect>(std::move(on_connect));
    auto attempt = std::make_unique<PendingAttempt>(pending);
    world_.schedule(world_.now() + world_.latency(), *this, [this, pending, address] {
        const auto found = world_.listeners_.find(address.to_string());
        if (found != world_.listeners_.end() && world_.is_cut(*this, *found->second.loop)) {
            return;  // no answer, as from a machine that can't be reached
        }
        const auto accept =
            found == world_.listeners_.end() ? nullptr : found->second.on_accept.lock();
        if (accept == nullptr) {
            pending->finish(fail(Code::kUnreachable, "connecting to {}: connection refused",
                                 address.to_string()));
            return;
        }
        SimLoop& server = *found->second.loop;
        auto [near_end, far_end] = make_duplex(
            *this, server, std::make_shared<SimLink>(world_, *this, server), address.to_string());
        world_.schedule(world_.now(), server,
                        [weak = found->second.on_accept, far = std::move(far_end)]() mutable {
                            if (const auto handler = weak.lock()) (*handler)(std::move(far));
                        });
        pending->finish(std::move(near_end));
    });
    return attempt;
}

}  // namespace candela
