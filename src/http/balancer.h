#pragma once

// Chooses which endpoint of a service takes a request: power of two choices by requests in flight
// (P2C least-request); where weights differ, first by weight, then among those of the same weight.
// Pure: time and chance are handed in. One Balancer belongs to one service on one loop; the Loads
// are owned by whoever owns the endpoints and outlive their membership.
//
// Passive health: an endpoint that can't be connected to is *unreachable* and gets no request until
// its pause is over, doubling with every failure in a row. One that fails in other ways several
// times in a row is *suspect*: avoided while there is another, used where there is none.

#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "base/time.h"

namespace candela::http {

// What a balancer knows of one endpoint.
struct Load {
    uint32_t in_flight = 0;
    uint32_t weight = 100;          // its part of new requests; 0: none
    bool draining = false;          // finishes what it has and gets nothing new
    bool healthy = true;            // what active checks say; true where there are none
    bool suspect = false;           // said from outside: only where no other is left
    uint32_t connect_failures = 0;  // in a row
    uint32_t failures = 0;          // in a row, of other kinds
    MonoTime unreachable_until{};
    MonoTime suspect_until{};
};

enum class EndpointFailure : uint8_t {
    kConnect,   // no connection came about
    kResponse,  // broken or timed out before a response
};

class Balancer {
public:
    static constexpr Duration kPauseMin = 500ms;
    static constexpr Duration kPauseMax = 30s;
    static constexpr uint32_t kFailuresUntilSuspect = 3;

    explicit Balancer(Random& random) : random_(random) {}

    void add(Load& load) { loads_.push_back(&load); }
    void remove(Load& load);
    // Weights have changed.
    void note_weights();
    size_t size() const { return loads_.size(); }

    // The endpoint for one more request, or null where none can take it now. Those in `avoid`
    // (tried already) are chosen only where there is no other.
    Load* pick(MonoTime now, std::span<Load* const> avoid = {});

    // Whether one that is not in `tried` could take it.
    bool has_other(MonoTime now, std::span<Load* const> tried) const;

    // When an unreachable endpoint may be tried again; MonoTime::max() where none is waited for.
    MonoTime next_retry(MonoTime now) const;

    static void on_success(Load& load);
    static void on_failure(Load& load, EndpointFailure failure, MonoTime now);

private:
    // Lower is better; kNever is not to be used.
    static constexpr int kTried = 2;
    static constexpr int kNever = 3;
    Load* pick_weighted(MonoTime now, std::span<Load* const> avoid);
    static int rank(const Load& load, MonoTime now, std::span<Load* const> avoid);

    Random& random_;
    std::vector<Load*> loads_;
    bool is_weighted_ = false;  // not all weights are the same
};

}  // namespace candela::http
