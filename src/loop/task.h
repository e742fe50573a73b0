#pragma once

// Task<T>: a coroutine that runs a flow (handshake, deploy, drain, ctl). It starts when it is
// awaited or spawned, lives on one loop, and is owned: destroying the Task destroys the flow where
// it stands, with everything on its stack, which cancels what it waits for.
//
// g++ 12 miscompiles some statements with co_await: keep braced temporaries, lambdas and ?: out of
// them (docs/architecture.md; `./dev lint` looks for them, tests/unit/loop/task_canary.cc runs
// them). await_suspend returns bool rather than a handle: symmetric transfer overflows the stack
// where the compiler does not make the tail call (-O0, sanitizers).

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/check.h"

namespace candela {

template <class T>
class Task;

namespace detail {

class PromiseBase {
public:
    // Called when the coroutine has ended and is suspended for good; it may destroy the frame.
    using OnDone = void (*)(void*);

    std::suspend_always initial_suspend() noexcept { return {}; }
    struct Final {
        bool await_ready() const noexcept { return false; }
        // Reads the continuation before calling it: the frame, and this awaiter in it, may be gone
        // when it returns.
        template <class P>
        void await_suspend(std::coroutine_handle<P> self) const noexcept {
            PromiseBase& promise = self.promise();
            const OnDone on_done = promise.on_done_;
            void* const context = promise.context_;
            promise.finished_ = true;
            if (on_done != nullptr) on_done(context);
        }
        void await_resume() const noexcept {}
    };
    Final final_suspend() noexcept { return {}; }
    void unhandled_exception() noexcept { std::terminate(); }

    void set_continuation(OnDone on_done, void* context) {
        on_done_ = on_done;
        context_ = context;
    }
    bool finished() const { return finished_; }

private:
    OnDone on_done_ = nullptr;
    void* context_ = nullptr;
    bool finished_ = false;
};

template <class T>
class Promise final : public PromiseBase {
public:
    Task<T> get_return_object() noexcept;
    template <class U>
    void return_value(U&& value) {
        value_.emplace(std::forward<U>(value));
    }
    T take() { return std::move(*value_); }

private:
    std::optional<T> value_;
};

template <>
class Promise<void> final : public PromiseBase {
public:
    Task<void> get_return_object() noexcept;
    void return_void() noexcept {}
    void take() {}
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
public:
    using promise_type = detail::Promise<T>;
    using Handle = std::coroutine_handle<promise_type>;

    explicit Task(Handle handle) : handle_(handle) {}
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Task& operator=(Task&& other) noexcept {
        if (this != &other) {
            if (handle_) handle_.destroy();
            handle_ = std::exchange(other.handle_, {});
        }
        return *this;
    }
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    ~Task() {
        if (handle_) handle_.destroy();
    }

    // Runs until the first wait. `on_done(context)` is called when the flow has ended, perhaps
    // within this call; it may destroy the Task. For those who own tasks outside coroutines
    // (TaskGroup).
    void start(detail::PromiseBase::OnDone on_done, void* context) {
        handle_.promise().set_continuation(on_done, context);
        handle_.resume();
    }
    bool is_done() const { return handle_.promise().finished(); }
    // The result of a task that is done.
    T take() {
        CANDELA_CHECK(is_done());
        return handle_.promise().take();
    }

    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> awaiting) {
        handle_.resume();
        if (handle_.promise().finished()) return false;
        handle_.promise().set_continuation(
            [](void* address) { std::coroutine_handle<>::from_address(address).resume(); },
            awaiting.address());
        return true;
    }
    T await_resume() { return handle_.promise().take(); }

private:
    Handle handle_;
};

namespace detail {
template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
    return Task<T>(Task<T>::Handle::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
    return Task<void>(Task<void>::Handle::from_promise(*this));
}
}  // namespace detail

}  // namespace candela
