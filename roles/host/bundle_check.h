#pragma once

// Whether an unpacked bundle is still what was unpacked. Two looks: at what the file system says of
// each file, which is quick and meets whoever wrote to it, and at all of its bytes, which meets a
// disk that rots. Both block: on the pool.

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace candela::host {

struct TreeStamp {
    uint64_t entries = 0;
    uint64_t bytes = 0;
    int64_t newest_change_ns = 0;  // of names, modes and contents alike

    friend bool operator==(const TreeStamp&, const TreeStamp&) = default;
};

Result<TreeStamp> stamp_tree(const std::filesystem::path& folder);

// SHA-256, in hex, over names, kinds, modes and contents, in the order of the names.
Result<std::string> digest_tree(const std::filesystem::path& folder);

}  // namespace candela::host
