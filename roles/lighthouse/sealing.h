#pragma once

// Rotation of the sealing key: a new key, then all that SQL keeps sealed is sealed anew. Safe to
// end at any moment: the keys before still open what was not reached, and the next start goes on.

#include <memory>

#include "state.h"
#include "vault.h"

namespace candela::lighthouse {

// Seals anew what a key that was replaced has sealed; adds how many there were.
Task<Result<>> reseal(State& state, const Vault& vault, std::shared_ptr<size_t> count);
Task<Result<>> rotate_and_reseal(State& state, Vault& vault, std::shared_ptr<size_t> count);

}  // namespace candela::lighthouse
