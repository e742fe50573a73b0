#pragma once

// The sources of a project: what is in its folder but for what .gitignore names (of the folder and
// of those in it), version control's own folders, and what the build makes. Blocking: on the pool.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "service/bundle.h"

namespace candela::build {

struct SourceOptions {
    std::vector<std::string> left_out;  // at the root, by name
    std::string ignore_file = ".gitignore";
    service::BundleLimits limits;
    // Whose the copies are; otherwise ours.
    std::optional<uint32_t> owner;
};

struct SourceInfo {
    std::string digest;  // of names, kinds, modes and content
    uint64_t files = 0;
    uint64_t bytes = 0;
    std::vector<std::string>
        folders;  // that were gone through, relative; the first is "", the root
};

// Reads all of it. With `to`, a folder that is there, what is read is written there, with its
// times: tools that look at them find what is up to date.
Result<SourceInfo> read_sources(const std::filesystem::path& from,
                                const std::optional<std::filesystem::path>& to,
                                const SourceOptions& options);

// Gives the tree to the user; links are not followed.
Result<> give_tree(const std::filesystem::path& folder, uint32_t owner);

// Of all files; what can't be looked at counts nothing.
uint64_t tree_bytes(const std::filesystem::path& folder);

}  // namespace candela::build
