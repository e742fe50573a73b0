#pragma once

// `candela upgrade`: asks a running node to hand over to another executable, and waits for how that
// went. The node is asked on a unix socket in its data folder, which admits root and the node's own
// user. Blocks.

#include <filesystem>
#include <string>

#include "base/result.h"
#include "node/profile.h"

namespace candela {

// Where a node of this profile is asked.
std::filesystem::path upgrade_socket(const Profile& profile);

// Returns the process id of the node that has taken over. Code::kUnreachable where no node answers
// that knows of upgrades, kUnsupported where its roles can't, kConflict while another upgrade is
// under way; otherwise the old one goes on, and the error says why.
Result<int> ask_for_upgrade(const Profile& profile, const std::string& executable);

}  // namespace candela
