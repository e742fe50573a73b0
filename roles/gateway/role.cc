#include "role.h"

#include "gateway.h"

namespace candela::gateway {

const RoleSpec kRole{
    .name = "gateway",
    .summary = "The gateway: serves HTTP to the world and brings each request to its service.",
    .schema = settings_schema,
    .check = check_settings,
    .create = [](NodeContext& context, const Config& config) -> std::unique_ptr<Role> {
        return std::make_unique<Gateway>(context, config);
    },
    .can_overlap = true,
};

}  // namespace candela::gateway
