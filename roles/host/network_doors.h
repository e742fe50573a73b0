#pragma once

// How bytes come in and out of an instance that has a network of its own: of both its doors
// (keeper/doors.h) each connection is carried by this process, inwards to the port at which the
// instance listens, outwards to the bus and to nothing else. Both listening sockets are the
// keeper's: while no host is there, who connects waits. Lives on one loop.

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"
#include "loop/flow.h"
#include "loop/loop.h"

namespace candela::host {

// Where an instance without a network finds the bus: on its own loopback, by the name that the bus
// has outside, at a port that is not its own.
struct InnerBus {
    std::string url;
    uint16_t port = 0;
    std::string name;  // that leads to its loopback; empty: none need to
};
InnerBus inner_bus(std::string_view bus_url, uint16_t own_port);
// "nats://HOST:PORT".
Result<Address> bus_address(std::string_view bus_url);

// A connection to the port of the instance whose keeper is in that folder, made within its network.
// kUnreachable where nobody listens there.
Task<Result<StreamPtr>> reach_within(Loop& loop, std::filesystem::path keeper_folder);

class NetworkDoors {
public:
    // At once; more are closed as they come.
    static constexpr size_t kInwardMax = 1024;
    static constexpr size_t kOutwardMax = 64;
    static constexpr size_t kQueueBytesMax = 64 * 1024;  // of one, in each direction
    static constexpr Duration kConnectTimeout = 5s;
    static constexpr int kAttemptsMax = 5;  // to get the doors from the keeper
    static constexpr Duration kPause = 200ms;

    NetworkDoors(Loop& loop, std::filesystem::path keeper_folder, std::string instance, Address bus,
                 Logger log);
    NetworkDoors(const NetworkDoors&) = delete;
    NetworkDoors& operator=(const NetworkDoors&) = delete;

    // Soon. `is_expected`: it is known to have doors; otherwise it is not worth a word where it has
    // none.
    void open(bool is_expected);
    // What is open goes on; who comes from now on waits for the next host.
    void stop_accepting();
    bool is_open() const { return inward_ != nullptr; }
    size_t connection_count() const { return inwards_.size() + outwards_.size(); }

private:
    Task<void> open_soon(bool is_expected);
    Task<Result<>> take_doors();
    Task<void> carry_in(StreamPtr from);
    Task<void> carry_out(StreamPtr from);
    void note_full(std::string_view door);

    Loop& loop_;
    std::filesystem::path folder_;
    std::string instance_;
    Address bus_;
    Logger log_;
    bool was_full_ = false;
    std::unique_ptr<Listener> inward_;
    std::unique_ptr<Listener> outward_;
    TaskGroup opening_;
    TaskGroup inwards_;
    TaskGroup outwards_;
};

}  // namespace candela::host
