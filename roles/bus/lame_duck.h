#pragma once

// How a bus that stops sends its clients elsewhere: INFO has told them (ldm), some go by
// themselves, and the others' connections are closed a few at a time until the deadline, so that
// not all of them knock at the next bus at once. Those for which something waits go last. One a
// loop.

#include "base/time.h"
#include "loop/timers.h"

namespace candela::bus_role {

class Server;

class LameDuck {
public:
    // Few clients are gone sooner: no more than this are closed in a second while there is time.
    static constexpr size_t kClosedPerSecond = 200;

    LameDuck(Server& server, MonoTime deadline);
    // Nobody is left who could go elsewhere.
    bool is_done() const { return is_done_; }

private:
    void step();

    Server& server_;
    const MonoTime began_;
    const MonoTime deadline_;
    bool is_done_ = false;
    Timer timer_;
};

}  // namespace candela::bus_role
