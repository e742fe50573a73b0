#include "loop/timers.h"

#include <algorithm>

#include "loop/clock.h"

namespace candela {

void Timers::Heap::place(size_t index, Timer* timer) {
    timers_[index] = timer;
    timer->heap_index_ = index;
}

void Timers::Heap::sift_up(size_t index) {
    Timer* timer = timers_[index];
    while (index > 0) {
        const size_t parent = (index - 1) / 2;
        if (timers_[parent]->heap_deadline_ <= timer->heap_deadline_) break;
        place(index, timers_[parent]);
        index = parent;
    }
    place(index, timer);
}

void Timers::Heap::sift_down(size_t index) {
    Timer* timer = timers_[index];
    for (;;) {
        size_t child = index * 2 + 1;
        if (child >= timers_.size()) break;
        if (child + 1 < timers_.size() &&
            timers_[child + 1]->heap_deadline_ < timers_[child]->heap_deadline_) {
            ++child;
        }
        if (timer->heap_deadline_ <= timers_[child]->heap_deadline_) break;
        place(index, timers_[child]);
        index = child;
    }
    place(index, timer);
}

void Timers::Heap::insert(Timer& timer) {
    timer.heap_ = this;
    timer.heap_deadline_ = timer.deadline_;
    timers_.push_back(&timer);
    sift_up(timers_.size() - 1);
}

void Timers::Heap::remove(Timer& timer) {
    const size_t index = timer.heap_index_;
    timer.heap_index_ = Timer::kNotInHeap;
    Timer* last = timers_.back();
    timers_.pop_back();
    if (last == &timer) return;
    place(index, last);
    sift_up(index);
    sift_down(last->heap_index_);
}

std::optional<MonoTime> Timers::next_deadline() const {
    if (exact_.empty() && patient_.empty()) return std::nullopt;
    if (patient_.empty()) return exact_.first().heap_deadline_;
    if (exact_.empty()) return patient_.first().heap_deadline_;
    return std::min(exact_.first().heap_deadline_, patient_.first().heap_deadline_);
}

void Timers::run_due() {
    const MonoTime now = clock_.now();
    // Counted first, so that a callback that starts a timer with no delay can't keep us here.
    for (size_t budget = exact_.size(); budget > 0 && !exact_.empty(); --budget) {
        Timer& timer = exact_.first();
        if (timer.heap_deadline_ > now) break;
        exact_.remove(timer);
        if (timer.deadline_ <= now)
            fire(timer);
        else  // pushed back meanwhile
            exact_.insert(timer);
    }
    size_t fired = 0;
    for (size_t budget = patient_.size(); budget > 0 && !patient_.empty(); --budget) {
        Timer& timer = patient_.first();
        const Duration early = fired < kEarlyMax ? timer.leeway_ : Duration(0);
        if (timer.heap_deadline_ - early > now) break;
        patient_.remove(timer);
        if (timer.deadline_ - early > now) {
            patient_.insert(timer);
            continue;
        }
        ++fired;
        fire(timer);
    }
}

void Timers::fire(Timer& timer) {
    timer.active_ = false;
    bool destroyed = false;
    timer.destroyed_ = &destroyed;
    // The callable moves to the stack: it may destroy its own timer.
    Timer::Callback callback = std::move(timer.callback_);
    callback();
    if (destroyed) return;
    timer.destroyed_ = nullptr;
    timer.callback_ = std::move(callback);
}

void Timer::start(Duration delay, Duration leeway) {
    delay = std::max(delay, Duration(0));
    leeway_ = std::max(leeway, Duration(0));
    deadline_ = timers_.clock().now() + delay + leeway_;
    active_ = true;
    Timers::Heap& heap = leeway_ > Duration(0) ? timers_.patient_ : timers_.exact_;
    if (heap_index_ != kNotInHeap) {
        if (heap_ == &heap && deadline_ >= heap_deadline_) return;
        heap_->remove(*this);
    }
    heap.insert(*this);
}

void Timer::stop() {
    active_ = false;
    if (heap_index_ != kNotInHeap) heap_->remove(*this);
}

Timer::~Timer() {
    stop();
    if (destroyed_ != nullptr) *destroyed_ = true;
}

}  // namespace candela
