#pragma once

// What flows (Task<T>) are made of: completing from a callback, sleeping, deadlines, groups, mutual
// exclusion, connecting, and blocking work on the pool. All of it is for one loop's thread.

#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "loop/loop.h"
#include "loop/task.h"

namespace candela {

// The bridge from a callback to a coroutine: one side awaits it, the other calls complete(), in
// either order. Neither copies nor moves; whoever completes it must be cancelled before it is
// destroyed.
template <class T>
class Completion {
public:
    Completion() = default;
    Completion(const Completion&) = delete;
    Completion& operator=(const Completion&) = delete;

    // Resumes the waiter at once, which may destroy this object. Later calls are ignored.
    void complete(T value) {
        if (value_) return;
        value_.emplace(std::move(value));
        if (auto waiting = std::exchange(waiting_, {})) waiting.resume();
    }
    bool is_complete() const { return value_.has_value(); }

    bool await_ready() const noexcept { return value_.has_value(); }
    void await_suspend(std::coroutine_handle<> waiting) noexcept { waiting_ = waiting; }
    T await_resume() { return std::move(*value_); }

private:
    std::optional<T> value_;
    std::coroutine_handle<> waiting_;
};

struct Done {};  // the value of a Completion that only says "now"

// Wakes every flow that waits. A level, not an edge: after set() waits return at once until
// reset().
class Event {
public:
    Event() = default;
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    void set();
    void reset() { is_set_ = false; }
    bool is_set() const { return is_set_; }
    Task<void> wait();

private:
    struct Waiter {
        Completion<Done> done;
        std::list<Waiter*>::iterator place;
        Event* event = nullptr;
        ~Waiter() {
            if (event != nullptr) event->waiters_.erase(place);
        }
    };
    bool is_set_ = false;
    std::list<Waiter*> waiters_;
};

// `leeway`: as of Timer::start.
Task<void> sleep_for(Loop& loop, Duration duration, Duration leeway = Duration(0));

// Connects within the time given.
Task<Result<StreamPtr>> connect(Loop& loop, Address address, Duration timeout);

// Owns running flows that nobody awaits. Destroying the group cancels them; none outlives it.
class TaskGroup {
public:
    TaskGroup() = default;
    TaskGroup(const TaskGroup&) = delete;
    TaskGroup& operator=(const TaskGroup&) = delete;
    ~TaskGroup() { cancel(); }

    void spawn(Task<void> task);
    // Destroys every flow in the group. A flow of the group itself must not call it.
    void cancel();
    size_t size() const { return members_.size(); }
    // Returns once the group is empty.
    Task<void> wait_empty();

private:
    struct Member {
        TaskGroup* group;
        Task<void> task;
        std::list<Member>::iterator place;
    };
    static void on_done(void* context);

    std::list<Member> members_;
    Event empty_;
};

// The task's result, or Code::kTimeout with "<what>: no answer within <timeout>"; the task is then
// gone.
template <class T>
Task<Result<T>> with_timeout(Loop& loop, Duration timeout, std::string_view what,
                             Task<Result<T>> task) {
    Completion<Done> wake;
    Timer timer(loop.timers(), [&wake] { wake.complete(Done()); });
    timer.start(timeout);
    task.start([](void* context) { static_cast<Completion<Done>*>(context)->complete(Done()); },
               &wake);
    co_await wake;
    if (task.is_done()) co_return task.take();
    co_return fail(Code::kTimeout, "{}: no answer within {}", what, format_duration(timeout));
}

// First come, first served. lock() returns a guard that unlocks when it ends.
class AsyncMutex {
public:
    class Guard {
    public:
        explicit Guard(AsyncMutex* mutex) : mutex_(mutex) {}
        Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
        Guard& operator=(Guard&&) = delete;
        ~Guard() {
            if (mutex_ != nullptr) mutex_->unlock();
        }

    private:
        AsyncMutex* mutex_;
    };

    AsyncMutex() = default;
    AsyncMutex(const AsyncMutex&) = delete;
    AsyncMutex& operator=(const AsyncMutex&) = delete;
    Task<Guard> lock();

private:
    struct Waiter;
    void unlock();
    bool locked_ = false;
    std::list<Waiter*> waiters_;
};

// Runs `work` on a pool thread and returns its result on this loop. What it captures must be its
// own (values, shared pointers): when the flow is cancelled, the work still runs to its end. Name
// the callable first: `auto work = [..] {..}; auto r = co_await offload(loop, std::move(work));`
template <class Work, class R = std::invoke_result_t<Work&>>
Task<R> offload(Loop& loop, Work work) {
    struct State {
        explicit State(Work w) : work(std::move(w)) {}
        Work work;
        std::optional<R> result;
        Completion<Done>* waiting = nullptr;  // null once the flow is gone
    };
    struct Detach {
        std::shared_ptr<State> state;
        explicit Detach(std::shared_ptr<State> s) : state(std::move(s)) {}
        ~Detach() { state->waiting = nullptr; }
    };
    Completion<Done> done;
    auto state = std::make_shared<State>(std::move(work));
    state->waiting = &done;
    Detach detach(state);
    loop.offload([state] { state->result.emplace(state->work()); },
                 [state] {
                     if (state->waiting != nullptr) state->waiting->complete(Done());
                 });
    co_await done;
    co_return std::move(*state->result);
}

}  // namespace candela
