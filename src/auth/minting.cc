#include "auth/identity.h"

namespace candela::auth {

namespace {

// A space's name is a file name too, and a tag: see the service's names in design.md.
bool is_account_name(std::string_view name) {
    if (name.empty() || name.size() > 63) return false;
    for (const char c : name) {
        const bool is_ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!is_ok) return false;
    }
    return true;
}

std::string on_node(std::string_view node, std::string_view what) {
    return "candela.nodes." + std::string(node) + "." + std::string(what);
}

}  // namespace

Result<Account> make_account(const KeyPair& operator_key, std::string_view name, WallTime now) {
    if (!is_account_name(name)) {
        return fail(Code::kInvalid, "\"{}\" is not a name for an account", name);
    }
    const KeyPair account_key = KeyPair::generate(KeyKind::kAccount);
    Account account{{}, {}, KeyPair::generate(KeyKind::kAccount)};
    account.claims.subject = account_key.public_key();
    account.claims.name = std::string(name);
    account.claims.signing_keys.push_back(
        AccountSigningKey{account.signing_key.public_key(), std::nullopt});
    if (name == kSystemAccount) {
        // nats-server refuses JetStream in the system account.
        account.claims.limits.memory_storage = 0;
        account.claims.limits.disk_storage = 0;
        account.claims.limits.streams = 0;
        account.claims.limits.consumers = 0;
    }
    CANDELA_TRY(resign_account(account, operator_key, now));
    return account;
}

Result<> resign_account(Account& account, const KeyPair& operator_key, WallTime now) {
    CANDELA_TRY_ASSIGN(account.jwt, encode_account(account.claims, operator_key, now));
    CANDELA_TRY_ASSIGN(account.claims, decode_account(account.jwt));
    return {};
}

Result<> revoke_user(Account& account, std::string_view user_key, const KeyPair& operator_key,
                     WallTime now) {
    if (!is_public_key(user_key, KeyKind::kUser)) {
        return fail(Code::kInvalid, "only the key of a user can be revoked");
    }
    account.claims.revocations[std::string(user_key)] = unix_seconds(now);
    return resign_account(account, operator_key, now);
}

Result<std::string> mint_user(const Account& account, const UserRequest& request, WallTime now) {
    UserClaims claims;
    claims.subject = request.public_key;
    claims.name = request.name;
    claims.expires_at = request.expires_at;
    claims.tags = request.tags;
    claims.permissions = request.permissions;
    claims.issuer_account = account.public_key();
    return encode_user(std::move(claims), account.signing_key, now);
}

Result<Permissions> role_permissions(std::string_view role, std::string_view public_key,
                                     std::string_view node) {
    Permissions out;
    std::vector<std::string>& pub = out.publish.allow;
    std::vector<std::string>& sub = out.subscribe.allow;
    sub.push_back("_INBOX." + std::string(public_key) + ".>");
    if (role == "lighthouse-sys") {
        pub = {"$SYS.REQ.>"};
        sub.emplace_back("$SYS.>");
        return out;
    }
    if (role == "admin") {
        // ctl works through the API; on the bus a person may look on.
        out.publish.deny = {">"};
        sub.emplace_back("candela.>");
        return out;
    }
    // Every node reports, and is told that there is something to pull.
    pub = {on_node(node, "heartbeat")};
    sub.push_back(on_node(node, "nudge"));
    if (role == "bus" || role == "loadbalancer") return out;
    // Answers and tunnels go to the inboxes of others, whose names only the asker knows.
    pub.emplace_back("_INBOX.>");
    if (role == "lighthouse") {
        pub.insert(pub.end(), {"candela.nodes.*.nudge", "candela.routes.nudge",
                               "candela.certificates.nudge", "candela.tunnel.*", "candela.exec.*"});
        sub.insert(sub.end(),
                   {"candela.nodes.*.heartbeat", "candela.lighthouse.>", "candela.logs.>"});
        return out;
    }
    if (role == "host") {
        pub.insert(pub.end(), {"candela.lighthouse.assignments", "candela.lighthouse.bundle",
                               "candela.lighthouse.credential", "candela.lighthouse.values",
                               "candela.logs.>"});
        sub.push_back("candela.tunnel." + std::string(node));
        sub.push_back("candela.exec." + std::string(node));
        return out;
    }
    if (role == "gateway") {
        pub.insert(pub.end(),
                   {"candela.lighthouse.routes", "candela.lighthouse.certificates",
                    "candela.lighthouse.credential", "candela.tunnel.*", "candela.logs.>"});
        sub.insert(sub.end(), {"candela.routes.nudge", "candela.certificates.nudge"});
        return out;
    }
    return fail(Code::kInvalid, "no role has the name {}", role);
}

Permissions space_permissions(std::string_view role) {
    Permissions out;
    if (role == "viewer") out.publish.deny = {">"};
    return out;
}

}  // namespace candela::auth
