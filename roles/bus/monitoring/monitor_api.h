#pragma once

// The bus's state, asked for over the bus itself: in the system account
// $SYS.REQ.SERVER.PING[.WHAT], $SYS.REQ.SERVER.<server>.WHAT and $SYS.REQ.ACCOUNT.<account>.WHAT;
// in every account $SYS.REQ.ACCOUNT.PING.{CONNZ,STATZ} and $SYS.REQ.SERVER.PING.CONNZ, about that
// account only. And what it says by itself: STATSZ now and then, CONNS when an account's
// connections have changed. Control loop.

#include <set>
#include <string>
#include <string_view>

#include "monitoring/monitor.h"

namespace candela::bus_role {

class MonitorApi final : public Service {
public:
    static constexpr Duration kStatszInterval = 30s;
    static constexpr Duration kConnsDelay = 100ms;  // changes within it are told once
    static constexpr size_t kWaitingMax = 1024;     // requests of one round; more are dropped
    static constexpr size_t kConnsMax = 1024;  // accounts told of at a time; the rest next time

    // The monitor is borrowed, and outlives this and the server's services.
    explicit MonitorApi(Monitor& monitor);
    ~MonitorApi();

    void on_message(const Origin&, const Message& message) override;

private:
    struct Request {
        std::string account;  // in which it was asked, and is answered
        std::string subject;
        std::string reply;
        std::string payload;
    };
    // Hears in one account.
    struct Ear final : public Service {
        Ear(MonitorApi& a, std::string k) : api(a), account(std::move(k)) {}
        void on_message(const Origin&, const Message& message) override {
            api.take(account, message);
        }
        MonitorApi& api;
        const std::string account;
    };

    void add_to(Account& account);
    void take(const std::string& account, const Message& message);
    void handle(const Request& request);
    void ask(const Request& request, std::string_view what, std::string_view about);
    void answer_conns(const Request& request, const std::string& account);
    void answer(const Request& request, Json body);
    void send_statsz();
    void send_conns();
    Json conns_event(std::string_view account, const AccountReport& report);

    Monitor& monitor_;
    Server& server_;
    const std::string system_;
    std::map<std::string, std::unique_ptr<Ear>> ears_;
    size_t waiting_ = 0;
    std::set<std::string> changed_;  // accounts whose connections have changed
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    Timer statsz_timer_;
    Timer conns_timer_;
};

}  // namespace candela::bus_role
