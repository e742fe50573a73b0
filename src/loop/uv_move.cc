#include <fcntl.h>
#include <unistd.h>

#include "loop/move_stream.h"
#include "loop/uv_stream_impl.h"

namespace candela {

namespace {

// A socket between two loops.
class MovingFd {
public:
    explicit MovingFd(int fd) : fd_(fd) {}
    MovingFd(MovingFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    MovingFd& operator=(MovingFd&&) = delete;
    ~MovingFd() {
        if (fd_ >= 0) ::close(fd_);
    }
    bool is_open() const { return fd_ >= 0; }
    int get() const { return fd_; }
    void release() { fd_ = -1; }

private:
    int fd_;
};

Result<StreamPtr> adopt(UvLoop& loop, MovingFd fd, bool is_tcp) {
    UvStreamBlock* block = UvStreamBlock::make(loop.uv(), is_tcp);
    const int status = is_tcp ? uv_tcp_open(&block->handle.tcp, fd.get())
                              : uv_pipe_open(&block->handle.pipe, fd.get());
    if (status != 0) {
        block->close();
        return fail(uv_failure("moving a connection", status));
    }
    fd.release();
    return StreamPtr(std::make_unique<UvStream>(loop, block));
}

}  // namespace

Result<StreamPtr> adopt_unix_socket(Loop& loop, Fd fd) {
    auto* uv = dynamic_cast<UvLoop*>(&loop);
    if (uv == nullptr) return fail(Code::kUnsupported, "only a libuv loop has sockets");
    return adopt(*uv, MovingFd(fd.release()), false);
}

Result<StreamPtr> adopt_tcp_socket(Loop& loop, Fd fd) {
    auto* uv = dynamic_cast<UvLoop*>(&loop);
    if (uv == nullptr) return fail(Code::kUnsupported, "only a libuv loop has sockets");
    return adopt(*uv, MovingFd(fd.release()), true);
}

bool move_stream(StreamPtr& stream, Loop& to,
                 std::move_only_function<void(Result<StreamPtr>)> done) {
    auto* from = dynamic_cast<UvStream*>(stream.get());
    auto* loop = dynamic_cast<UvLoop*>(&to);
    if (from == nullptr || loop == nullptr) return false;
    // The handle of this loop closes its descriptor with it; the connection stays open by another.
    MovingFd fd(from->duplicate_fd());
    if (!fd.is_open()) return false;
    const bool is_tcp = from->is_tcp();
    stream.reset();
    to.post([loop, fd = std::move(fd), is_tcp, done = std::move(done)]() mutable {
        done(adopt(*loop, std::move(fd), is_tcp));
    });
    return true;
}

}  // namespace candela
