#pragma once

// A worker's logins in the spaces whose bus-native services it serves: for each space a key pair
// made here and a user JWT from the lighthouse, renewed well before it ends. The key never leaves
// the process. One loop.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "bus/client.h"
#include "node/context.h"

namespace candela::gateway {

class SpaceLogins {
public:
    // `own_client` is logged in as the gateway; it asks the lighthouse.
    SpaceLogins(NodeContext& context, Loop& loop, std::function<bus::Client&()> own_client);
    ~SpaceLogins();

    // The client of that space; null until the lighthouse has granted a login. Begins to ask for
    // one.
    bus::Client* client_of(std::string_view space);

private:
    class Login;
    NodeContext& context_;
    Loop& loop_;
    std::function<bus::Client&()> own_client_;
    std::map<std::string, std::unique_ptr<Login>, std::less<>> logins_;
};

}  // namespace candela::gateway
