#pragma once

// Writes lines to a descriptor from a thread of its own, which ends while there are none, so that a
// slow terminal, journal or disk never holds a loop. What does not fit in the bounded queue is
// dropped and counted. Any thread may call it.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "loop/thread_pool.h"

namespace candela {

class LineWriter final {
public:
    static constexpr size_t kQueueBytesMax = 1 << 20;

    // Makes the line, with its end, that tells of so many dropped ones; it follows those that were
    // written before, as soon as there is room again.
    using DroppedLine = std::function<std::string(uint64_t)>;

    // The descriptor stays the caller's. It must not be a non-blocking one.
    LineWriter(int fd, DroppedLine dropped_line, Duration idle_max = ThreadPool::kIdleMax);
    ~LineWriter();  // writes what is queued
    LineWriter(const LineWriter&) = delete;
    LineWriter& operator=(const LineWriter&) = delete;

    // One line or several, each with its end.
    void write(std::string_view lines);
    // What comes from now on goes there. The old descriptor is no longer used when it returns.
    void set_fd(int fd);
    bool has_thread() const;

private:
    void run();
    void start_thread();  // under mutex_

    const DroppedLine dropped_line_;
    const Duration idle_max_;  // so long without a line its thread waits
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    int fd_;                 // under mutex_
    std::string queue_;      // under mutex_
    uint64_t dropped_ = 0;   // under mutex_
    bool writing_ = false;   // under mutex_
    bool running_ = false;   // under mutex_
    bool stopping_ = false;  // under mutex_
    std::thread thread_;
};

}  // namespace candela
