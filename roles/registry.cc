#include "registry.h"

#include <vector>

#include "bus/role.h"
#include "gateway/role.h"
#include "host/role.h"
#include "lighthouse/role.h"
#include "loadbalancer/role.h"

namespace candela {

std::span<const RoleSpec> role_table() {
    // In the order of start: the bus first, for all others talk over it.
    static const std::vector<RoleSpec> table{
        bus_role::kRole, lighthouse::kRole, host::kRole, gateway::kRole, loadbalancer::kRole,
    };
    return table;
}

std::unique_ptr<build::Workshop> make_build_workshop(Loop& loop) {
    return host::make_build_workshop(loop);
}

}  // namespace candela
