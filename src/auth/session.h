#pragma once

// Logging in to the lighthouse's API with a credential: the server sends a nonce, the client signs
// it, the server checks the JWT's chain and hands out a short-lived token. Nothing long-lived
// crosses the wire. On one loop; tokens are signed with a key that is made at start, so that a
// restart ends all sessions.

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "auth/claims.h"
#include "auth/key_pair.h"
#include "base/result.h"
#include "base/time.h"

namespace candela::auth {

enum class AccessRole { kViewer, kDeveloper, kOperator };  // each may do what those before it may
std::string_view to_string(AccessRole role);
Result<AccessRole> parse_access_role(std::string_view text);

// Who somebody is and what they may do through the API.
struct Principal {
    std::string user_key;  // empty for the node's own uid on the unix socket
    std::string name;
    std::string account_key;
    std::string account_name;  // the space, or CANDELA
    AccessRole role = AccessRole::kViewer;
    std::vector<std::string> spaces;  // those it may act in; an operator may in all
    // By space, in place of those; `role` is then the highest of them, for what is in no space. Not
    // in the JWT: whoever keeps them fills them in.
    std::map<std::string, AccessRole, std::less<>> grants;
    int64_t issued_at = 0;   // of the JWT: compared with revocations
    int64_t expires_at = 0;  // unix seconds, of the JWT; 0: never

    bool is_operator() const { return role == AccessRole::kOperator; }
    bool may(AccessRole needed, std::string_view space) const;
};

// The account that has this key, or null. Revocations are read from it at each check.
using AccountLookup = std::function<const AccountClaims*(std::string_view account_key)>;

// Checks only that a user's JWT was signed by the account's key or a signing key of it: it may have
// expired, or be revoked.
Result<UserClaims> verify_user_origin(std::string_view jwt, const AccountLookup& accounts);
// Checks a user's JWT: signed by the account's key or a signing key of it, not expired, not
// revoked.
Result<UserClaims> verify_user_jwt(std::string_view jwt, const AccountLookup& accounts,
                                   WallTime now);

// Role and spaces from the JWT's tags: "role:developer", "space:NAME" (repeatable). Only the
// platform's account makes operators or names other spaces; a user of a space's account acts in
// that space.
Principal principal_of(const UserClaims& user, const AccountClaims& account);

class Sessions {
public:
    static constexpr Duration kNonceLifetime = 60s;
    static constexpr size_t kNoncesMax = 4096;  // the oldest are forgotten
    static constexpr Duration kTokenLifetime = 15min;

    explicit Sessions(AccountLookup accounts);

    // A nonce that login() takes once.
    std::string challenge(MonoTime now);

    struct Token {
        std::string text;
        int64_t expires_at;  // unix seconds
    };
    // `signature` is the user's over the nonce's text, in base64url. kDenied says why.
    Result<Token> login(std::string_view jwt, std::string_view nonce, std::string_view signature,
                        MonoTime mono_now, WallTime now);
    // For other proofs than a login: takes the nonce, which serves once. kDenied where it was not
    // given, or too long ago.
    Result<> spend(std::string_view nonce, MonoTime now);
    // The holder of a token; revocation and expiry of the credential itself are checked anew.
    Result<Principal> verify(std::string_view token, WallTime now) const;

private:
    struct Nonce {
        std::string text;
        MonoTime expires_at;
    };
    AccountLookup accounts_;
    crypto::SigningKey key_;
    std::deque<Nonce> order_;
    std::unordered_set<std::string> nonces_;
};

}  // namespace candela::auth
