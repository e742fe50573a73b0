#pragma once

// Our own standard input, output and errors as streams. A terminal or a pipe is opened anew where
// that can be, so that whoever shares it does not find it non-blocking afterwards; where it can't,
// it is put back as it was.

#include <memory>

#include "base/result.h"
#include "loop/fd.h"
#include "loop/loop.h"
#include "loop/stream.h"

namespace candela::ctl {

class OwnStream {
public:
    // kUnsupported of what can't be waited for, such as files: they are read and written as they
    // are.
    static Result<OwnStream> open(Loop& loop, int fd);
    OwnStream(OwnStream&& other) noexcept
        : stream_(std::move(other.stream_)),
          shared_(std::exchange(other.shared_, -1)),
          flags_(other.flags_) {}
    OwnStream& operator=(OwnStream&&) = delete;
    ~OwnStream();

    Stream& stream() { return *stream_; }
    // Its reader or writer is gone.
    void close() { stream_.reset(); }
    bool is_open() const { return stream_ != nullptr; }

private:
    OwnStream(StreamPtr stream, int shared, int flags)
        : stream_(std::move(stream)), shared_(shared), flags_(flags) {}

    StreamPtr stream_;
    int shared_;  // whose flags are to be put back; -1: none
    int flags_;
};

}  // namespace candela::ctl
