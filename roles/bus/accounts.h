#pragma once

// The accounts that the bus knows: each an isolated world of subjects, as its JWT describes it.
// Control loop.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>

#include "auth/claims.h"
#include "base/result.h"
#include "base/time.h"
#include "sublist.h"

namespace candela::bus_role {

class Connection;

struct Account {
    auth::AccountClaims claims;
    std::string jwt;
    Sublist sublist;
    std::unordered_set<Connection*> connections;
    // The server's own subscriptions in this account.
    std::vector<std::unique_ptr<Subscription>> services;

    const std::string& key() const { return claims.subject; }
    void add_service(std::string_view subject, Service& service);
};

class Accounts {
public:
    static constexpr size_t kAccountsMax = 65536;

    explicit Accounts(auth::OperatorClaims operator_claims);

    const auth::OperatorClaims& operator_claims() const { return operator_; }
    Account* find(std::string_view key);
    Account* system() { return find(operator_.system_account); }
    const std::map<std::string, std::unique_ptr<Account>, std::less<>>& all() const { return all_; }

    // What a new JWT does to the account: added, changed, or as it was. kDenied where this cloud's
    // operator has not signed it, kConflict where what is known is newer.
    struct Update {
        Account* account;
        bool is_new;
        bool is_changed;
    };
    Result<Update> put(std::string_view jwt);
    // Takes it out; null where it is not known.
    std::unique_ptr<Account> take(std::string_view key);

private:
    auth::OperatorClaims operator_;
    std::map<std::string, std::unique_ptr<Account>, std::less<>> all_;
};

}  // namespace candela::bus_role
