#pragma once

// Who a connection is: the check of CONNECT against operator, account and user JWT, as nats-server
// does it in operator mode. Pure, but for the accounts that it reads.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accounts.h"
#include "auth/permissions.h"
#include "base/time.h"
#include "entrance.h"
#include "loop/address.h"

namespace candela::bus_role {

// What CONNECT says, apart from who it is.
struct ConnectOptions {
    std::string jwt;
    std::string signature;
    std::string name;
    std::string language;
    std::string version;
    bool verbose = false;
    bool pedantic = false;
    bool echo = true;
    bool headers = false;
    bool no_responders = false;
    int64_t protocol = 0;
};

Result<ConnectOptions> parse_connect(std::string_view json);

// A user let in.
struct Login {
    Account* account = nullptr;
    std::string user_key;
    std::string user_name;
    std::string issuer;  // the key that signed the user
    int64_t issued_at = 0;
    int64_t expires_at = 0;
    auth::Permissions permissions;
    auth::UserLimits limits;
    std::shared_ptr<const DayHours> hours;  // null: at any time
    std::vector<std::string> tags;          // of the user

    // When to look again whether it is still good; absent: it has no end of its own.
    std::optional<WallTime> good_until(WallTime now) const;
};

// Absent: the login is still good. Otherwise the -ERR text with which it ends.
std::optional<std::string_view> reason_to_end(const Login& login, WallTime now);

// kDenied says why, for the log; the client is told no more than 'Authorization Violation'.
Result<Login> log_in(Accounts& accounts, const ConnectOptions& options, std::string_view nonce,
                     const Address& peer, WallTime now,
                     ConnectionType type = ConnectionType::kStandard);

}  // namespace candela::bus_role
