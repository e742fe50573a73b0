#pragma once

// Secrets and config values in SQL. Contents are base64, those of secrets of what is sealed. On the
// database's thread.

#include <string>
#include <vector>

#include "changes.h"
#include "store/database.h"

namespace candela::lighthouse {

Result<Values> load_values(store::Connection& db);
Result<> write_values(store::Connection& db, const Change& change);
Result<> remove_values_of(store::Connection& db, const std::string& space);

struct ValueAt {
    ValueKey key;
    uint64_t version = 0;
};
// In their order. Code::kNotFound where one is gone.
Result<std::vector<std::string>> read_values(store::Connection& db,
                                             const std::vector<ValueAt>& wanted);

}  // namespace candela::lighthouse
