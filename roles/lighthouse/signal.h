#pragma once

// Tells flows that something has happened, once: whoever waits at that moment goes on, and one that
// waits again while others are being told waits for the next time. (An Event is a level: a flow
// that waits in a loop would never come to rest while it is set.) On one loop.

#include <list>

#include "loop/flow.h"

namespace candela::lighthouse {

class Signal {
public:
    Signal() = default;
    Signal(const Signal&) = delete;
    Signal& operator=(const Signal&) = delete;

    void notify() {
        // A waiter that is told may end others; then some who came meanwhile are told too early,
        // which those who wait for a condition do not mind.
        for (size_t left = waiters_.size(); left > 0 && !waiters_.empty(); --left) {
            Waiter* waiter = waiters_.front();
            waiters_.pop_front();
            waiter->signal = nullptr;
            waiter->done.complete(Done());
        }
    }

    Task<void> wait() {
        Waiter waiter;
        waiters_.push_back(&waiter);
        waiter.place = std::prev(waiters_.end());
        waiter.signal = this;
        co_await waiter.done;
    }

private:
    struct Waiter {
        Completion<Done> done;
        std::list<Waiter*>::iterator place;
        Signal* signal = nullptr;  // null once told
        ~Waiter() {
            if (signal != nullptr) signal->waiters_.erase(place);
        }
    };
    std::list<Waiter*> waiters_;
};

}  // namespace candela::lighthouse
