#include "loop/line_writer.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace candela {

LineWriter::LineWriter(int fd, DroppedLine dropped_line, Duration idle_max)
    : dropped_line_(std::move(dropped_line)), idle_max_(idle_max), fd_(fd) {}

LineWriter::~LineWriter() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
    if (!queue_.empty()) run();  // there was no thread to be had
}

void LineWriter::write(std::string_view lines) {
    {
        const std::lock_guard lock(mutex_);
        if (queue_.size() + lines.size() > kQueueBytesMax) {
            ++dropped_;
            return;
        }
        queue_ += lines;
        if (!running_) start_thread();
    }
    changed_.notify_all();
}

// One that has ended no longer wants the mutex.
void LineWriter::start_thread() {
    if (thread_.joinable()) thread_.join();
    try {
        thread_ = std::thread([this] { run(); });
        running_ = true;
    } catch (const std::system_error&) {
        // The system has no thread to give. What is queued waits for the next line.
    }
}

void LineWriter::set_fd(int fd) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !writing_; });
    fd_ = fd;
}

bool LineWriter::has_thread() const {
    const std::lock_guard lock(mutex_);
    return running_;
}

void LineWriter::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait_for(lock, idle_max_, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) {
            running_ = false;
            return;
        }
        std::string batch = std::exchange(queue_, {});
        if (dropped_ > 0) batch += dropped_line_(std::exchange(dropped_, 0));
        const int fd = fd_;
        writing_ = true;
        lock.unlock();
        std::string_view rest = batch;
        while (!rest.empty()) {
            const ssize_t written = ::write(fd, rest.data(), rest.size());
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) break;  // there is nowhere left to say that writing lines fails
            rest.remove_prefix(static_cast<size_t>(written));
        }
        lock.lock();
        writing_ = false;
        changed_.notify_all();
    }
}

}  // namespace candela
