#pragma once

// Gives the host of an instance the secrets and config values that its release is pinned to, each
// sealed for the key of that host's process; to nobody else, and only while the instance shall run
// there. Lives on the control loop.

#include "state.h"
#include "vault.h"

namespace candela::lighthouse {

class ValueDelivery {
public:
    ValueDelivery(State& state, const Vault& vault) : state_(state), vault_(vault) {}

    Task<proto::ValueTable> answer(proto::ValuesPull pull);

private:
    Task<Result<proto::ValueTable>> table_for(proto::ValuesPull pull);

    State& state_;
    const Vault& vault_;
};

}  // namespace candela::lighthouse
