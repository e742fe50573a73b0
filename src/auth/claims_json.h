#pragma once

// The "nats" object of each kind of JWT. Internal to src/auth.

#include <string>
#include <string_view>
#include <vector>

#include "auth/claims.h"
#include "base/json.h"

namespace candela::auth {

Json operator_to_json(const OperatorClaims& claims);
Json account_to_json(const AccountClaims& claims);
Json user_to_json(const UserClaims& claims);
Json activation_to_json(const ActivationClaims& claims);

// A member of the wrong type is an error, not a default: a permission that is not understood must
// not become "everything".
Result<> operator_from_json(const Json& nats, OperatorClaims& out);
Result<> account_from_json(const Json& nats, AccountClaims& out);
Result<> user_from_json(const Json& nats, UserClaims& out);
Result<> activation_from_json(const Json& nats, ActivationClaims& out);

// The member, or null where the object has none, or null.
const Json* find_member(const Json& object, std::string_view key);
// A text, or empty; true or false, or false.
Result<std::string> read_string(const Json& object, std::string_view key);
Result<bool> read_bool(const Json& object, std::string_view key);
// The member "revocations": keys with unix seconds; absent or null is empty.
Result<std::map<std::string, int64_t, std::less<>>> read_revocations(const Json& object);

// An array of strings; absent or null is empty.
Result<std::vector<std::string>> read_strings(const Json& object, std::string_view key);
// A whole number; absent or null is the fallback.
Result<int64_t> read_int(const Json& object, std::string_view key, int64_t fallback);

}  // namespace candela::auth
