#include "accounts.h"

namespace candela::bus_role {

bool AccountTotals::take_one(std::atomic<int64_t>& count, int64_t max) {
    int64_t now = count.load(std::memory_order_relaxed);
    do {
        if (max >= 0 && now >= max) return false;
    } while (!count.compare_exchange_weak(now, now + 1, std::memory_order_relaxed));
    return true;
}

void Account::add_service(std::string_view subject, Service& service, bool is_private) {
    auto subscription = std::make_unique<Subscription>();
    subscription->service = &service;
    subscription->subject = std::string(subject);
    subscription->is_private = is_private;
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
    account->number = ++last_number_;
    Account* added = account.get();
    all_.emplace(added->key(), std::move(account));
    return Update{added, true, true};
}

Accounts::Update Accounts::adopt(const AccountNews& news) {
    std::unique_ptr<Account>& place = all_[news.claims.subject];
    const bool is_new = place == nullptr;
    if (is_new) {
        place = std::make_unique<Account>();
        place->number = news.number;
        place->totals = news.totals;
    }
    place->claims = news.claims;
    return Update{place.get(), is_new, true};
}

std::unique_ptr<Account> Accounts::take(std::string_view key) {
    const auto found = all_.find(key);
    if (found == all_.end()) return nullptr;
    std::unique_ptr<Account> account = std::move(found->second);
    all_.erase(found);
    return account;
}

}  // namespace candela::bus_role
