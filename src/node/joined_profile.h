#pragma once

// The profile that `candela join` writes for a new node. Pure.

#include <filesystem>
#include <string>

#include "node/join.h"

namespace candela {

// `address`: where other nodes reach it; empty: nowhere.
std::string joined_profile(const JoinResult& joined, const std::filesystem::path& data_dir,
                           const std::string& address);

}  // namespace candela
