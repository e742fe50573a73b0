#pragma once

// What a node lends to its roles: everything by reference, nothing global. It outlives every role.

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "bus/client_tls.h"
#include "loop/loop.h"

namespace candela {

namespace bus {
class Client;
}
class Heartbeats;
class Metrics;

struct NodeInfo {
    std::string name;        // unique in the cloud; default: the host name
    std::string version;     // of this executable
    std::string boot_id;     // made anew at each start
    std::string machine_id;  // equal for processes that share a loopback interface
    std::string address;     // where others reach this node; empty: nowhere (behind NAT, say)
    std::filesystem::path data_dir;  // each role keeps its own folder in it
    bool is_dev = false;             // `candela dev`
};

struct NodeContext {
    Loop& loop;                    // the control loop; roles live here
    std::span<Loop* const> loops;  // every worker's loop, the control loop first
    const NodeInfo& node;
    Metrics& metrics;  // node/metrics.h
    Heartbeats&
        heartbeats;  // node/heartbeat.h: how a role says things to the lighthouse each second
    Logger log;
    // A bus client, on the loop named, with the profile's [bus] url and this role's credential. It
    // connects by itself and for ever; in one process with the bus role it needs no socket. `name`
    // is the role's own name, or that of a further credential in DIR/identity/creds
    // ("lighthouse-sys").
    std::function<std::unique_ptr<bus::Client>(Loop& loop, std::string_view name)> make_bus_client;
    // Where that bus is, for a role that logs in with credentials of its own making.
    std::vector<Address> bus_servers;
    bus::ClientTls bus_tls;
};

}  // namespace candela
