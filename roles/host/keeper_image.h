#pragma once

// The keeper's executable (keeper/main.cc), which lies within ours: an upgrade of candela on the
// disk can't pull it from under a host that runs.

#include <string>
#include <string_view>

#include "base/result.h"

namespace candela::host {

std::string_view keeper_image();

// An unnamed file in memory that holds it, sealed. The caller owns the descriptor.
Result<int> open_keeper_image();

}  // namespace candela::host
