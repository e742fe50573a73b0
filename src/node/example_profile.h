#pragma once

// A profile with every key that there is, its help and its default: what `candela node --example
// ROLES` prints, and what the files in config/ began as. Pure.

#include <span>
#include <string>
#include <string_view>

#include "node/role.h"

namespace candela {

// For the roles named ("gateway,host"); kInvalid where one is unknown.
Result<std::string> example_profile(std::string_view roles, std::span<const RoleSpec> table);

}  // namespace candela
