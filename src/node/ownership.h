#pragma once

// Whose the files are that root writes for a node. Blocks.

#include <filesystem>

#include "base/result.h"

namespace candela {

// Gives the tree to the owner of the data folder: root restores and joins for the user that the
// node runs as. Does nothing for other users.
Result<> give_to_owner(const std::filesystem::path& data_dir, const std::filesystem::path& tree);

}  // namespace candela
