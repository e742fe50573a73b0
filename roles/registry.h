#pragma once

// The table of all roles, in the order in which a node starts them. main.cpp hands it to src/node.

#include <memory>
#include <span>

#include "build/workshop.h"
#include "node/role.h"

namespace candela {

std::span<const RoleSpec> role_table();

// Where `candela ctl` builds: within the walls of the host role.
std::unique_ptr<build::Workshop> make_build_workshop(Loop& loop);

}  // namespace candela
