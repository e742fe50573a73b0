#include "role.h"

#include "load_balancer.h"

namespace candela::loadbalancer {

const RoleSpec kRole{
    .name = "loadbalancer",
    .summary = "The load balancer: spreads HTTP over upstreams that it checks.",
    .schema = settings_schema,
    .check = check_settings,
    .create = [](NodeContext& context, const Config& config) -> std::unique_ptr<Role> {
        return std::make_unique<LoadBalancer>(context, config);
    },
    // In front of the gateway that runs beside it.
    .dev_profile = "[[loadbalancer.upstream]]\naddress = \"127.0.0.1:8080\"\n",
    .can_overlap = true,
};

}  // namespace candela::loadbalancer
