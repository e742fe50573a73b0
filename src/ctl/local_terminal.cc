#include "ctl/local_terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace candela::ctl {

Result<RawTerminal> RawTerminal::make() {
    termios before{};
    if (tcgetattr(STDIN_FILENO, &before) != 0) return fail_errno("the terminal", errno);
    termios raw = before;
    cfmakeraw(&raw);
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0) return fail_errno("the terminal", errno);
    return RawTerminal(before);
}

RawTerminal::~RawTerminal() {
    // Nothing can be done where the terminal itself is gone.
    if (before_) static_cast<void>(tcsetattr(STDIN_FILENO, TCSADRAIN, &*before_));
}

bool stdin_is_terminal() { return isatty(STDIN_FILENO) == 1; }

service::WindowSize window_size() {
    service::WindowSize window;
    winsize size{};
    for (const int fd : {STDOUT_FILENO, STDIN_FILENO}) {
        if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) continue;
        window.rows = size.ws_row;
        window.columns = size.ws_col;
        break;
    }
    return window;
}

}  // namespace candela::ctl
