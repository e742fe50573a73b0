#include "auth/identity.h"

#include <cerrno>
#include <system_error>

#include "auth/creds_file.h"
#include "auth/identity_files.h"

namespace candela::auth {

namespace {

using std::filesystem::path;

// The roles whose credentials init makes, and the account that each belongs to.
struct RoleAccount {
    std::string_view role;
    std::string_view account;
    std::string_view tag;
};
constexpr RoleAccount kRoles[] = {
    {"bus", kPlatformAccount, "node:bus"},
    {"lighthouse", kPlatformAccount, "node:lighthouse"},
    {"lighthouse-sys", kSystemAccount, "node:lighthouse"},
    {"host", kPlatformAccount, "node:host"},
    {"gateway", kPlatformAccount, "node:gateway"},
    {"loadbalancer", kPlatformAccount, "node:loadbalancer"},
    {"admin", kPlatformAccount, "role:operator"},
};

path identity_folder(const path& data_dir) { return data_dir / "identity"; }

path account_file(const path& data_dir, std::string_view name, std::string_view suffix) {
    return identity_folder(data_dir) / "accounts" / (std::string(name) + std::string(suffix));
}

bool has_file(const path& file) {
    std::error_code ignored;
    return std::filesystem::exists(file, ignored);
}

Result<std::string> read_text(const path& file) {
    CANDELA_TRY_ASSIGN(const Secret text, read_small_file(file));
    return std::string(text.reveal());
}

Result<KeyPair> read_key(const path& file, KeyKind kind) {
    CANDELA_TRY_ASSIGN(const Secret seed, read_small_file(file));
    Result<KeyPair> key = KeyPair::from_seed(seed.reveal());
    if (!key) return fail(Code::kCorrupt, "{}: {}", file.string(), key.error().message());
    if (key->kind() != kind) {
        return fail(Code::kCorrupt, "{}: the seed of a key of kind {}, not {}", file.string(),
                    to_string(key->kind()), to_string(kind));
    }
    return key;
}

Result<KeyPair> read_or_make_key(const path& file, KeyKind kind) {
    if (has_file(file)) return read_key(file, kind);
    KeyPair key = KeyPair::generate(kind);
    const Secret seed = key.seed();
    CANDELA_TRY(write_private_file(file, seed.reveal()));
    return key;
}

template <class C>
Result<C> corrupt(const path& file, const Result<C>& decoded) {
    return fail(Code::kCorrupt, "{}: {}", file.string(), decoded.error().message());
}

Result<Account> load_account(const path& data_dir, std::string_view name,
                             const OperatorClaims& operator_claims) {
    const path jwt_file = account_file(data_dir, name, ".jwt");
    const path seed_file = account_file(data_dir, name, ".seed");
    CANDELA_TRY_ASSIGN(std::string jwt, read_text(jwt_file));
    Result<AccountClaims> claims = decode_account(jwt);
    if (!claims) return fail(corrupt(jwt_file, claims).error());
    CANDELA_TRY_ASSIGN(KeyPair key, read_key(seed_file, KeyKind::kAccount));
    if (!operator_claims.may_sign_accounts(claims->issuer)) {
        return fail(Code::kCorrupt, "{}: not signed by this cloud's operator", jwt_file.string());
    }
    if (claims->name != name) {
        return fail(Code::kCorrupt, "{}: it is of an account named {}", jwt_file.string(),
                    claims->name);
    }
    if (claims->find_signing_key(key.public_key()) == nullptr) {
        return fail(Code::kCorrupt, "{}: not a signing key of the account", seed_file.string());
    }
    return Account{std::move(*claims), std::move(jwt), std::move(key)};
}

Result<std::map<std::string, Account, std::less<>>> load_accounts(
    const path& data_dir, const OperatorClaims& operator_claims) {
    std::map<std::string, Account, std::less<>> accounts;
    std::error_code error;
    const path folder = identity_folder(data_dir) / "accounts";
    for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
         it.increment(error)) {
        if (it->path().extension() != ".jwt") continue;
        const std::string name = it->path().stem().string();
        CANDELA_TRY_ASSIGN(Account account, load_account(data_dir, name, operator_claims));
        accounts.emplace(name, std::move(account));
    }
    if (error) return fail_errno("reading " + folder.string(), error.value());
    return accounts;
}

Result<> make_role_creds(const path& data_dir, const Identity& identity, const RoleAccount& row,
                         WallTime now) {
    const path file = identity_folder(data_dir) / "creds" / (std::string(row.role) + ".creds");
    const Account* account = identity.find_account(row.account);
    KeyPair key = KeyPair::generate(KeyKind::kUser);
    if (has_file(file)) {
        // Credentials of an account that was made anew would be refused: they are then made anew
        // too. Those that an older candela made lack what their role does since then: the same key
        // gets what it needs now.
        CANDELA_TRY_ASSIGN(Credentials creds, load_creds(file));
        CANDELA_TRY_ASSIGN(const UserClaims user, decode_user(creds.jwt));
        if (user.account() == account->public_key()) {
            CANDELA_TRY_ASSIGN(const Permissions needed,
                               role_permissions(row.role, creds.key.public_key()));
            if (user.permissions == needed) return {};
            key = std::move(creds.key);
        }
    }
    UserRequest request;
    request.public_key = key.public_key();
    request.name = std::string(row.role);
    request.tags.emplace_back(row.tag);
    CANDELA_TRY_ASSIGN(request.permissions, role_permissions(row.role, key.public_key()));
    CANDELA_TRY_ASSIGN(const std::string jwt, mint_user(*account, request, now));
    const Secret text = format_creds(jwt, key);
    return write_private_file(file, text.reveal());
}

// The accounts come before the operator's JWT, which names the system account: a crash between the
// two leaves an identity that the next init completes.
Result<> make_missing_accounts(const path& data_dir, Identity& identity, WallTime now) {
    for (const std::string_view name : {kSystemAccount, kPlatformAccount, kDefaultSpace}) {
        if (identity.accounts.contains(name)) continue;
        CANDELA_TRY_ASSIGN(Account account, make_account(identity.operator_key, name, now));
        CANDELA_TRY(save_account(data_dir, account));
        identity.accounts.emplace(name, std::move(account));
    }
    return {};
}

Result<> make_operator_jwt(const path& file, Identity& identity, WallTime now) {
    OperatorClaims claims;
    claims.subject = identity.operator_key.public_key();
    claims.name = "candela";
    claims.system_account = identity.accounts.find(kSystemAccount)->second.public_key();
    CANDELA_TRY_ASSIGN(identity.operator_jwt, encode_operator(claims, identity.operator_key, now));
    CANDELA_TRY_ASSIGN(identity.operator_claims, decode_operator(identity.operator_jwt));
    return write_private_file(file, identity.operator_jwt);
}

}  // namespace

