#pragma once

// Puts a lighthouse back from a backup (candela restore), on this machine or another. Blocks.

#include <filesystem>

#include "base/result.h"
#include "base/secret.h"

namespace candela {

struct RestoreOptions {
    std::filesystem::path backup;
    std::filesystem::path data_dir;
    Secret passphrase;
    bool replaces = false;  // a lighthouse that is there is set aside, not kept in place
};

struct RestoreReport {
    uint64_t files = 0;
    uint64_t bytes = 0;
    std::filesystem::path set_aside;  // where what was there has gone; empty: nothing was
};

// Nothing is in place before all of the backup has been read and found whole. kConflict where there
// is a lighthouse already, or one runs; kDenied where the passphrase is wrong; kCorrupt where the
// backup is damaged.
Result<RestoreReport> restore(const RestoreOptions& options);

}  // namespace candela
