#include "user_info.h"

#include <nlohmann/json.hpp>

namespace candela::bus_role {

namespace {

constexpr std::string_view kUserInfo = "$SYS.REQ.USER.INFO";

Json rule_json(const auth::SubjectPermission& rule) {
    Json out = Json::object();
    if (!rule.allow.empty()) out["allow"] = rule.allow;
    if (!rule.deny.empty()) out["deny"] = rule.deny;
    return out;
}

}  // namespace

Json server_block(Server& server) { return server_info(server); }

UserInfo::UserInfo(Server& server) : server_(server) {
    server_.on_account([this](Account& account) { account.add_service(kUserInfo, *this, true); });
}

void UserInfo::on_message(const Origin& from, const Message& message) {
    if (from.login == nullptr || message.reply.empty()) return;
    const Login& login = *from.login;
    Json data = {{"user", login.user_key}, {"account", login.account->key()}};
    if (login.permissions != auth::Permissions()) {
        data["permissions"] = {{"publish", rule_json(login.permissions.publish)},
                               {"subscribe", rule_json(login.permissions.subscribe)}};
    }
    if (login.expires_at != 0) {
        const int64_t left = login.expires_at - unix_seconds(server_.loop().wall());
        data["expires"] = std::chrono::nanoseconds(std::chrono::seconds(left)).count();
    }
    const Json body = {{"server", server_block(server_)}, {"data", std::move(data)}};
    server_.publish_later(login.account->key(), std::string(message.reply), dump_json(body));
}

}  // namespace candela::bus_role
