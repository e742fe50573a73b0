#pragma once

// Feature flags in SQL, each version as JSON. On the database's thread.

#include <string>

#include "changes.h"
#include "store/database.h"

namespace candela::lighthouse {

Result<Flags> load_flags(store::Connection& db);
Result<> write_flags(store::Connection& db, const Change& change);
Result<> remove_flags_of(store::Connection& db, const std::string& space);

}  // namespace candela::lighthouse
