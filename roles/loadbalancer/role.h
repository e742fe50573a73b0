#pragma once

// The load balancer role, first cut: an HTTP proxy in front of the upstreams that the profile
// lists, chosen by power of two choices among those that answer their health checks. The same proxy
// core as the gateway's (src/http/proxy.h).
//
//   LoadBalancer   the role: control loop               load_balancer.h
//   HealthChecker  asks each upstream now and then      health_checker.h

#include "node/role.h"

namespace candela::loadbalancer {

extern const RoleSpec kRole;

}  // namespace candela::loadbalancer
