#pragma once

// The table of all roles, in the order in which a node starts them. main.cpp hands it to src/node.

#include <span>

#include "node/role.h"

namespace candela {

std::span<const RoleSpec> role_table();

}  // namespace candela
