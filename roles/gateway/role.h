#pragma once

// The gateway role: the cloud's door for HTTP. It serves what the lighthouse's route table says, on
// every loop of the node, straight from instances or over the bus (docs/architecture.md, "Data
// path").
//
//   Gateway      the role: control loop            gateway.h
//   RouteSource  pulls and keeps the route table   route_source.h
//   Worker       one loop: listener, proxy         worker.h
//   BusBridge    bus-native services over HTTP     bus_bridge.h

#include "node/role.h"

namespace candela::gateway {

extern const RoleSpec kRole;

}  // namespace candela::gateway
