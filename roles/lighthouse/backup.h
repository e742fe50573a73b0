#pragma once

// The lighthouse's part of the data folder as one stream (node/backup_format.h), while it works: a
// copy of the database as it is at one moment, the bundles that it names, the keys. Lives on the
// control loop.

#include <filesystem>
#include <string>

#include "bundle_store.h"
#include "http/flow_server.h"
#include "loop/flow.h"

namespace candela::lighthouse {

class Backup {
public:
    // `database` is the file that SQLite has open.
    Backup(Loop& loop, BundleStore& bundles, std::filesystem::path data_dir,
           std::filesystem::path database);

    // Answers the request with all of it. kConflict while another one is being made.
    Task<Result<>> send(http::ServerRequest& request);

private:
    Task<Result<>> send_files(http::ServerRequest& request);

    Loop& loop_;
    BundleStore& bundles_;
    const std::filesystem::path data_dir_;
    const std::filesystem::path database_;
    const std::filesystem::path copy_;  // of the database, while a backup is made
    bool is_busy_ = false;
};

}  // namespace candela::lighthouse
