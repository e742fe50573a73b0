#include "loop/line_writer.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace candela {

LineWriter::LineWriter(int fd, DroppedLine dropped_line)
    : dropped_line_(std::move(dropped_line)), fd_(fd), thread_([this] { run(); }) {}

LineWriter::~LineWriter() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void LineWriter::write(std::string_view lines) {
    {
        const std::lock_guard lock(mutex_);
        if (queue_.size() + lines.size() > kQueueBytesMax) {
            ++dropped_;
            return;
        }
        queue_ += lines;
    }
    changed_.notify_all();
}

void LineWriter::set_fd(int fd) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !writing_; });
    fd_ = fd;
}

void LineWriter::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) return;
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
