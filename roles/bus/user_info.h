#pragma once

// Answers $SYS.REQ.USER.INFO in every account: who the asker is and what it may do. Each loop
// answers its own clients, since only there their logins are at hand.

#include "base/json.h"
#include "server.h"

namespace candela::bus_role {

// The block "server" of what the bus says about itself, in nats-server's form.
Json server_block(Server& server);

class UserInfo final : public Service {
public:
    explicit UserInfo(Server& server);

    void on_message(const Origin& from, const Message& message) override;

private:
    Server& server_;
};

}  // namespace candela::bus_role
