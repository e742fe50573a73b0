#pragma once

// Takes a heartbeat into what is seen. Pure but for its arguments; the simulator uses it too.

#include <string>
#include <vector>

#include "model.h"

namespace candela::lighthouse {

struct Heard {
    bool is_ignored = false;    // a late or doubled one
    bool node_is_new = false;   // never known before
    bool node_changed = false;  // what SQL keeps of a node
    bool trouble_changed = false;
    bool needs_plan = false;  // something that the planner or the routes look at has changed
    std::vector<std::string> changed;  // instances with another state or port: to be kept in SQL
};

// `assignments_version` is that of what the node should run now: a host that has it and does not
// list an instance does not have that instance.
Heard hear(const proto::NodeHeartbeat& beat, uint64_t assignments_version, const Wanted& wanted,
           Seen& seen, MonoTime now, WallTime wall);

// Sets an instance's status and the times that follow from it. True where state or port changed.
bool sight(Sighting& sighting, const proto::InstanceStatus& status, MonoTime now);

// What a lighthouse knows that has just started: the nodes and the instances' last states that SQL
// kept, and nothing about which route tables gateways have. Times begin now; Wanted's are set too.
void begin_anew(Wanted& wanted, Seen& seen, MonoTime now);

}  // namespace candela::lighthouse
