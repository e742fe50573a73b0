#pragma once

// `candela ctl`: the command line of an operator or a developer. It only talks to the lighthouse's
// API.

#include <span>
#include <string_view>

#include "build/workshop.h"

namespace candela::ctl {

// `arguments` are those after "ctl". Data goes to stdout, all else to stderr. Returns the process's
// exit code: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 conflict, 6 unreachable, 7 timed out
// and still going, 8 rolled back, 10 differences.
int run(std::span<const std::string_view> arguments, build::MakeWorkshop make_workshop = {});

}  // namespace candela::ctl
