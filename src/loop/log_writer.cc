#include "loop/log_writer.h"

#include <unistd.h>

#include <cerrno>

namespace candela {

LogWriter::LogWriter(int fd, Format format)
    : fd_(fd), format_(format), thread_([this] { run(); }) {}

LogWriter::~LogWriter() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
}

// sd-daemon(3): a line may begin with its syslog priority in angle brackets.
static std::string_view priority_prefix(LogLevel level) {
    switch (level) {
        case LogLevel::kDebug: return "<7>";
        case LogLevel::kInfo: return "<6>";
        case LogLevel::kWarn: return "<4>";
        case LogLevel::kError: return "<3>";
    }
    return "<6>";
}

void LogWriter::write(LogLevel level, std::string_view line) {
    std::string text;
    if (format_ == Format::kJournal) {
        text = priority_prefix(level);
    } else {
        text = format_rfc3339(std::chrono::system_clock::now());
        text += ' ';
    }
    text += line;
    text += '\n';
    {
        const std::lock_guard lock(mutex_);
        if (queue_.size() + text.size() > kQueueBytesMax) {
            ++dropped_;
            return;
        }
        queue_ += text;
    }
    changed_.notify_one();
}

void LogWriter::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) return;
        std::string batch;
        batch.swap(queue_);
        if (dropped_ > 0) {
            batch += fmt::format("warn log_lines_dropped count={}\n", std::exchange(dropped_, 0));
        }
        lock.unlock();
        std::string_view rest = batch;
        while (!rest.empty()) {
            const ssize_t written = ::write(fd_, rest.data(), rest.size());
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) break;  // there is nowhere left to say that logging fails
            rest.remove_prefix(static_cast<size_t>(written));
        }
        lock.lock();
    }
}

}  // namespace candela
