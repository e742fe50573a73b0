#pragma once

// What the bus answers itself, in nats-server's form: in the system account $SYS.REQ.CLAIMS.UPDATE,
// LIST and DELETE, and $SYS.REQ.ACCOUNT.<A>.CLAIMS.UPDATE and LOOKUP. Requests are taken while a
// message is routed and answered at the end of the round. Control loop.

#include <string>
#include <string_view>

#include "account_store.h"
#include "base/json.h"
#include "server.h"

namespace candela::bus_role {

class SystemApi final : public Service {
public:
    // The store may be null: accounts are then kept in memory only.
    SystemApi(Server& server, AccountStore* store);

    void on_message(const Origin& from, const Message& message) override;

private:
    void add_to(Account& account);
    void handle(const std::string& subject, const std::string& reply, const std::string& payload);
    void update(const std::string& reply, const std::string& jwt);
    void remove(const std::string& reply, const std::string& jwt);
    void list(const std::string& reply);
    void lookup(const std::string& reply, std::string_view account_key);
    void answer(const std::string& reply, std::string_view field, Json value);
    void answer_update(const std::string& reply, std::string_view account_key,
                       const Result<>& result);

    Server& server_;
    AccountStore* store_;
};

}  // namespace candela::bus_role
