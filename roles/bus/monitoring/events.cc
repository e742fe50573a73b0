#include "monitoring/events.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "crypto/entropy.h"
#include "server.h"

namespace candela::bus_role {

namespace {

constexpr std::string_view kTypePrefix = "io.nats.server.advisory.v1.";
constexpr size_t kEventIdBytes = 16;

Json sent_by(const Traffic& traffic) {
    return {{"msgs", traffic.in_messages}, {"bytes", traffic.in_bytes}};
}

Json received_by(const Traffic& traffic) {
    return {{"msgs", traffic.out_messages}, {"bytes", traffic.out_bytes}};
}

}  // namespace

std::string_view closed_reason(std::string_view reason) {
    struct Name {
        std::string_view ours, theirs;
    };
    static constexpr std::array<Name, 16> kNames{{
        {"the client closed the connection", "Client Closed"},
        {"login refused", "Authentication Failure"},
        {"not a login", "Authentication Failure"},
        {"no login in time", "Authentication Timeout"},
        {"too much waits for it", "Slow Consumer (Pending Bytes)"},
        {"too much waits for its account", "Slow Consumer (Pending Bytes)"},
        {"took nothing for too long", "Slow Consumer (Write Deadline)"},
        {"stale", "Stale Connection"},
        {"protocol error", "Protocol Violation"},
        {"account at its limit", "Maximum Account Connections Exceeded"},
        {"maximum connections exceeded", "Maximum Connections Exceeded"},
        {"no_responders without headers", "No Responders Requires Headers"},
        {"User Authentication Expired", "Credentials Expired"},
        {"Account Authentication Expired", "Credentials Expired"},
        {"User Authentication Revoked", "Credentials Revoked"},
        {"the account was removed", "Missing Account"},
    }};
    const auto found = std::find_if(kNames.begin(), kNames.end(),
                                    [&](const Name& name) { return name.ours == reason; });
    return found == kNames.end() ? reason : found->theirs;
}

// What a server can do, as nats-server 2.10 tells it, bit by bit.
constexpr uint64_t kJetStreamEnabled = 1;

Json server_info(Server& server) {
    Json out = {{"name", server.options().name},
                {"id", server.id()},
                {"ver", CANDELA_VERSION},
                {"seq", server.next_event_number()},
                {"jetstream", server.has_streams()},
                {"flags", server.has_streams() ? kJetStreamEnabled : 0},
                {"time", format_rfc3339(server.loop().wall())}};
    for (const Address& address : server.addresses()) {
        if (address.kind != Address::Kind::kTcp) continue;
        out["host"] = address.host;
        break;
    }
    return out;
}

// Whether somebody listens, and there were not too many.
bool Events::may_send(std::string_view subject) {
    Account* system = server_.accounts().system();
    if (system == nullptr || !server_.has_interest(*system, subject)) return false;
    const int64_t second = server_.loop().now().time_since_epoch() / 1s;
    if (second != second_) sent_ = 0;
    second_ = second;
    if (sent_ >= kEventsPerSecondMax) {
        ++dropped_;
        return false;
    }
    ++sent_;
    return true;
}

void Events::send(std::string subject, std::string_view type, Json body) {
    body["type"] = std::string(kTypePrefix) + std::string(type);
    body["id"] = crypto::random_token(kEventIdBytes);
    body["timestamp"] = format_rfc3339(server_.loop().wall());
    body["server"] = server_info(server_);
    server_.publish_later(server_.accounts().operator_claims().system_account, std::move(subject),
                          dump_json(body));
}

// To the control loop, which asks all loops for the account's numbers.
void Events::tell_change(const std::string& account) {
    Links* links = server_.links();
    if (links == nullptr || links->index() == 0) {
        if (change_) change_(account);
        return;
    }
    Mesh::post(links->shared_mesh(), 0,
               [account](Server& control) { control.events().tell_change(account); });
}

void Events::on_connected(Connection& connection) {
    const std::string& account = connection.login()->account->key();
    tell_change(account);
    std::string subject = fmt::format("$SYS.ACCOUNT.{}.CONNECT", account);
    if (!may_send(subject)) return;
    send(std::move(subject), "client_connect", {{"client", connection.describe()}});
}

void Events::on_leaving(Connection& connection) {
    Account& account = *connection.login()->account;
    account.departed += connection.traffic();
    ConnectionReport report = connection.report();
    report.is_closed = true;
    report.stop = server_.loop().wall();
    report.reason = std::string(closed_reason(connection.close_reason()));
    tell_change(account.key());
    std::string subject = fmt::format("$SYS.ACCOUNT.{}.DISCONNECT", account.key());
    if (may_send(subject)) {
        Json client = connection.describe();
        client["stop"] = format_rfc3339(report.stop);
        send(std::move(subject), "client_disconnect",
             {{"client", std::move(client)},
              {"sent", sent_by(report.traffic)},
              {"received", received_by(report.traffic)},
              {"reason", report.reason}});
    }
    if (closed_.size() == kClosedMax) closed_.pop_front();
    closed_.push_back(std::move(report));
}

void Events::on_refused(Connection& connection) {
    std::string subject = fmt::format("$SYS.SERVER.{}.CLIENT.AUTH.ERR", server_.id());
    if (!may_send(subject)) return;
    Json client = connection.describe();
    // Who it says it is; that may be wrong.
    const Result<auth::UserClaims> user = auth::decode_user(connection.options().jwt);
    if (user) client.update({{"user", user->subject}, {"acc", user->account()}});
    client["stop"] = format_rfc3339(server_.loop().wall());
    send(std::move(subject), "client_disconnect",
         {{"client", std::move(client)},
          {"sent", sent_by(Traffic())},
          {"received", received_by(Traffic())},
          {"reason", "Authentication Failure"}});
}

}  // namespace candela::bus_role
