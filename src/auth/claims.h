#pragma once

// NATS-form JWTs (jwt/v2): claims of operators, accounts and users, signed with nkeys. What
// encode_*() writes, a nats-server in operator mode accepts unchanged. Values; any thread.
//
// nats-server takes a missing limit for 0, so that limits are always written, -1 meaning none; only
// a user under a scoped signing key carries neither limits nor permissions.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/key_pair.h"
#include "auth/sharing.h"
#include "auth/user_bounds.h"
#include "base/result.h"
#include "base/time.h"

namespace candela::auth {

inline constexpr int64_t kNoLimit = -1;

struct SubjectPermission {
    std::vector<std::string> allow;  // empty: everything that is not denied
    std::vector<std::string> deny;
    friend bool operator==(const SubjectPermission&, const SubjectPermission&) = default;
};

// A client may answer where it was asked, though its publish permissions do not name the subject.
struct ResponsePermission {
    int64_t messages_max = 1;  // per request; -1: any number
    Duration ttl = 2min;       // negative: no end
    friend bool operator==(const ResponsePermission&, const ResponsePermission&) = default;
};

struct Permissions {
    SubjectPermission publish;
    SubjectPermission subscribe;
    std::optional<ResponsePermission> response;
    friend bool operator==(const Permissions&, const Permissions&) = default;
};

struct Claims {
    std::string id;       // jti; encode_*() makes it
    std::string issuer;   // public key; encode_*() sets it
    std::string subject;  // public key
    std::string name;
    int64_t issued_at = 0;   // unix seconds; encode_*() sets it
    int64_t expires_at = 0;  // unix seconds; 0: never
    int64_t not_before = 0;
    std::vector<std::string> tags;

    bool is_expired(WallTime now) const {
        return expires_at != 0 && expires_at <= unix_seconds(now);
    }
};

struct OperatorClaims : Claims {
    std::vector<std::string> signing_keys;
    std::string system_account;
    bool strict_signing_key_usage = false;

    // The operator's own key, unless strict, or one of its signing keys.
    bool may_sign_accounts(std::string_view key) const;
};

struct UserLimits {
    int64_t subscriptions = kNoLimit;
    int64_t data = kNoLimit;
    int64_t payload = kNoLimit;
    friend bool operator==(const UserLimits&, const UserLimits&) = default;
};

// A signing key of an account; one with a scope gives its users the scope's permissions and limits.
struct AccountSigningKey {
    struct Scope {
        std::string role;
        Permissions permissions;
        UserLimits limits;
        UserBounds bounds;
        bool bearer_token = false;
    };
    std::string key;
    std::optional<Scope> scope;
};

struct AccountLimits {
    int64_t subscriptions = kNoLimit;
    int64_t data = kNoLimit;
    int64_t payload = kNoLimit;
    int64_t imports = kNoLimit;
    int64_t exports = kNoLimit;
    bool wildcard_exports = true;
    int64_t connections = kNoLimit;
    int64_t leaf_connections = kNoLimit;
    // JetStream; 0 storage of both kinds: the account has none, as the system account must.
    int64_t memory_storage = kNoLimit;
    int64_t disk_storage = kNoLimit;
    int64_t streams = kNoLimit;
    int64_t consumers = kNoLimit;
};

struct AccountClaims : Claims {
    AccountLimits limits;
    std::vector<AccountSigningKey> signing_keys;
    // User key (or "*" for all) → unix seconds: JWTs issued at or before that are revoked.
    std::map<std::string, int64_t, std::less<>> revocations;
    Permissions default_permissions;
    std::vector<Export> exports;
    std::vector<Import> imports;
    SubjectMappings mappings;
    std::string description;
    std::string info_url;

    const AccountSigningKey* find_signing_key(std::string_view key) const;
    bool is_revoked(std::string_view user_key, int64_t issued_at) const;
};

struct UserClaims : Claims, UserBounds {
    std::string issuer_account;  // the account's key, where one of its signing keys has signed
    Permissions permissions;
    UserLimits limits;
    bool bearer_token = false;  // needs no signature over the nonce
    bool scoped = false;  // issued under a scoped signing key: no permissions or limits of its own

    const UserBounds& bounds() const { return *this; }
    // The key of the account that the user belongs to.
    const std::string& account() const { return issuer_account.empty() ? issuer : issuer_account; }
};

// By what an account lets another (the subject) import something that needs a token.
struct ActivationClaims : Claims {
    std::string issuer_account;  // the exporter's key, where one of its signing keys has signed
    std::string import_subject;  // a pattern that covers what may be imported
    ShareKind kind = ShareKind::kStream;
};

// What an operator signs to have accounts removed ($SYS.REQ.CLAIMS.DELETE).
struct GenericClaims : Claims {
    std::vector<std::string> accounts;
};

// Sets id, issuer and issued_at (to `now`), and signs. kInvalid where the signer's kind may not
// sign it.
Result<std::string> encode_operator(OperatorClaims claims, const KeyPair& signer, WallTime now);
Result<std::string> encode_account(AccountClaims claims, const KeyPair& signer, WallTime now);
Result<std::string> encode_user(UserClaims claims, const KeyPair& signer, WallTime now);
Result<std::string> encode_generic(GenericClaims claims, const KeyPair& signer, WallTime now);
Result<std::string> encode_activation(ActivationClaims claims, const KeyPair& signer, WallTime now);

// Checks form, type, that issuer and subject are keys of the right kinds, and the signature by the
// issuer. Whether the issuer is trusted, and expiry and revocation, are the caller's to check.
Result<OperatorClaims> decode_operator(std::string_view jwt);
Result<AccountClaims> decode_account(std::string_view jwt);
Result<UserClaims> decode_user(std::string_view jwt);
Result<GenericClaims> decode_generic(std::string_view jwt);  // by an operator, about itself
Result<ActivationClaims> decode_activation(std::string_view jwt);

// Whether what the account shares fits together, within its limits, as the NATS libraries judge it:
// nats-server refuses the JWT of an account with overlapping exports, say. kInvalid says what is
// wrong. Activations are looked at as far as the account itself can; whether the exporter honours
// them, it must say.
Result<> check_account(const AccountClaims& claims);

}  // namespace candela::auth
