#pragma once

// A world of simulated loops in one thread: virtual time, a network with seeded delays that can be
// cut, no threads and no sockets. Whatever runs on Loop& runs here unchanged and, given the same
// seed, in the same order each time. For tests and simulations.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "loop/in_process.h"
#include "loop/loop.h"

namespace candela {

class SimLoop;

class SimWorld {
public:
    explicit SimWorld(uint64_t seed);
    ~SimWorld();
    SimWorld(const SimWorld&) = delete;
    SimWorld& operator=(const SimWorld&) = delete;

    // A loop for one simulated machine. Addresses are world-wide: a listener on "10.0.0.1:80" is
    // reached by that text from every machine.
    SimLoop& add_loop(std::string name);

    // Each delivery takes between these; the default is 100 µs to 1 ms.
    void set_latency(Duration shortest, Duration longest);
    // What is posted to a loop runs so much later, still in order; the default is at once.
    void set_post_latency_max(Duration longest) { post_latency_max_ = longest; }
    // While cut, nothing passes between the two machines; it arrives once they are joined again.
    void cut(const SimLoop& a, const SimLoop& b);
    void join(const SimLoop& a, const SimLoop& b);

    // Runs events in order of their virtual time until the condition holds; false when the limit
    // (virtual) came first or nothing is left to happen.
    bool run_until(const std::function<bool()>& condition, Duration limit);
    void run_for(Duration duration);

    MonoTime now() const { return now_; }
    WallTime wall() const { return WallTime(wall_offset_ + now_.time_since_epoch()); }
    Random& random() { return random_; }

private:
    friend class SimLoop;
    friend class SimLink;
    struct Event {
        SimLoop* loop;
        Loop::Callback callback;  // empty: look at the loop's timers
    };
    using Key = std::pair<MonoTime, uint64_t>;  // ties run in the order of their making

    void schedule(MonoTime at, SimLoop& loop, Loop::Callback callback);
    void schedule_timers(SimLoop& loop);
    bool step(MonoTime limit);
    Duration latency();
    bool is_cut(const SimLoop& a, const SimLoop& b) const;

    SeededRandom random_;
    MonoTime now_{Duration(1s)};
    // 2026-01-01T00:00:00Z: any fixed date serves.
    Duration wall_offset_ = std::chrono::seconds(1767225600);
    uint64_t sequence_ = 0;
    Duration latency_min_ = 100us;
    Duration latency_max_ = 1ms;
    Duration post_latency_max_{0};
    std::map<Key, Event> events_;
    std::vector<std::unique_ptr<SimLoop>> loops_;
    struct Listening {
        SimLoop* loop;
        std::weak_ptr<Loop::AcceptHandler> on_accept;
    };
    std::map<std::string, Listening> listeners_;
    std::set<std::pair<const SimLoop*, const SimLoop*>> cuts_;
    struct Held {
        const SimLoop* from;
        SimLoop* to;
        Loop::Callback callback;
    };
    std::vector<Held> held_;  // waiting for a join
};

class SimLoop final : public Loop {
public:
    SimLoop(SimWorld& world, std::string name);

    const std::string& name() const { return name_; }
    // This machine's wall clock differs from the world's by so much.
    void set_clock_skew(Duration skew) { skew_ = skew; }

    MonoTime now() const override { return world_.now(); }
    WallTime wall() const override { return world_.wall() + skew_; }
    Timers& timers() override { return timers_; }
    Random& random() override { return world_.random(); }
    void post(Callback callback) override;
    void defer(Callback callback) override;
    void offload(Callback work, Callback done) override;
    Result<std::unique_ptr<Listener>> listen(const Address& address, const ListenOptions& options,
                                             AcceptHandler on_accept) override;
    std::unique_ptr<ConnectAttempt> connect(const Address& address,
                                            ConnectHandler on_connect) override;

private:
    friend class SimWorld;
    void run(Callback callback);

    SimWorld& world_;
    std::string name_;
    Duration skew_{0};
    Timers timers_;
    std::vector<Callback> deferred_;
    bool running_ = false;
    MonoTime last_post_{};
    std::optional<MonoTime> scheduled_;  // when the world will look at our timers
};

}  // namespace candela
