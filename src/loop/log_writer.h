#pragma once

// The sink behind a node's logs: lines go to a descriptor from a thread of its own, so that a slow
// terminal or journal never holds a loop. What does not fit in the bounded queue is counted, and
// the count is written when there is room again. Any thread may write.

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "base/log.h"

namespace candela {

class LogWriter final : public LogSink {
public:
    enum class Format : uint8_t {
        kPlain,    // "2026-01-02T03:04:05.678Z info event key=value"
        kJournal,  // "<6>info event key=value": journald has the time, and reads the priority
    };

    LogWriter(int fd, Format format);
    ~LogWriter() override;  // writes what is queued
    LogWriter(const LogWriter&) = delete;
    LogWriter& operator=(const LogWriter&) = delete;

    void write(LogLevel level, std::string_view line) override;

    static constexpr size_t kQueueBytesMax = 1 << 20;

private:
    void run();

    const int fd_;
    const Format format_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::string queue_;      // under mutex_
    uint64_t dropped_ = 0;   // under mutex_
    bool stopping_ = false;  // under mutex_
    std::thread thread_;
};

}  // namespace candela
