#pragma once

// A file descriptor that is closed with its owner, and what is done with one. Any thread; the
// functions block (file.h).

#include <unistd.h>

#include <filesystem>
#include <string_view>
#include <utility>

#include "base/result.h"

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

// `path` is for the error's text.
Result<> write_all(int fd, std::string_view content, const std::filesystem::path& path);
// So that what was made, renamed or removed in the folder stays so.
Result<> sync_directory(const std::filesystem::path& path);

}  // namespace candela
