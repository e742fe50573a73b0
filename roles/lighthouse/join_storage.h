#pragma once

// Join tokens in SQL: of their secrets only digests. Everything here runs on the database's thread.

#include <string>
#include <vector>

#include "base/time.h"
#include "store/connection.h"

namespace candela::lighthouse {

struct JoinTokenRecord {
    std::string digest;  // SHA-256 of the secret, in hex; its first digits are the token's id
    std::vector<std::string> roles;
    std::string node;  // the name that it is for; empty: any
    std::string made_by;
    WallTime created_at{};
    WallTime expires_at{};
    WallTime used_at{};     // the epoch: it is not
    std::string used_by;    // the node that has joined with it
    std::string used_from;  // where that came from

    static constexpr size_t kIdDigits = 12;
    std::string id() const { return digest.substr(0, kIdDigits); }
    bool is_used() const { return used_at != WallTime(); }
};

Result<std::vector<JoinTokenRecord>> load_join_tokens(store::Connection& db);
Result<> write_join_token(store::Connection& db, const JoinTokenRecord& record);
Result<> remove_join_token(store::Connection& db, const std::string& digest);

}  // namespace candela::lighthouse
