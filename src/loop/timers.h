#pragma once

// Timers of one loop: intrusive binary heaps, made for many timers that are often pushed back and
// seldom fire. Pushing a deadline back is one store; the heap is mended when the old one comes due.
// What is in no hurry says so by a leeway: it fires together with others, so that an idle machine
// wakes seldom and does much at once while its caches are warm.
// Lives on its loop's thread. A Timer is owned by whoever waits; its destructor stops it.

#include <functional>
#include <optional>
#include <vector>

#include "base/time.h"

namespace candela {

class Clock;
class Timer;

class Timers {
public:
    explicit Timers(const Clock& clock) : clock_(clock) {}
    Timers(const Timers&) = delete;
    Timers& operator=(const Timers&) = delete;

    // When run_due() should be called next; nothing while no timer is active.
    std::optional<MonoTime> next_deadline() const;
    // Fires what is due at clock.now(). A timer started meanwhile with no delay waits for the next
    // call.
    void run_due();

    const Clock& clock() const { return clock_; }

private:
    friend class Timer;

    // The first is the one with the earliest heap_deadline_.
    class Heap {
    public:
        bool empty() const { return timers_.empty(); }
        size_t size() const { return timers_.size(); }
        Timer& first() const { return *timers_.front(); }
        void insert(Timer& timer);
        void remove(Timer& timer);

    private:
        void sift_up(size_t index);
        void sift_down(size_t index);
        void place(size_t index, Timer* timer);

        std::vector<Timer*> timers_;
    };

    // Of those with a leeway so many fire in one call before they must: a loop with thousands of
    // them is not to stall in one burst.
    static constexpr size_t kEarlyMax = 32;

    void fire(Timer& timer);

    const Clock& clock_;
    Heap exact_;
    Heap patient_;  // those with a leeway, by the time they must fire
};

class Timer {
public:
    using Callback = std::move_only_function<void()>;

    Timer(Timers& timers, Callback callback) : timers_(timers), callback_(std::move(callback)) {}
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer();

    // Fires once, `delay` from now, or up to `leeway` later: when the loop fires another timer, at
    // the latest when that has passed. A timer that is active is moved. The callback may destroy
    // the timer.
    void start(Duration delay, Duration leeway = Duration(0));
    void stop();
    bool is_active() const { return active_; }

private:
    friend class Timers;
    static constexpr size_t kNotInHeap = SIZE_MAX;

    Timers& timers_;
    Callback callback_;
    MonoTime deadline_{};       // when it must fire, the leeway included
    MonoTime heap_deadline_{};  // by which the heap orders it: never later than deadline_
    Duration leeway_{};
    Timers::Heap* heap_ = nullptr;  // that it was in last
    size_t heap_index_ = kNotInHeap;
    bool active_ = false;
    bool* destroyed_ = nullptr;  // set while its callback runs
};

}  // namespace candela
