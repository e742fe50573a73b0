// How machines become nodes: join tokens, joining, renewal, and taking it back.

#include <nlohmann/json.hpp>

#include "api.h"
#include "auth/join_token.h"
#include "base/json_lists.h"
#include "base/text.h"
#include "paging.h"

namespace candela::lighthouse {

namespace {

constexpr int64_t kTokenSecondsDefault = 15 * 60;
constexpr size_t kKeysOfANodeMax = 8;  // it has one a role

Json view_of_token(const JoinTokenRecord& record, WallTime now) {
    std::string state = "open";
    if (record.is_used())
        state = "used";
    else if (record.expires_at <= now)
        state = "ended";
    Json view = {{"id", record.id()},
                 {"roles", record.roles},
                 {"node", record.node},
                 {"state", state},
                 {"made_by", record.made_by},
                 {"created_at", format_rfc3339(record.created_at)},
                 {"expires_at", format_rfc3339(record.expires_at)}};
    if (record.is_used()) {
        view["used_at"] = format_rfc3339(record.used_at);
        view["used_by"] = record.used_by;
        view["used_from"] = record.used_from;
    }
    return view;
}

Result<NodeKeys> keys_of(const Json& json) {
    NodeKeys keys;
    CANDELA_TRY_ASSIGN(keys.tls_public_pem, json_string(json, "tls_key"));
    const auto users = json.find("keys");
    if (users == json.end() || !users->is_object() || users->size() > kKeysOfANodeMax) {
        return fail(Code::kInvalid, "keys must be an object: a public key for each role");
    }
    for (const auto& [role, key] : users->items()) {
        if (!key.is_string()) return fail(Code::kInvalid, "keys.{} must be a public key", role);
        keys.users.emplace_back(role, key.get<std::string>());
    }
    return keys;
}

std::string source_of(const Call& call) {
    const http::PeerInfo& peer = call.request.peer();
    return peer.uid ? "" : peer.address.host;
}

}  // namespace

Task<Result<>> Api::list_join_tokens(Call& call) {
    auto page = Page::asked_by(call);
    if (!page) co_return fail(page.error());
    page->fill(joins_.tokens(), [this](Page& into, const JoinTokenRecord& record) {
        into.add(view_of_token(record, state_.loop().wall()));
    });
    const Json body = std::move(*page).answer("join_tokens");
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::create_join_token(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    auth::JoinToken token;
    token.url = json_string_or(*json, "url", joins_.settings().api_url);
    if (token.url.empty()) {
        co_return fail(Code::kInvalid,
                       "where do other machines reach this lighthouse? Set [lighthouse] url, or "
                       "say --url https://HOST:PORT; its [lighthouse] listen must admit them, and "
                       "names must have HOST");
    }
    if (!token.url.starts_with("https://")) {
        co_return fail(Code::kInvalid, "url must begin with https://");
    }
    if (joins_.settings().bus_url.empty()) {
        co_return fail(Code::kInvalid,
                       "where do other machines reach the bus? Set [lighthouse] bus_url, to "
                       "HOST:PORT");
    }
    JoinTokenRecord record;
    record.node = json_string_or(*json, "node");
    record.made_by = call.who.name;
    CO_TRY_ASSIGN(record.roles, json_strings(*json, "roles"));
    const int64_t seconds = json_int_or(*json, "seconds", kTokenSecondsDefault);
    CO_TRY_ASSIGN(const tls::CertificateInfo authority,
                  tls::inspect_certificate(joins_.authority_pem()));
    token.authority_fingerprint = authority.fingerprint;
    auto made = co_await joins_.make(std::move(record), std::chrono::seconds(seconds));
    if (!made) co_return fail(made.error());
    call.note = fmt::format("{} for {}", made->first.id(), join(made->first.roles, ", "));
    token.roles = made->first.roles;
    token.secret = std::move(made->second);
    Json body = view_of_token(made->first, state_.loop().wall());
    body["token"] = auth::format_join_token(token).reveal();
    respond(call, 201, body);
    co_return Result<>();
}

Task<Result<>> Api::delete_join_token(Call& call) {
    const std::string id = call.param("id");
    auto done = co_await joins_.withdraw(id);
    if (!done) co_return fail(done.error());
    const Json body = {{"id", id}, {"withdrawn", true}};
    respond(call, 200, body);
    co_return Result<>();
}

Json Api::bus_view() const {
    return Json{{"url", joins_.settings().bus_url}, {"ca", joins_.settings().is_bus_by_authority}};
}

Json Api::admission_view(const Admission& admission) const {
    Json credentials = Json::object();
    for (const auto& [role, jwt] : admission.credentials) credentials[role] = jwt;
    return Json{{"node", admission.node},
                {"credentials", std::move(credentials)},
                {"certificate", admission.certificate_pem},
                {"authority", joins_.authority_pem()},
                {"expires_at", format_rfc3339(admission.expires_at)},
                {"bus", bus_view()}};
}

Task<Result<>> Api::join_node(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    CO_TRY_ASSIGN(std::string text, json_string(*json, "secret"));
    const Secret secret(std::move(text));
    CO_TRY_ASSIGN(NodeKeys keys, keys_of(*json));
    AuditRecord asked;
    asked.who =
        "join token " + auth::join_secret_digest(secret).substr(0, JoinTokenRecord::kIdDigits);
    asked.source = call.request.peer().uid ? "unix socket" : source_of(call);
    asked.action = "POST /v1/join";
    auto mark = co_await audit_.note(std::move(asked));
    if (!mark) co_return fail(mark.error());
    NodeName called(json_string_or(*json, "node"), json_string_or(*json, "host_name"));
    auto admission =
        co_await joins_.admit(secret.clone(), std::move(called), std::move(keys), source_of(call));
    Result<> outcome;
    if (!admission) outcome = fail(admission.error());
    mark->end(outcome, admission ? admission->node : "");
    if (!admission) co_return fail(admission.error());
    Json body = admission_view(*admission);
    // What a bus verifies logins with; nothing of it is secret.
    body["operator"] = accounts_.operator_jwt();
    body["accounts"] = Json::object();
    for (const std::string& name : accounts_.names()) {
        body["accounts"][name] = accounts_.find(name)->jwt;
    }
    respond(call, 201, body);
    co_return Result<>();
}

// Each credential's key has signed the nonce; the credential itself may have ended.
Result<NodeKeys> Api::proven_keys(const Call& call, const Json& json) {
    CANDELA_TRY_ASSIGN(const std::string nonce, json_string(json, "nonce"));
    CANDELA_TRY(sessions_.spend(nonce, state_.loop().now()));
    const auto list = json.find("credentials");
    if (list == json.end() || !list->is_array() || list->empty() ||
        list->size() > kKeysOfANodeMax) {
        return fail(Code::kInvalid, "credentials must be an array of jwt, role and signature");
    }
    NodeKeys keys;
    CANDELA_TRY_ASSIGN(keys.tls_public_pem, json_string(json, "tls_key"));
    const auth::AccountLookup lookup = [this](std::string_view key) {
        return accounts_.find_claims(key);
    };
    for (const Json& each : *list) {
        CANDELA_TRY_ASSIGN(const std::string jwt, json_string(each, "jwt"));
        CANDELA_TRY_ASSIGN(const std::string role, json_string(each, "role"));
        CANDELA_TRY_ASSIGN(const std::string signature, json_string(each, "signature"));
        CANDELA_TRY_ASSIGN(const auth::UserClaims user, auth::verify_user_origin(jwt, lookup));
        if (!auth::verify_text(user.subject, nonce, signature)) {
            return fail(Code::kDenied, "the signature of {} is not that of its credential's key",
                        call.param("node"));
        }
        keys.users.emplace_back(role, user.subject);
    }
    return keys;
}

Task<Result<>> Api::renew_node(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    CO_TRY_ASSIGN(NodeKeys keys, proven_keys(call, *json));
    std::string node = call.param("node");
    auto admission = co_await joins_.renew(std::move(node), std::move(keys), source_of(call));
    if (!admission) co_return fail(admission.error());
    respond(call, 200, admission_view(*admission));
    co_return Result<>();
}

Task<Result<>> Api::revoke_node(Call& call) {
    const std::string node = call.param("node");
    auto revoked = co_await credentials_.revoke_node(node);
    if (!revoked) co_return fail(revoked.error());
    if (*revoked == 0) {
        co_return fail(Code::kNotFound, "{} has no credential from joining", node);
    }
    co_await bus_.wait_pushed(kPushWait);
    const Json body = {{"name", node}, {"revoked", true}};
    respond(call, 200, body);
    co_return Result<>();
}

}  // namespace candela::lighthouse
