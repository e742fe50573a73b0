#pragma once

// SQLite behind Connection. Only database.cc, backups and tests use this; everything here blocks.

#include <memory>
#include <string>

#include "store/connection.h"

namespace candela::store {

// Opens or makes the file. WAL with synchronous=FULL: what is committed survives a power cut. The
// file is checked; damaged indexes are rebuilt, other damage is kCorrupt. A lock file beside it
// keeps a second process out, until this one ends.
Result<std::unique_ptr<Connection>> open_sqlite(const std::string& path);

// A copy of the database as it is at one moment, while others work with it. `to` must not exist; it
// takes as much room as what is in use of `path`.
Result<> copy_sqlite(const std::string& path, const std::string& to);

}  // namespace candela::store
