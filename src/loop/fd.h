#pragma once

// A file descriptor that is closed with its owner. Any thread.

#include <unistd.h>

#include <utility>

namespace candela {

class Fd final {
public:
    explicit Fd(int fd) : fd_(fd) {}
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Fd() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const { return fd_; }
    // The caller's from now on.
    int release() { return std::exchange(fd_, -1); }

private:
    int fd_;
};

}  // namespace candela
