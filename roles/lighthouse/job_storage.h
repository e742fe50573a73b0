#pragma once

// Jobs and their runs in SQL. On the database's thread.

#include "changes.h"
#include "store/database.h"

namespace candela::lighthouse {

Result<Jobs> load_jobs(store::Connection& db);
Result<> write_jobs(store::Connection& db, const Change& change);

}  // namespace candela::lighthouse
