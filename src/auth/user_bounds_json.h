#pragma once

// Bounds in the "nats" object of a user, or in the template of a scoped signing key. Internal to
// src/auth.

#include "auth/user_bounds.h"
#include "base/json.h"
#include "base/result.h"

namespace candela::auth {

void write_bounds(Json& out, const UserBounds& bounds);
// What is not understood is an error: a bound must not become "everything".
Result<UserBounds> read_bounds(const Json& object);

}  // namespace candela::auth
