#pragma once

// Timers of one loop: an intrusive binary heap, made for many timers that are often pushed back and
// seldom fire. Pushing a deadline back is one store; the heap is mended when the old one comes due.
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
    void insert(Timer& timer);
    void remove(Timer& timer);
    void sift_up(size_t index);
    void sift_down(size_t index);
    void place(size_t index, Timer* timer);

    const Clock& clock_;
    std::vector<Timer*> heap_;
};

class Timer {
public:
    using Callback = std::move_only_function<void()>;

    Timer(Timers& timers, Callback callback) : timers_(timers), callback_(std::move(callback)) {}
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer();

    // Fires once, `delay` from now. A timer that is active is moved. The callback may destroy the
    // timer.
    void start(Duration delay);
    void stop();
    bool is_active() const { return active_; }

private:
    friend class Timers;
    static constexpr size_t kNotInHeap = SIZE_MAX;

    Timers& timers_;
    Callback callback_;
    MonoTime deadline_{};       // when it should fire
    MonoTime heap_deadline_{};  // by which the heap orders it: never later than deadline_
    size_t heap_index_ = kNotInHeap;
    bool active_ = false;
    bool* destroyed_ = nullptr;  // set while its callback runs
};

}  // namespace candela