const Account* Identity::find_account(std::string_view name) const {
    const auto found = accounts.find(name);
    return found == accounts.end() ? nullptr : &found->second;
}

const Account* Identity::find_account_by_key(std::string_view public_key) const {
    for (const auto& [name, account] : accounts) {
        if (account.public_key() == public_key) return &account;
    }
    return nullptr;
}

Result<Identity> init_identity(const path& data_dir, WallTime now) {
    const path folder = identity_folder(data_dir);
    for (const path& needed : {folder, folder / "accounts", folder / "creds"}) {
        CANDELA_TRY(make_private_folder(needed));
    }
    const path jwt_file = folder / "operator.jwt";
    const bool has_operator = has_file(jwt_file);
    if (has_operator && !has_file(folder / "operator.seed")) {
        return fail(Code::kNotFound,
                    "{}: the operator's seed is missing; without it nothing can be made",
                    (folder / "operator.seed").string());
    }
    CANDELA_TRY_ASSIGN(KeyPair key, read_or_make_key(folder / "operator.seed", KeyKind::kOperator));
    Identity identity{std::move(key), {}, {}, {}};
    if (has_operator) {
        CANDELA_TRY_ASSIGN(identity, load_identity(data_dir));
    } else {
        identity.operator_claims.subject = identity.operator_key.public_key();
        CANDELA_TRY_ASSIGN(identity.accounts, load_accounts(data_dir, identity.operator_claims));
    }
    CANDELA_TRY(make_missing_accounts(data_dir, identity, now));
    if (!has_operator) CANDELA_TRY(make_operator_jwt(jwt_file, identity, now));
    for (const RoleAccount& row : kRoles) {
        CANDELA_TRY(make_role_creds(data_dir, identity, row, now));
    }
    return identity;
}

Result<Identity> load_identity(const path& data_dir) {
    const path folder = identity_folder(data_dir);
    const path jwt_file = folder / "operator.jwt";
    CANDELA_TRY_ASSIGN(KeyPair key, read_key(folder / "operator.seed", KeyKind::kOperator));
    Identity identity{std::move(key), {}, {}, {}};
    CANDELA_TRY_ASSIGN(identity.operator_jwt, read_text(jwt_file));
    Result<OperatorClaims> claims = decode_operator(identity.operator_jwt);
    if (!claims) return fail(corrupt(jwt_file, claims).error());
    identity.operator_claims = std::move(*claims);
    if (!identity.operator_claims.may_sign_accounts(identity.operator_key.public_key())) {
        return fail(Code::kCorrupt, "{}: not a key of the operator of {}",
                    (folder / "operator.seed").string(), jwt_file.string());
    }
    CANDELA_TRY_ASSIGN(identity.accounts, load_accounts(data_dir, identity.operator_claims));
    return identity;
}

Result<> save_account(const path& data_dir, const Account& account) {
    const Secret seed = account.signing_key.seed();
    // The seed first: a JWT without its seed would not load.
    CANDELA_TRY(write_private_file(account_file(data_dir, account.name(), ".seed"), seed.reveal()));
    return write_private_file(account_file(data_dir, account.name(), ".jwt"), account.jwt);
}

Result<> remove_account(const path& data_dir, std::string_view name) {
    for (const std::string_view suffix : {".jwt", ".seed"}) {
        std::error_code error;
        const path file = account_file(data_dir, name, suffix);
        std::filesystem::remove(file, error);
        if (error) return fail_errno("removing " + file.string(), error.value());
    }
    return {};
}

}  // namespace candela::auth
