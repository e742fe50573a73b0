#pragma once

// What the bus tells the system account by itself, in nats-server's form: clients that come and go
// ($SYS.ACCOUNT.<account>.CONNECT and DISCONNECT, with the reason), and those that are refused
// ($SYS.SERVER.<server>.CLIENT.AUTH.ERR). Remembers the connections that ended last, and the
// traffic of those that have. Nothing is made where nobody listens; floods are cut and counted. One
// loop, owned by its Server.

#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/time.h"
#include "monitoring/report.h"
#include "traffic.h"

namespace candela::bus_role {

class Connection;
class Server;

class Events {
public:
    static constexpr size_t kClosedMax = 1000;             // connections remembered
    static constexpr unsigned kEventsPerSecondMax = 1000;  // more are dropped

    explicit Events(Server& server) : server_(server) {}

    // It has logged in; it leaves its account, which it still has; it was refused.
    void on_connected(Connection& connection);
    void on_leaving(Connection& connection);
    void on_refused(Connection& connection);

    // Called, on the control loop, with an account whose connections have changed.
    void on_change(std::function<void(const std::string& account)> callback) {
        change_ = std::move(callback);
    }

    const std::deque<ConnectionReport>& closed() const { return closed_; }
    const Traffic& departed() const { return departed_; }  // of accounts that are gone
    void add_departed(const Traffic& traffic) { departed_ += traffic; }
    uint64_t dropped() const { return dropped_; }

private:
    void tell_change(const std::string& account);
    bool may_send(std::string_view subject);
    void send(std::string subject, std::string_view type, Json body);

    Server& server_;
    std::function<void(const std::string& account)> change_;
    std::deque<ConnectionReport> closed_;
    Traffic departed_;
    int64_t second_ = 0;  // in which `sent_` were
    unsigned sent_ = 0;
    uint64_t dropped_ = 0;
};

// The block "server" of what the bus says about itself, in nats-server's form.
Json server_info(Server& server);
// "Client Closed" and so on, as nats-server calls why a connection ended.
std::string_view closed_reason(std::string_view reason);

}  // namespace candela::bus_role
