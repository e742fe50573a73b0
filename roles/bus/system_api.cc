#include "system_api.h"

#include <nlohmann/json.hpp>

#include "auth/claims.h"
#include "base/text.h"
#include "user_info.h"

namespace candela::bus_role {

namespace {

constexpr std::string_view kUpdate = "$SYS.REQ.CLAIMS.UPDATE";
constexpr std::string_view kDelete = "$SYS.REQ.CLAIMS.DELETE";
constexpr std::string_view kList = "$SYS.REQ.CLAIMS.LIST";
constexpr std::string_view kAccountPrefix = "$SYS.REQ.ACCOUNT.";
constexpr std::string_view kUpdateSuffix = ".CLAIMS.UPDATE";
constexpr std::string_view kLookupSuffix = ".CLAIMS.LOOKUP";

}  // namespace

SystemApi::SystemApi(Server& server, AccountStore* store) : server_(server), store_(store) {
    server_.on_account([this](Account& account) { add_to(account); });
}

void SystemApi::add_to(Account& account) {
    if (account.key() != server_.accounts().operator_claims().system_account) return;
    account.add_service(kUpdate, *this);
    account.add_service(kDelete, *this);
    account.add_service(kList, *this);
    account.add_service("$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE", *this);
    account.add_service("$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP", *this);
}

void SystemApi::on_message(const Origin& from, const Message& message) {
    if (from.client == 0 || message.reply.empty()) return;
    server_.later([this, subject = std::string(message.subject), reply = std::string(message.reply),
                   payload = std::string(message.payload())] { handle(subject, reply, payload); });
}

void SystemApi::handle(const std::string& subject, const std::string& reply,
                       const std::string& payload) {
    if (subject == kUpdate) {
        update(reply, payload);
    } else if (subject == kDelete) {
        remove(reply, payload);
    } else if (subject == kList) {
        list(reply);
    } else if (subject.ends_with(kUpdateSuffix)) {
        update(reply, payload);
    } else if (subject.ends_with(kLookupSuffix)) {
        std::string_view key = subject;
        key.remove_prefix(kAccountPrefix.size());
        key.remove_suffix(kLookupSuffix.size());
        lookup(reply, key);
    }
}

void SystemApi::update(const std::string& reply, const std::string& jwt) {
    const std::string text(trim(jwt));
    const Result<auth::AccountClaims> claims = auth::decode_account(text);
    const std::string key = claims ? claims->subject : std::string();
    Result<> put = server_.put_account(text);
    if (!put || store_ == nullptr) {
        answer_update(reply, key, put);
        return;
    }
    server_.log().info("bus_account_updated", {{"account", claims->name}, {"key", key}});
    store_->put(key, text, [this, reply, key](Result<> saved) {
        if (!saved) server_.log().error("bus_account_not_saved", {{"error", saved.error()}});
        answer_update(reply, key, saved);
    });
}

void SystemApi::answer_update(const std::string& reply, std::string_view account_key,
                              const Result<>& result) {
    if (result) {
        answer(reply, "data",
               {{"account", account_key}, {"code", 200}, {"message", "jwt updated"}});
        return;
    }
    answer(reply, "error",
           {{"account", account_key}, {"code", 500}, {"description", result.error().message()}});
}

void SystemApi::remove(const std::string& reply, const std::string& jwt) {
    const std::string text(trim(jwt));
    const Result<auth::GenericClaims> claims = auth::decode_generic(text);
    if (!claims || !server_.accounts().operator_claims().may_sign_accounts(claims->issuer)) {
        answer(reply, "error",
               {{"code", 500}, {"description", "not a request signed by this cloud's operator"}});
        return;
    }
    size_t removed = 0;
    for (const std::string& key : claims->accounts) {
        if (key == server_.accounts().operator_claims().system_account) continue;
        if (!server_.remove_account(key)) continue;
        ++removed;
        if (store_ == nullptr) continue;
        store_->remove(key, [this](Result<> result) {
            if (!result)
                server_.log().error("bus_account_not_removed", {{"error", result.error()}});
        });
    }
    answer(reply, "data",
           {{"code", 200}, {"message", fmt::format("deleted {} accounts", removed)}});
}

void SystemApi::list(const std::string& reply) {
    Json keys = Json::array();
    for (const auto& [key, account] : server_.accounts().all()) keys.push_back(key);
    answer(reply, "data", std::move(keys));
}

void SystemApi::lookup(const std::string& reply, std::string_view account_key) {
    const Account* account = server_.accounts().find(account_key);
    const std::string system = server_.accounts().operator_claims().system_account;
    // Nothing at all for an account that is not known, as nats-server: another server may know it.
    if (account != nullptr) server_.publish_later(system, reply, account->jwt);
}

void SystemApi::answer(const std::string& reply, std::string_view field, Json value) {
    Json body = {{"server", server_block(server_)}};
    body[std::string(field)] = std::move(value);
    server_.publish_later(server_.accounts().operator_claims().system_account, reply,
                          dump_json(body));
}

}  // namespace candela::bus_role
