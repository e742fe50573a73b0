#include "auth/session.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "auth/identity.h"
#include "base/json.h"
#include "base/text.h"
#include "crypto/entropy.h"

namespace candela::auth {

namespace {

constexpr size_t kNonceBytes = 24;
// Tokens and JWTs are signed with the same kind of key: what is signed says which it is.
constexpr std::string_view kTokenContext = "candela-session-1.";

Result<const AccountClaims*> find_account(const AccountLookup& accounts, std::string_view key) {
    const AccountClaims* account = accounts(key);
    if (account == nullptr) return fail(Code::kDenied, "the account is not one of this cloud");
    return account;
}

Result<> check_still_valid(const AccountClaims& account, std::string_view user_key,
                           int64_t issued_at, int64_t expires_at, WallTime now) {
    if (expires_at != 0 && expires_at <= unix_seconds(now)) {
        return fail(Code::kDenied, "the credential has expired");
    }
    if (account.is_expired(now)) return fail(Code::kDenied, "the account has expired");
    if (account.is_revoked(user_key, issued_at)) {
        return fail(Code::kDenied, "the credential has been revoked");
    }
    return {};
}

}  // namespace

std::string_view to_string(AccessRole role) {
    switch (role) {
        case AccessRole::kViewer: return "viewer";
        case AccessRole::kDeveloper: return "developer";
        case AccessRole::kOperator: return "operator";
    }
    return "unknown";
}

Result<AccessRole> parse_access_role(std::string_view text) {
    for (const AccessRole role :
         {AccessRole::kViewer, AccessRole::kDeveloper, AccessRole::kOperator}) {
        if (text == to_string(role)) return role;
    }
    return fail(Code::kInvalid, "\"{}\" is not a role: viewer, developer or operator", text);
}

bool Principal::may(AccessRole needed, std::string_view space) const {
    if (is_operator()) return true;
    const auto grant = grants.find(space);
    if (grant != grants.end() && grant->second >= needed) return true;
    if (!grants.empty()) return false;  // its role is the highest of them, not one everywhere
    return role >= needed && std::find(spaces.begin(), spaces.end(), space) != spaces.end();
}

Result<UserClaims> verify_user_origin(std::string_view jwt, const AccountLookup& accounts) {
    Result<UserClaims> user = decode_user(jwt);
    if (!user) return fail(Code::kDenied, "{}", user.error().message());
    CANDELA_TRY_ASSIGN(const AccountClaims* account, find_account(accounts, user->account()));
    const bool is_signed_by_account =
        user->issuer == account->subject || account->find_signing_key(user->issuer) != nullptr;
    if (!is_signed_by_account) {
        return fail(Code::kDenied, "the credential is not signed by a key of its account");
    }
    return user;
}

Result<UserClaims> verify_user_jwt(std::string_view jwt, const AccountLookup& accounts,
                                   WallTime now) {
    CANDELA_TRY_ASSIGN(UserClaims user, verify_user_origin(jwt, accounts));
    if (user.not_before > unix_seconds(now)) {
        return fail(Code::kDenied, "the credential is not valid yet");
    }
    CANDELA_TRY(check_still_valid(*accounts(user.account()), user.subject, user.issued_at,
                                  user.expires_at, now));
    return user;
}

Principal principal_of(const UserClaims& user, const AccountClaims& account) {
    Principal who;
    who.user_key = user.subject;
    who.name = user.name;
    who.account_key = account.subject;
    who.account_name = account.name;
    who.issued_at = user.issued_at;
    who.expires_at = user.expires_at;
    const bool is_platform = account.name == kPlatformAccount;
    for (const std::string& tag : user.tags) {
        const auto pair = split_once(tag, ':');
        if (!pair) continue;
        if (pair->first == "role") {
            const Result<AccessRole> role = parse_access_role(pair->second);
            if (role && (is_platform || *role != AccessRole::kOperator)) {
                who.role = std::max(who.role, *role);
            }
        } else if (pair->first == "space" && is_platform) {
            who.spaces.emplace_back(pair->second);
        }
    }
    if (!is_platform && account.name != kSystemAccount) who.spaces = {account.name};
    return who;
}

Sessions::Sessions(AccountLookup accounts)
    : accounts_(std::move(accounts)), key_(crypto::SigningKey::generate()) {}

std::string Sessions::challenge(MonoTime now) {
    while (!order_.empty() && (order_.front().expires_at <= now || order_.size() >= kNoncesMax)) {
        nonces_.erase(order_.front().text);
        order_.pop_front();
    }
    std::string nonce = crypto::random_token(kNonceBytes);
    nonces_.insert(nonce);
    order_.push_back(Nonce{nonce, now + kNonceLifetime});
    return nonce;
}

Result<> Sessions::spend(std::string_view nonce, MonoTime now) {
    // Taken whether or not what follows is right: a nonce serves one attempt.
    const bool is_known = nonces_.erase(std::string(nonce)) > 0;
    const auto place = std::find_if(order_.begin(), order_.end(),
                                    [&](const Nonce& held) { return held.text == nonce; });
    bool is_fresh = false;
    if (place != order_.end()) {
        is_fresh = place->expires_at > now;
        order_.erase(place);
    }
    if (is_known && is_fresh) return {};
    return fail(Code::kDenied, "the challenge is unknown, used or too old: ask for a new one");
}

Result<Sessions::Token> Sessions::login(std::string_view jwt, std::string_view nonce,
                                        std::string_view signature, MonoTime mono_now,
                                        WallTime now) {
    CANDELA_TRY(spend(nonce, mono_now));
    CANDELA_TRY_ASSIGN(const UserClaims user, verify_user_jwt(jwt, accounts_, now));
    if (!verify_text(user.subject, nonce, signature)) {
        return fail(Code::kDenied, "the signature is not that of the credential's key");
    }
    int64_t expires_at = unix_seconds(now + kTokenLifetime);
    if (user.expires_at != 0) expires_at = std::min(expires_at, user.expires_at);
    const Principal who = principal_of(user, *accounts_(user.account()));
    const Json body = {
        {"exp", expires_at},          {"key", who.user_key},         {"name", who.name},
        {"account", who.account_key}, {"role", to_string(who.role)}, {"spaces", who.spaces},
        {"iat", who.issued_at},       {"until", who.expires_at}};
    const std::string text = dump_json(body);
    const std::string payload = base64url_encode(as_bytes(text));
    const std::string to_sign = std::string(kTokenContext) + payload;
    const crypto::Signature token_signature = key_.sign(as_bytes(to_sign));
    return Token{payload + "." + base64url_encode(token_signature), expires_at};
}

Result<Principal> Sessions::verify(std::string_view token, WallTime now) const {
    const Error unknown(Code::kDenied, "the session has ended or is not one of ours: log in again");
    const auto parts = split_once(token, '.');
    if (!parts) return fail(unknown);
    const Result<std::string> signature = base64url_decode(parts->second);
    const std::string signed_part = std::string(kTokenContext) + std::string(parts->first);
    if (!signature ||
        !crypto::verify(key_.public_key(), as_bytes(signed_part), as_bytes(*signature))) {
        return fail(unknown);
    }
    // From here on the text is our own.
    CANDELA_TRY_ASSIGN(const std::string text, base64url_decode(parts->first));
    CANDELA_TRY_ASSIGN(const Json body, parse_json(text));
    if (json_int_or(body, "exp", 0) <= unix_seconds(now)) return fail(unknown);
    Principal who;
    who.user_key = json_string_or(body, "key");
    who.name = json_string_or(body, "name");
    who.account_key = json_string_or(body, "account");
    who.issued_at = json_int_or(body, "iat", 0);
    who.expires_at = json_int_or(body, "until", 0);
    who.spaces = body.value("spaces", std::vector<std::string>());
    CANDELA_TRY_ASSIGN(who.role, parse_access_role(json_string_or(body, "role")));
    CANDELA_TRY_ASSIGN(const AccountClaims* account, find_account(accounts_, who.account_key));
    who.account_name = account->name;
    CANDELA_TRY(check_still_valid(*account, who.user_key, who.issued_at, who.expires_at, now));
    return who;
}

}  // namespace candela::auth
