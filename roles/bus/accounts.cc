#include "accounts.h"

namespace candela::bus_role {

void Account::add_service(std::string_view subject, Service& service) {
    auto subscription = std::make_unique<Subscription>();
    subscription->service = &service;
    subscription->subject = std::string(subject);
    sublist.insert(*subscription);
    services.push_back(std::move(subscription));
}

Accounts::Accounts(auth::OperatorClaims operator_claims) : operator_(std::move(operator_claims)) {}

Account* Accounts::find(std::string_view key) {
    const auto found = all_.find(key);
    return found == all_.end() ? nullptr : found->second.get();
}

Result<Accounts::Update> Accounts::put(std::string_view jwt) {
    CANDELA_TRY_ASSIGN(auth::AccountClaims claims, auth::decode_account(jwt));
    if (!operator_.may_sign_accounts(claims.issuer)) {
        return fail(Code::kDenied, "the account's JWT is not signed by this cloud's operator");
    }
    CANDELA_TRY(auth::check_account(claims));
    Account* known = find(claims.subject);
    if (known != nullptr) {
        if (known->jwt == jwt) return Update{known, false, false};
        // An old JWT played again would undo revocations.
        if (claims.issued_at < known->claims.issued_at) {
            return fail(Code::kConflict, "a newer JWT of the account is known");
        }
        known->claims = std::move(claims);
        known->jwt = std::string(jwt);
        return Update{known, false, true};
    }
    if (all_.size() >= kAccountsMax) {
        return fail(Code::kExhausted, "there are {} accounts already", kAccountsMax);
    }
    auto account = std::make_unique<Account>();
    account->claims = std::move(claims);
    account->jwt = std::string(jwt);
    Account* added = account.get();
    all_.emplace(added->key(), std::move(account));
    return Update{added, true, true};
}

std::unique_ptr<Account> Accounts::take(std::string_view key) {
    const auto found = all_.find(key);
    if (found == all_.end()) return nullptr;
    std::unique_ptr<Account> account = std::move(found->second);
    all_.erase(found);
    return account;
}

}  // namespace candela::bus_role
