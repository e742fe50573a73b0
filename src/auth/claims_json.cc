#include "auth/claims_json.h"

#include <nlohmann/json.hpp>

#include "auth/sharing_json.h"
#include "auth/user_bounds_json.h"

namespace candela::auth {

namespace {

Json to_json(const SubjectPermission& rule) {
    Json out = Json::object();
    if (!rule.allow.empty()) out["allow"] = rule.allow;
    if (!rule.deny.empty()) out["deny"] = rule.deny;
    return out;
}

void write_permissions(Json& out, const Permissions& permissions) {
    out["pub"] = to_json(permissions.publish);
    out["sub"] = to_json(permissions.subscribe);
    if (permissions.response) {
        out["resp"] = {{"max", permissions.response->messages_max},
                       {"ttl", permissions.response->ttl.count()}};
    }
}

void write_limits(Json& out, const UserLimits& limits) {
    out["subs"] = limits.subscriptions;
    out["data"] = limits.data;
    out["payload"] = limits.payload;
}

Result<SubjectPermission> read_rule(const Json& object, std::string_view key) {
    SubjectPermission rule;
    const Json* member = find_member(object, key);
    if (member == nullptr) return rule;
    if (!member->is_object()) return fail(Code::kInvalid, "{}: not an object", key);
    CANDELA_TRY_ASSIGN(rule.allow, read_strings(*member, "allow"));
    CANDELA_TRY_ASSIGN(rule.deny, read_strings(*member, "deny"));
    return rule;
}

Result<Permissions> read_permissions(const Json& object) {
    Permissions permissions;
    CANDELA_TRY_ASSIGN(permissions.publish, read_rule(object, "pub"));
    CANDELA_TRY_ASSIGN(permissions.subscribe, read_rule(object, "sub"));
    const Json* response = find_member(object, "resp");
    if (response == nullptr) return permissions;
    if (!response->is_object()) return fail(Code::kInvalid, "resp: not an object");
    ResponsePermission rule;
    CANDELA_TRY_ASSIGN(const int64_t max, read_int(*response, "max", 0));
    CANDELA_TRY_ASSIGN(const int64_t ttl, read_int(*response, "ttl", 0));
    // 0 stands for the server's defaults, which are those of the type.
    if (max != 0) rule.messages_max = max;
    if (ttl != 0) rule.ttl = Duration(ttl);
    permissions.response = rule;
    return permissions;
}

Result<UserLimits> read_limits(const Json& object) {
    UserLimits limits;
    CANDELA_TRY_ASSIGN(limits.subscriptions, read_int(object, "subs", 0));
    CANDELA_TRY_ASSIGN(limits.data, read_int(object, "data", 0));
    CANDELA_TRY_ASSIGN(limits.payload, read_int(object, "payload", 0));
    return limits;
}

Json signing_key_to_json(const AccountSigningKey& key) {
    if (!key.scope) return key.key;
    Json scope = Json::object();
    write_permissions(scope, key.scope->permissions);
    write_limits(scope, key.scope->limits);
    write_bounds(scope, key.scope->bounds);
    if (key.scope->bearer_token) scope["bearer_token"] = true;
    return {{"kind", "user_scope"},
            {"key", key.key},
            {"role", key.scope->role},
            {"template", std::move(scope)}};
}

Result<AccountSigningKey> signing_key_from_json(const Json& value) {
    AccountSigningKey key;
    if (value.is_string()) {
        key.key = value.get<std::string>();
        return key;
    }
    if (json_string_or(value, "kind") != "user_scope") {
        return fail(Code::kInvalid, "signing_keys: an entry of an unknown kind");
    }
    CANDELA_TRY_ASSIGN(key.key, json_string(value, "key"));
    AccountSigningKey::Scope scope;
    scope.role = json_string_or(value, "role");
    const Json* permissions = find_member(value, "template");
    const Json empty = Json::object();
    if (permissions == nullptr) permissions = &empty;
    CANDELA_TRY_ASSIGN(scope.permissions, read_permissions(*permissions));
    CANDELA_TRY_ASSIGN(scope.limits, read_limits(*permissions));
    CANDELA_TRY_ASSIGN(scope.bounds, read_bounds(*permissions));
    CANDELA_TRY_ASSIGN(scope.bearer_token, read_bool(*permissions, "bearer_token"));
    key.scope = std::move(scope);
    return key;
}

Result<AccountLimits> account_limits_from_json(const Json& object) {
    AccountLimits limits;
    const std::pair<std::string_view, int64_t*> members[] = {
        {"subs", &limits.subscriptions},        {"data", &limits.data},
        {"payload", &limits.payload},           {"imports", &limits.imports},
        {"exports", &limits.exports},           {"conn", &limits.connections},
        {"leaf", &limits.leaf_connections},     {"mem_storage", &limits.memory_storage},
        {"disk_storage", &limits.disk_storage}, {"streams", &limits.streams},
        {"consumer", &limits.consumers}};
    for (const auto& [key, place] : members) {
        CANDELA_TRY_ASSIGN(*place, read_int(object, key, 0));
    }
    CANDELA_TRY_ASSIGN(limits.wildcard_exports, read_bool(object, "wildcards"));
    return limits;
}

}  // namespace

const Json* find_member(const Json& object, std::string_view key) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<std::string> read_string(const Json& object, std::string_view key) {
    const Json* member = find_member(object, key);
    if (member == nullptr) return std::string();
    if (!member->is_string()) return fail(Code::kInvalid, "{}: not a text", key);
    return member->get<std::string>();
}

Result<bool> read_bool(const Json& object, std::string_view key) {
    const Json* member = find_member(object, key);
    if (member == nullptr) return false;
    if (!member->is_boolean()) return fail(Code::kInvalid, "{}: neither true nor false", key);
    return member->get<bool>();
}

Result<std::map<std::string, int64_t, std::less<>>> read_revocations(const Json& object) {
    std::map<std::string, int64_t, std::less<>> out;
    const Json* member = find_member(object, "revocations");
    if (member == nullptr) return out;
    if (!member->is_object()) return fail(Code::kInvalid, "revocations: not an object");
    for (const auto& [key, at] : member->items()) {
        if (!at.is_number_integer()) return fail(Code::kInvalid, "revocations: not a time");
        out.emplace(key, at.get<int64_t>());
    }
    return out;
}

Result<int64_t> read_int(const Json& object, std::string_view key, int64_t fallback) {
    const Json* member = find_member(object, key);
    if (member == nullptr) return fallback;
    if (!member->is_number_integer() ||
        (member->is_number_unsigned() && member->get<uint64_t>() > uint64_t{INT64_MAX})) {
        return fail(Code::kInvalid, "{}: not a whole number", key);
    }
    return member->get<int64_t>();
}

Result<std::vector<std::string>> read_strings(const Json& object, std::string_view key) {
    std::vector<std::string> out;
    const Json* member = find_member(object, key);
    if (member == nullptr) return out;
    if (!member->is_array()) return fail(Code::kInvalid, "{}: not a list", key);
    for (const Json& element : *member) {
        if (!element.is_string()) return fail(Code::kInvalid, "{}: not a list of texts", key);
        out.push_back(element.get<std::string>());
    }
    return out;
}

Json operator_to_json(const OperatorClaims& claims) {
    Json out = Json::object();
    if (!claims.signing_keys.empty()) out["signing_keys"] = claims.signing_keys;
    if (!claims.system_account.empty()) out["system_account"] = claims.system_account;
    if (claims.strict_signing_key_usage) out["strict_signing_key_usage"] = true;
    return out;
}

Json account_to_json(const AccountClaims& claims) {
    const AccountLimits& limits = claims.limits;
    Json out = Json::object();
    out["limits"] = {{"subs", limits.subscriptions},
                     {"data", limits.data},
                     {"payload", limits.payload},
                     {"imports", limits.imports},
                     {"exports", limits.exports},
                     {"wildcards", limits.wildcard_exports},
                     {"conn", limits.connections},
                     {"leaf", limits.leaf_connections},
                     {"mem_storage", limits.memory_storage},
                     {"disk_storage", limits.disk_storage},
                     {"streams", limits.streams},
                     {"consumer", limits.consumers}};
    Json keys = Json::array();
    for (const AccountSigningKey& key : claims.signing_keys)
        keys.push_back(signing_key_to_json(key));
    if (!keys.empty()) out["signing_keys"] = std::move(keys);
    if (!claims.revocations.empty()) out["revocations"] = claims.revocations;
    Json defaults = Json::object();
    write_permissions(defaults, claims.default_permissions);
    out["default_permissions"] = std::move(defaults);
    if (!claims.exports.empty()) out["exports"] = exports_to_json(claims.exports);
    if (!claims.imports.empty()) out["imports"] = imports_to_json(claims.imports);
    if (!claims.mappings.empty()) out["mappings"] = mappings_to_json(claims.mappings);
    if (!claims.description.empty()) out["description"] = claims.description;
    if (!claims.info_url.empty()) out["info_url"] = claims.info_url;
    return out;
}

Json user_to_json(const UserClaims& claims) {
    Json out = Json::object();
    if (!claims.issuer_account.empty()) out["issuer_account"] = claims.issuer_account;
    if (claims.scoped) return out;
    write_permissions(out, claims.permissions);
    write_limits(out, claims.limits);
    if (claims.bearer_token) out["bearer_token"] = true;
    write_bounds(out, claims);
    return out;
}

Json activation_to_json(const ActivationClaims& claims) {
    Json out = {{"subject", claims.import_subject}, {"kind", to_string(claims.kind)}};
    if (!claims.issuer_account.empty()) out["issuer_account"] = claims.issuer_account;
    return out;
}

Result<> operator_from_json(const Json& nats, OperatorClaims& out) {
    CANDELA_TRY_ASSIGN(out.signing_keys, read_strings(nats, "signing_keys"));
    out.system_account = json_string_or(nats, "system_account");
    CANDELA_TRY_ASSIGN(out.strict_signing_key_usage, read_bool(nats, "strict_signing_key_usage"));
    return {};
}

Result<> account_from_json(const Json& nats, AccountClaims& out) {
    const Json* limits = find_member(nats, "limits");
    const Json empty = Json::object();
    CANDELA_TRY_ASSIGN(out.limits, account_limits_from_json(limits != nullptr ? *limits : empty));
    if (const Json* keys = find_member(nats, "signing_keys")) {
        if (!keys->is_array()) return fail(Code::kInvalid, "signing_keys: not a list");
        for (const Json& value : *keys) {
            CANDELA_TRY_ASSIGN(AccountSigningKey key, signing_key_from_json(value));
            out.signing_keys.push_back(std::move(key));
        }
    }
    CANDELA_TRY_ASSIGN(out.revocations, read_revocations(nats));
    if (const Json* defaults = find_member(nats, "default_permissions")) {
        CANDELA_TRY_ASSIGN(out.default_permissions, read_permissions(*defaults));
    }
    CANDELA_TRY_ASSIGN(out.exports, exports_from_json(nats));
    CANDELA_TRY_ASSIGN(out.imports, imports_from_json(nats));
    CANDELA_TRY_ASSIGN(out.mappings, mappings_from_json(nats));
    out.description = json_string_or(nats, "description");
    out.info_url = json_string_or(nats, "info_url");
    return {};
}

Result<> user_from_json(const Json& nats, UserClaims& out) {
    out.issuer_account = json_string_or(nats, "issuer_account");
    CANDELA_TRY_ASSIGN(out.permissions, read_permissions(nats));
    CANDELA_TRY_ASSIGN(out.limits, read_limits(nats));
    CANDELA_TRY_ASSIGN(out.bearer_token, read_bool(nats, "bearer_token"));
    CANDELA_TRY_ASSIGN(static_cast<UserBounds&>(out), read_bounds(nats));
    // What a user under a scoped signing key must look like: not one limit, not one permission.
    out.scoped = out.limits == UserLimits{0, 0, 0} && out.permissions == Permissions{} &&
                 !out.bearer_token && out.bounds() == UserBounds();
    return {};
}

Result<> activation_from_json(const Json& nats, ActivationClaims& out) {
    CANDELA_TRY_ASSIGN(out.import_subject, json_string(nats, "subject"));
    CANDELA_TRY_ASSIGN(const std::string kind, json_string(nats, "kind"));
    if (kind != to_string(ShareKind::kStream) && kind != to_string(ShareKind::kService)) {
        return fail(Code::kInvalid, "kind: neither stream nor service");
    }
    out.kind = kind == "stream" ? ShareKind::kStream : ShareKind::kService;
    CANDELA_TRY_ASSIGN(out.issuer_account, read_string(nats, "issuer_account"));
    return {};
}

}  // namespace candela::auth
