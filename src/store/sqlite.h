#pragma once

// SQLite behind Connection. Only database.cc and tests use this; everything here blocks.

#include <memory>
#include <string>

#include "store/connection.h"

namespace candela::store {

// Opens or makes the file. WAL with synchronous=FULL: what is committed survives a power cut. The
// file is checked; damaged indexes are rebuilt, other damage is kCorrupt. A lock file beside it
// keeps a second process out, until this one ends.
Result<std::unique_ptr<Connection>> open_sqlite(const std::string& path);

}  // namespace candela::store
