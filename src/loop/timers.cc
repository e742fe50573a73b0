#include "loop/timers.h"

#include "loop/clock.h"

namespace candela {

void Timers::place(size_t index, Timer* timer) {
    heap_[index] = timer;
    timer->heap_index_ = index;
}

void Timers::sift_up(size_t index) {
    Timer* timer = heap_[index];
    while (index > 0) {
        const size_t parent = (index - 1) / 2;
        if (heap_[parent]->heap_deadline_ <= timer->heap_deadline_) break;
        place(index, heap_[parent]);
        index = parent;
    }
    place(index, timer);
}

void Timers::sift_down(size_t index) {
    Timer* timer = heap_[index];
    for (;;) {
        size_t child = index * 2 + 1;
        if (child >= heap_.size()) break;
        if (child + 1 < heap_.size() &&
            heap_[child + 1]->heap_deadline_ < heap_[child]->heap_deadline_) {
            ++child;
        }
        if (timer->heap_deadline_ <= heap_[child]->heap_deadline_) break;
        place(index, heap_[child]);
        index = child;
    }
    place(index, timer);
}

void Timers::insert(Timer& timer) {
    timer.heap_deadline_ = timer.deadline_;
    heap_.push_back(&timer);
    sift_up(heap_.size() - 1);
}

void Timers::remove(Timer& timer) {
    const size_t index = timer.heap_index_;
    timer.heap_index_ = Timer::kNotInHeap;
    Timer* last = heap_.back();
    heap_.pop_back();
    if (last == &timer) return;
    place(index, last);
    sift_up(index);
    sift_down(last->heap_index_);
}

std::optional<MonoTime> Timers::next_deadline() const {
    if (heap_.empty()) return std::nullopt;
    return heap_.front()->heap_deadline_;
}

void Timers::run_due() {
    const MonoTime now = clock_.now();
    // Collected first, so that a callback that starts a timer with no delay can't keep us here.
    size_t budget = heap_.size();
    while (budget-- > 0 && !heap_.empty() && heap_.front()->heap_deadline_ <= now) {
        Timer* timer = heap_.front();
        remove(*timer);
        if (timer->deadline_ > now) {  // pushed back meanwhile
            insert(*timer);
            continue;
        }
        timer->active_ = false;
        bool destroyed = false;
        timer->destroyed_ = &destroyed;
        // The callable moves to the stack: it may destroy its own timer.
        Timer::Callback callback = std::move(timer->callback_);
        callback();
        if (destroyed) continue;
        timer->destroyed_ = nullptr;
        timer->callback_ = std::move(callback);
    }
}

void Timer::start(Duration delay) {
    if (delay < Duration(0)) delay = Duration(0);
    deadline_ = timers_.clock().now() + delay;
    active_ = true;
    if (heap_index_ != kNotInHeap) {
        if (deadline_ >= heap_deadline_) return;
        timers_.remove(*this);
    }
    timers_.insert(*this);
}

void Timer::stop() {
    active_ = false;
    if (heap_index_ != kNotInHeap) timers_.remove(*this);
}

Timer::~Timer() {
    stop();
    if (destroyed_ != nullptr) *destroyed_ = true;
}

}  // namespace candela
