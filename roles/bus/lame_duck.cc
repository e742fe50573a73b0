#include "lame_duck.h"

#include <algorithm>

#include "server.h"

namespace candela::bus_role {

namespace {

constexpr Duration kStep = 10ms;
constexpr Duration kGrace = 250ms;   // to go by oneself, at most
constexpr Duration kReserve = 50ms;  // before the deadline, for the last words to be sent

}  // namespace

LameDuck::LameDuck(Server& server, MonoTime deadline)
    : server_(server),
      began_(server.loop().now()),
      deadline_(deadline),
      timer_(server.loop().timers(), [this] { step(); }) {
    is_done_ = server_.guest_count() == 0;
    const Duration left = deadline_ - server_.loop().now();
    if (!is_done_) timer_.start(std::clamp<Duration>(left / 4, Duration(0), kGrace));
}

void LameDuck::step() {
    const size_t guests = server_.guest_count();
    if (guests == 0) {
        is_done_ = true;
        return;
    }
    const Duration left = std::max<Duration>(deadline_ - kReserve - server_.loop().now(), 0ns);
    const auto steps = static_cast<size_t>(left / kStep) + 1;
    const size_t by_rate = std::max<size_t>(kClosedPerSecond * kStep / Duration(1s), 1);
    const size_t by_time = (guests + steps - 1) / steps;
    // Whoever still has something to take is spared until a quarter of the way before the end.
    server_.send_away(std::max(by_rate, by_time), left < Duration(deadline_ - began_) / 4);
    timer_.start(kStep);
}

}  // namespace candela::bus_role
