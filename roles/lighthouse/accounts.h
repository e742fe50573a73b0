#pragma once

// The cloud's accounts: one a space, and the platform's own. Keeps their JWTs and signing keys (in
// DIR/identity), mints users' JWTs from them, and says when an account has changed so that the bus
// can be told. What changes something runs in the state's flow, one at a time. Lives on the control
// loop.

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "auth/identity.h"
#include "auth/session.h"
#include "loop/flow.h"

namespace candela::lighthouse {

class Accounts {
public:
    Accounts(Loop& loop, std::filesystem::path data_dir);

    // Reads the identity; kNotFound where `candela init` has not been run.
    Task<Result<>> open();

    // For auth::Sessions.
    const auth::AccountClaims* find_claims(std::string_view account_key) const;
    // By name: a space, or CANDELA. Null: there is none.
    const auth::Account* find(std::string_view name) const;
    const std::string& operator_jwt() const;
    std::vector<std::string> names() const;  // of all, the platform's too

    Task<Result<>> create(std::string space);
    Task<Result<>> remove(std::string space);
    // Revokes what was issued to these keys up to now.
    Task<Result<>> revoke(std::string name, std::vector<std::string> user_keys);
    // Takes revocations back of keys that have expired anyway, so that the list does not grow for
    // ever.
    Task<Result<>> forget_revocations(std::string name, std::vector<std::string> user_keys);

    Result<std::string> mint(std::string_view name, const auth::UserRequest& request) const;

    // Called after an account was made or has changed, the last time when it is removed.
    std::function<void(const auth::Account& account)> on_changed = [](const auth::Account&) {};

private:
    Task<Result<>> save(std::string name, auth::Account account);

    Loop& loop_;
    std::filesystem::path data_dir_;
    std::shared_ptr<auth::Identity> identity_;
};

}  // namespace candela::lighthouse
