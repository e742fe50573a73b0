#pragma once

// The host role: makes this node run the instances that the lighthouse assigned to it
// (docs/architecture.md "Instances"). It pulls assignments, keeps the last ones on disk, fetches
// and verifies bundles, starts, probes, restarts and stops instances, ships their logs, and says in
// each heartbeat how they are. It lives on the control loop. DIR/host holds: assignments, bundles/,
// run/ (one folder an instance), jobs/.

#include <memory>

#include "build/workshop.h"
#include "node/role.h"

namespace candela::host {

extern const RoleSpec kRole;

// What a service finds as CANDELA_BUS_URL is the key "bus_url" of [host]; `candela dev` sets it
// where it moves ports.
const ConfigSchema& host_schema();

// The walls of instances around the commands of a build (build_workshop.h).
std::unique_ptr<build::Workshop> make_build_workshop(Loop& loop);

}  // namespace candela::host
