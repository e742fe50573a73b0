#pragma once

// The identity of a cloud: its operator, the platform's accounts SYS and CANDELA, one account a
// space, and a credential a role. It lives in DIR/identity (docs/architecture.md "On disk"), files
// 0600, and is read by the lighthouse, which mints from it; every other node has only its own
// .creds file. Functions that take a path block on small files: at start, or through offload().
// Values; any thread.

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "auth/claims.h"
#include "auth/key_pair.h"
#include "base/result.h"
#include "base/time.h"

namespace candela::auth {

inline constexpr std::string_view kSystemAccount = "SYS";
inline constexpr std::string_view kPlatformAccount = "CANDELA";
inline constexpr std::string_view kDefaultSpace = "default";

// An account and the key that signs its users. The account's own key is thrown away once the
// operator has signed its JWT, so that no file can replace the account.
struct Account {
    AccountClaims claims;
    std::string jwt;
    KeyPair signing_key;

    const std::string& public_key() const { return claims.subject; }
    const std::string& name() const { return claims.name; }
};

struct Identity {
    KeyPair operator_key;  // the operator's own key, or one of its signing keys
    OperatorClaims operator_claims;
    std::string operator_jwt;
    std::map<std::string, Account, std::less<>> accounts;  // by name

    const Account* find_account(std::string_view name) const;
    const Account* find_account_by_key(std::string_view public_key) const;
};

// Makes whatever of the identity is missing below data_dir, and leaves what is there. Idempotent.
Result<Identity> init_identity(const std::filesystem::path& data_dir, WallTime now);
// kNotFound where there is none; kCorrupt names the file that does not verify.
Result<Identity> load_identity(const std::filesystem::path& data_dir);

// A new account for a space: keys and signed JWT, in memory. Unlimited, JetStream included.
Result<Account> make_account(const KeyPair& operator_key, std::string_view name, WallTime now);
// Signs an account's claims anew after a change (revocations, limits).
Result<> resign_account(Account& account, const KeyPair& operator_key, WallTime now);
// Revokes what was issued to the user key up to now.
Result<> revoke_user(Account& account, std::string_view user_key, const KeyPair& operator_key,
                     WallTime now);
// Writes accounts/<NAME>.jwt and .seed; atomically, each 0600.
Result<> save_account(const std::filesystem::path& data_dir, const Account& account);
Result<> remove_account(const std::filesystem::path& data_dir, std::string_view name);

struct UserRequest {
    std::string public_key;
    std::string name;
    Permissions permissions;
    int64_t expires_at = 0;         // unix seconds; 0: never
    std::vector<std::string> tags;  // "role:developer", "space:NAME"
};
// A user's JWT, signed by the account's signing key.
Result<std::string> mint_user(const Account& account, const UserRequest& request, WallTime now);

// What the role of a node needs on the subjects of docs/architecture.md, with a private inbox below
// "_INBOX.<public key>". `node` is its name, or "*" where that is not known yet. kInvalid: no such
// role. Roles: bus, lighthouse, lighthouse-sys (in SYS), host, gateway, loadbalancer, admin.
Result<Permissions> role_permissions(std::string_view role, std::string_view public_key,
                                     std::string_view node = "*");
// What a person or an instance may do on the bus, in the account of its space: everything; a viewer
// may only listen, and ask nothing.
Permissions space_permissions(std::string_view role);

}  // namespace candela::auth
