#include "session_ends.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace candela::host {

namespace {

struct Pipe {
    Fd read{-1};
    Fd write{-1};
};

Result<Pipe> make_pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno("making a pipe", errno);
    Pipe pipe;
    pipe.read = Fd(ends[0]);
    pipe.write = Fd(ends[1]);
    return pipe;
}

Result<Fd> copy_of(const Fd& fd) {
    Fd copy(fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
    if (copy.get() < 0) return fail_errno("copying a descriptor", errno);
    return copy;
}

}  // namespace

Result<SessionEnds> make_pipes() {
    CANDELA_TRY_ASSIGN(Pipe in, make_pipe());
    CANDELA_TRY_ASSIGN(Pipe out, make_pipe());
    CANDELA_TRY_ASSIGN(Pipe err, make_pipe());
    SessionEnds ends;
    ends.program.input = std::move(in.read);
    ends.program.output = std::move(out.write);
    ends.program.errors = std::move(err.write);
    ends.input = std::move(in.write);
    ends.output = std::move(out.read);
    ends.errors = std::move(err.read);
    return ends;
}

Result<> set_window(int terminal, service::WindowSize window) {
    winsize size{};
    size.ws_row = window.rows;
    size.ws_col = window.columns;
    if (ioctl(terminal, TIOCSWINSZ, &size) != 0)
        return fail_errno("setting a window's size", errno);
    return {};
}

Result<SessionEnds> make_terminal(service::WindowSize window) {
    SessionEnds ends;
    ends.is_terminal = true;
    ends.input = Fd(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    const int ours = ends.input.get();
    if (ours < 0) return fail_errno("making a terminal", errno);
    std::array<char, 128> name{};
    if (grantpt(ours) != 0 || unlockpt(ours) != 0 || ptsname_r(ours, name.data(), name.size()) != 0)
        return fail_errno("making a terminal", errno);
    ends.program.input = Fd(open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (ends.program.input.get() < 0) return fail_errno(name.data(), errno);
    CANDELA_TRY(set_window(ours, window));
    CANDELA_TRY_ASSIGN(ends.program.output, copy_of(ends.program.input));
    CANDELA_TRY_ASSIGN(ends.program.errors, copy_of(ends.program.input));
    return ends;
}

}  // namespace candela::host
