#pragma once

// What a verb works with: the loop, the lighthouse's API, the terminal, and the global options.

#include <string>

#include "build/workshop.h"
#include "ctl/api.h"
#include "ctl/terminal.h"
#include "loop/uv_loop.h"

namespace candela::ctl {

struct Session {
    UvLoop& loop;
    Api& api;  // of verbs that need the lighthouse
    Terminal& terminal;
    bool json = false;
    std::string space;
    build::MakeWorkshop make_workshop;  // where folders are built; may be empty
};

}  // namespace candela::ctl
