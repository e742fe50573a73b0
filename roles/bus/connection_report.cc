// What a connection tells of itself to those who watch the bus.

#include <nlohmann/json.hpp>

#include "connection.h"
#include "server.h"

namespace candela::bus_role {

ConnectionReport Connection::report() const {
    const WallTime now = server_.loop().wall();
    ConnectionReport out;
    out.id = id_;
    out.host = peer_.kind == Address::Kind::kTcp ? peer_.host : peer_.to_string();
    out.port = peer_.port;
    out.kind = websocket_ != nullptr ? "websocket" : "nats";
    out.start = started_at_;
    out.last_activity = now - (server_.loop().now() - active_at_);
    out.rtt = rtt_;
    out.pending_bytes = pending_bytes();
    out.traffic = traffic_;
    out.subscription_count = subscriptions_.size();
    out.name = options_.name;
    out.language = options_.language;
    out.version = options_.version;
    if (!login_) return out;
    out.account = login_->account->key();
    out.user = login_->user_key;
    out.user_name = login_->user_name;
    out.issuer = login_->issuer;
    return out;
}

Json Connection::describe() const {
    const ConnectionReport report = this->report();
    Json out = {{"start", format_rfc3339(report.start)},
                {"host", report.host},
                {"id", report.id},
                {"server", server_.options().name},
                {"kind", "Client"},
                {"client_type", report.kind}};
    const auto add = [&](std::string_view key, const std::string& text) {
        if (!text.empty()) out[std::string(key)] = text;
    };
    add("acc", report.account);
    add("user", report.user);
    add("issuer_key", report.issuer);
    add("name", report.name);
    add("lang", report.language);
    add("ver", report.version);
    add("name_tag", report.user_name);
    if (report.rtt != 0ns) out["rtt"] = report.rtt.count();
    return out;
}

}  // namespace candela::bus_role
