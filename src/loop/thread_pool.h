#pragma once

// The process's threads for what may block. They begin when there is work and end when there has
// been none for a while: a process that has a single thread again pays less for each system call,
// because the kernel need not count who uses a descriptor.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

#include "base/time.h"

namespace candela {

class ThreadPool {
public:
    using Work = std::move_only_function<void()>;

    static constexpr size_t kThreadsMax = 4;
    // Of these at most so many wait for what can take long because others don't answer (names):
    // they must not keep files from being read.
    static constexpr size_t kSlowMax = kThreadsMax / 2;
    static constexpr Duration kIdleMax = 3s;

    enum class Kind { kQuick, kSlow };

    // Of the whole process; never destroyed.
    static ThreadPool& shared();

    explicit ThreadPool(Duration idle_max = kIdleMax) : idle_max_(idle_max) {}
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    // Any thread. In the order of the calls for each kind. What `work` owns goes with it, on a
    // thread of the pool.
    void run(Work work, Kind kind = Kind::kQuick);

    size_t thread_count() const;

private:
    bool add_thread();  // under mutex_; false where the system gives none
    void serve();
    bool has_work() const;

    const Duration idle_max_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Work> quick_;  // all under mutex_
    std::deque<Work> slow_;
    size_t threads_ = 0;
    size_t idle_ = 0;
    size_t slow_running_ = 0;
};

}  // namespace candela
