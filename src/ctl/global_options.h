#pragma once

// The options that every verb of ctl takes.

#include <span>

#include "ctl/verb.h"

namespace candela::ctl {

std::span<const VerbOption> global_options();

}  // namespace candela::ctl
