#pragma once

// What stands between a person and a program that runs for them beside an instance: a terminal, or
// three pipes. One side is the program's first three descriptors, the other is ours. Making them
// takes moments.

#include <optional>

#include "base/result.h"
#include "driver.h"
#include "loop/fd.h"
#include "service/session_frame.h"

namespace candela::host {

struct SessionEnds {
    SessionFds program;
    // Ours. Of a terminal `input` is all of it, and the others are none.
    Fd input{-1};
    Fd output{-1};
    Fd errors{-1};
    bool is_terminal = false;
};

Result<SessionEnds> make_pipes();
Result<SessionEnds> make_terminal(service::WindowSize window);
// Of a terminal; the program is told by SIGWINCH.
Result<> set_window(int terminal, service::WindowSize window);

}  // namespace candela::host
