#pragma once

// The terminal that ctl itself runs on: raw while somebody types into a program elsewhere, and as
// it was afterwards, however we end (but for SIGKILL).

#include <termios.h>

#include <optional>

#include "base/result.h"
#include "service/session_frame.h"

namespace candela::ctl {

class RawTerminal {
public:
    // Of standard input, which is a terminal.
    static Result<RawTerminal> make();
    RawTerminal(RawTerminal&& other) noexcept : before_(std::exchange(other.before_, {})) {}
    RawTerminal& operator=(RawTerminal&&) = delete;
    ~RawTerminal();

private:
    explicit RawTerminal(const termios& before) : before_(before) {}
    std::optional<termios> before_;
};

bool stdin_is_terminal();
// Of the terminal on standard output or input; the usual size where there is none.
service::WindowSize window_size();

}  // namespace candela::ctl
