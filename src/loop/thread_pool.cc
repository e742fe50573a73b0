#include "loop/thread_pool.h"

#include <system_error>
#include <thread>
#include <utility>

namespace candela {

ThreadPool& ThreadPool::shared() {
    // Its threads may still be waiting when the process ends: nothing may be taken from under them.
    static ThreadPool& pool = *new ThreadPool;
    return pool;
}

bool ThreadPool::has_work() const {
    return !quick_.empty() || (!slow_.empty() && slow_running_ < kSlowMax);
}

void ThreadPool::run(Work work, Kind kind) {
    {
        const std::lock_guard lock(mutex_);
        std::deque<Work>& queue = kind == Kind::kQuick ? quick_ : slow_;
        const bool is_enough = idle_ > quick_.size() + slow_.size() || threads_ == kThreadsMax;
        if (is_enough || add_thread() || threads_ > 0) {
            queue.push_back(std::move(work));
            changed_.notify_one();
            return;
        }
    }
    // The machine has no thread left to give: late rather than never.
    work();
}

bool ThreadPool::add_thread() {
    try {
        std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
        return false;
    }
    ++threads_;
    return true;
}

void ThreadPool::serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
        ++idle_;
        const bool has = changed_.wait_for(lock, idle_max_, [this] { return has_work(); });
        --idle_;
        if (!has) break;
        const bool is_slow = quick_.empty();
        std::deque<Work>& queue = is_slow ? slow_ : quick_;
        Work work = std::move(queue.front());
        queue.pop_front();
        slow_running_ += is_slow;
        lock.unlock();
        work();
        work = nullptr;
        lock.lock();
        slow_running_ -= is_slow;
        if (has_work()) changed_.notify_one();
    }
    --threads_;
}

size_t ThreadPool::thread_count() const {
    const std::lock_guard lock(mutex_);
    return threads_;
}

}  // namespace candela
