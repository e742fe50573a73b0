#include "ctl/own_stream.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/text.h"
#include "loop/move_stream.h"

namespace candela::ctl {

Result<OwnStream> OwnStream::open(Loop& loop, int fd) {
    struct stat look{};
    if (fstat(fd, &look) != 0) return fail_errno("a standard stream", errno);
    const bool can_wait = S_ISFIFO(look.st_mode) || S_ISSOCK(look.st_mode) || isatty(fd) == 1;
    if (!can_wait) return fail(Code::kUnsupported, "a file");
    const int flags = fcntl(fd, F_GETFL);
    const int mode = flags & O_ACCMODE;
    int shared = -1;
    Fd own(::open(fmt::format("/proc/self/fd/{}", fd).c_str(), mode | O_NOCTTY | O_CLOEXEC));
    if (own.get() < 0) {
        own = Fd(fcntl(fd, F_DUPFD_CLOEXEC, 3));
        shared = fd;
    }
    if (own.get() < 0) return fail_errno("a standard stream", errno);
    CANDELA_TRY_ASSIGN(StreamPtr stream, adopt_unix_socket(loop, std::move(own)));
    return OwnStream(std::move(stream), shared, flags);
}

OwnStream::~OwnStream() {
    stream_.reset();
    if (shared_ >= 0) static_cast<void>(fcntl(shared_, F_SETFL, flags_));
}

}  // namespace candela::ctl
