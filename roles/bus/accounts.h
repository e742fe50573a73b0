#pragma once

// The accounts that the bus knows: each an isolated world of subjects, as its JWT describes it.
// Each loop has its own, with what lives there; what counts for an account as a whole is shared.

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>

#include "account_budget.h"
#include "account_mappings.h"
#include "auth/claims.h"
#include "base/result.h"
#include "base/time.h"
#include "day_hours.h"
#include "loop/time_zones.h"
#include "sublist.h"
#include "traffic.h"

namespace candela::bus_role {

class Connection;

// What an account has on all loops together; any thread.
struct AccountTotals {
    std::atomic<int64_t> connections{0};
    std::atomic<int64_t> subscriptions{0};  // of its connections
    AccountBudget budget;

    // One more, unless there are `max` already (-1: any number).
    static bool take_one(std::atomic<int64_t>& count, int64_t max);
};

// What the loops are told of an account.
struct AccountNews {
    auth::AccountClaims claims;
    uint64_t number;
    std::shared_ptr<AccountTotals> totals;
};

struct Account {
    auth::AccountClaims claims;
    std::string jwt;      // on the control loop only
    uint64_t number = 0;  // the same on all loops, and never used again
    Sublist sublist;
    std::unordered_set<Connection*> connections;
    // The same object for all loops.
    std::shared_ptr<AccountTotals> totals = std::make_shared<AccountTotals>();
    Traffic departed;                           // of connections that have ended
    std::unique_ptr<AccountMappings> mappings;  // null: none
    // The server's own subscriptions in this account.
    std::vector<std::unique_ptr<Subscription>> services;

    const std::string& key() const { return claims.subject; }
    // `is_private`: each loop adds one of its own.
    void add_service(std::string_view subject, Service& service, bool is_private = false);
};

class Accounts {
public:
    static constexpr size_t kAccountsMax = 65536;

    explicit Accounts(auth::OperatorClaims operator_claims);

    const auth::OperatorClaims& operator_claims() const { return operator_; }
    TimeZones& time_zones() { return time_zones_; }
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
    // The same on the other loops, which are told by the control loop, in its order.
    Update adopt(const AccountNews& news);
    // Takes it out; null where it is not known.
    std::unique_ptr<Account> take(std::string_view key);

private:
    auth::OperatorClaims operator_;
    TimeZones time_zones_;
    std::map<std::string, std::unique_ptr<Account>, std::less<>> all_;
    uint64_t last_number_ = 0;
};

}  // namespace candela::bus_role
