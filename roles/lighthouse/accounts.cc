#include "accounts.h"

namespace candela::lighthouse {

namespace {
auth::Account copy_of(const auth::Account& account) {
    return auth::Account{account.claims, account.jwt, account.signing_key.clone()};
}
}  // namespace

Accounts::Accounts(Loop& loop, std::filesystem::path data_dir)
    : loop_(loop), data_dir_(std::move(data_dir)) {}

Task<Result<>> Accounts::open() {
    auto work = [dir = data_dir_]() -> Result<std::shared_ptr<auth::Identity>> {
        CANDELA_TRY_ASSIGN(auth::Identity identity, auth::load_identity(dir));
        return std::make_shared<auth::Identity>(std::move(identity));
    };
    auto loaded = co_await offload(loop_, std::move(work));
    if (!loaded) co_return fail(loaded.error());
    identity_ = std::move(*loaded);
    co_return Result<>();
}

const auth::AccountClaims* Accounts::find_claims(std::string_view account_key) const {
    const auth::Account* account = identity_->find_account_by_key(account_key);
    return account == nullptr ? nullptr : &account->claims;
}

const auth::Account* Accounts::find(std::string_view name) const {
    return identity_->find_account(name);
}

const std::string& Accounts::operator_jwt() const { return identity_->operator_jwt; }

std::vector<std::string> Accounts::names() const {
    std::vector<std::string> names;
    for (const auto& [name, account] : identity_->accounts) names.push_back(name);
    return names;
}

Task<Result<>> Accounts::save(std::string name, auth::Account account) {
    auto shared = std::make_shared<auth::Account>(std::move(account));
    auto work = [dir = data_dir_, shared] { return auth::save_account(dir, *shared); };
    CO_TRY(co_await offload(loop_, std::move(work)));
    const auto place = identity_->accounts.insert_or_assign(name, std::move(*shared)).first;
    on_changed(place->second);
    co_return Result<>();
}

Task<Result<>> Accounts::create(std::string space) {
    if (find(space) != nullptr) co_return Result<>();
    auto made = auth::make_account(identity_->operator_key, space, loop_.wall());
    if (!made) co_return fail(made.error());
    auto saved = co_await save(space, std::move(*made));
    co_return saved;
}

Task<Result<>> Accounts::remove(std::string space) {
    const auth::Account* account = find(space);
    if (account == nullptr) co_return Result<>();
    // Everybody in it is cut off before it is forgotten; "*" stands for all users.
    std::vector<std::string> all = {"*"};
    CO_TRY(co_await revoke(space, std::move(all)));
    auto work = [dir = data_dir_, space] { return auth::remove_account(dir, space); };
    CO_TRY(co_await offload(loop_, std::move(work)));
    identity_->accounts.erase(space);
    co_return Result<>();
}

Task<Result<>> Accounts::revoke(std::string name, std::vector<std::string> user_keys) {
    const auth::Account* account = find(name);
    if (account == nullptr || user_keys.empty()) co_return Result<>();
    auth::Account changed = copy_of(*account);
    for (const std::string& key : user_keys) {
        changed.claims.revocations[key] = unix_seconds(loop_.wall());
    }
    CO_TRY(auth::resign_account(changed, identity_->operator_key, loop_.wall()));
    auto saved = co_await save(name, std::move(changed));
    co_return saved;
}

Task<Result<>> Accounts::forget_revocations(std::string name, std::vector<std::string> user_keys) {
    const auth::Account* account = find(name);
    if (account == nullptr) co_return Result<>();
    auth::Account changed = copy_of(*account);
    size_t erased = 0;
    for (const std::string& key : user_keys) erased += changed.claims.revocations.erase(key);
    if (erased == 0) co_return Result<>();
    CO_TRY(auth::resign_account(changed, identity_->operator_key, loop_.wall()));
    auto saved = co_await save(name, std::move(changed));
    co_return saved;
}

Result<std::string> Accounts::mint(std::string_view name, const auth::UserRequest& request) const {
    const auth::Account* account = find(name);
    if (account == nullptr) return fail(Code::kNotFound, "there is no space '{}'", name);
    return auth::mint_user(*account, request, loop_.wall());
}

}  // namespace candela::lighthouse
