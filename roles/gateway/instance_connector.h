#pragma once

// Reaches an instance: straight where it listens on this machine's loopback, through a tunnel over
// the bus to its host otherwise. A straight connection that is refused is refused: the host would
// be too. Any other failure of it falls back to the tunnel. Lives on one worker's loop.

#include <functional>
#include <optional>
#include <string>

#include "http/upstream.h"
#include "loop/address.h"

namespace candela::bus {
class Client;
}

namespace candela::gateway {

class InstanceConnector final : public http::Connector {
public:
    // `client` gives the worker's bus client, made at the first need.
    InstanceConnector(std::optional<Address> straight, std::string node, std::string instance,
                      std::function<bus::Client&()> client)
        : straight_(std::move(straight)),
          node_(std::move(node)),
          instance_(std::move(instance)),
          client_(std::move(client)) {}

    std::unique_ptr<ConnectAttempt> connect(Loop& loop, Loop::ConnectHandler done) override;

private:
    class Attempt;
    std::optional<Address> straight_;
    std::string node_;
    std::string instance_;
    std::function<bus::Client&()> client_;
};

}  // namespace candela::gateway
