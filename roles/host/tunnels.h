#pragma once

// Byte streams from gateways that can't reach this host straight: each comes over the bus
// (bus/tunnel.h), names an instance, and is joined with a connection to its port. Lives on the
// control loop.

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "bus/tunnel.h"
#include "loop/loop.h"

namespace candela::host {

// The port of a running instance; nothing where it has none.
using FindPort = std::function<std::optional<uint16_t>(std::string_view instance)>;

class Tunnels {
public:
    static constexpr Duration kConnectTimeout = 5s;
    static constexpr size_t kQueueBytesMax = 256 * 1024;  // in each direction, beyond the kernel's

    Tunnels(Loop& loop, FindPort find_port, Logger log);
    ~Tunnels();

    Result<> start(bus::Client& client, std::string_view node);
    // Stops accepting; what is open goes on.
    void stop_accepting() { listener_.reset(); }
    size_t size() const { return relays_.size(); }

    // For tests: joins the stream with the instance as if it had come over the bus.
    void accept(StreamPtr stream, const std::string& instance);

private:
    class Relay;

    Loop& loop_;
    FindPort find_port_;
    Logger log_;
    std::list<std::unique_ptr<Relay>> relays_;
    std::unique_ptr<bus::TunnelListener> listener_;
};

}  // namespace candela::host
