#pragma once

// Which jobs have run to their end, with their exit codes, so that a restart of the host does not
// run them again: DIR/host/jobs/<instance>. A job may run twice where the machine dies between its
// end and the record. Lives on the control loop; files are written on the pool.

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/log.h"
#include "loop/loop.h"

namespace candela::host {

class JobRecords {
public:
    JobRecords(Loop& loop, std::filesystem::path folder, Logger log);

    // At start; reads small files.
    Result<> load();
    std::optional<int> exit_code(const std::string& instance) const;
    void add(const std::string& instance, int exit_code);
    // Forgets jobs that are not assigned any more.
    void keep_only(const std::set<std::string>& instances);

private:
    Loop& loop_;
    std::filesystem::path folder_;
    Logger log_;
    std::map<std::string, int> records_;
};

}  // namespace candela::host
