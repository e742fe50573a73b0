#pragma once

// Asks a keeper for the doors of an instance with a network of its own, and for connections to what
// listens within (keeper/doors.h). Blocking, for moments: on the pool.

#include <filesystem>

#include "base/result.h"
#include "loop/fd.h"

namespace candela::host {

struct KeeperDoors {
    Fd outer{-1};  // -1: it has none
    Fd inner{-1};
};

Result<KeeperDoors> ask_doors(const std::filesystem::path& folder);
// kUnreachable where nobody listens at the instance's port. It may be under way still.
Result<Fd> ask_connection(const std::filesystem::path& folder);

}  // namespace candela::host
