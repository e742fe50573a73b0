#pragma once

// Which jobs have begun here, and how they ended, so that no restart of the host or the machine
// runs one again: DIR/host/jobs/<instance>, with the exit code once it is known. Lives on the
// control loop; files are written on the pool.

#include <filesystem>
#include <functional>
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
    // Known, and its end is not.
    bool has_begun(const std::string& instance) const;
    // `done` is called later, when that it begins is on the disk, or why it can't be.
    void begin(const std::string& instance, std::function<void(const Result<>&)> done);
    void add(const std::string& instance, int exit_code);
    // Forgets jobs that are not assigned any more.
    void keep_only(const std::set<std::string>& instances);

private:
    Loop& loop_;
    std::filesystem::path folder_;
    Logger log_;
    std::map<std::string, std::optional<int>> records_;
};

}  // namespace candela::host
