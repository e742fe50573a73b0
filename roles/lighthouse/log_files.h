#pragma once

// The files of one service's log: DIR/lighthouse/logs/<space>/<service>/<first id>.log, one JSON
// object a line (log_line.h), the newest being added to, and dropped whole when they are too old.
// Beside lines of the log there are
//     {"source":"…","first":N,"count":N}    the lines that follow are so many of this source
//     {"positions":{"<source>":N,…}}        first in a file: how far each source has come
// so that the newest file alone says which lines of a source are here already. Every call blocks:
// pool threads only.

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "log_line.h"

namespace candela::lighthouse {

struct LogFile {
    uint64_t first = 0;  // its name
    uint64_t bytes = 0;
    uint64_t written_ms = 0;  // when something was added last
};

using LogPositions = std::map<std::string, uint64_t, std::less<>>;

// Sources of a service that are remembered; those that were heard longest ago are forgotten first.
inline constexpr size_t kLogSourcesMax = 1000;

struct FoundLog {
    std::string space;
    std::string service;
    bool is_access = false;
    std::vector<LogFile> files;  // the oldest first
    uint64_t last_id = 0;        // of its lines
};
std::filesystem::path log_folder(const std::filesystem::path& logs, const std::string& space,
                                 const std::string& service, bool is_access);
// All there are. Takes over what older versions wrote.
Result<std::vector<FoundLog>> find_logs(const std::filesystem::path& logs);

// Of the newest file; a last line that a crash has cut is removed.
Result<LogPositions> read_positions(const std::filesystem::path& folder, uint64_t file);
void append_positions(const LogPositions& positions, std::string& out);
void append_batch_head(std::string_view source, uint64_t first, uint64_t count, std::string& out);

// Adds and syncs. Where the disk takes not all of it the file is cut back.
Result<> add_to_log(const std::filesystem::path& folder, uint64_t file, uint64_t size_before,
                    std::string_view text);
Result<> remove_log_file(const std::filesystem::path& folder, uint64_t file);

// The last `count` lines that match and have no higher id than `up_to`, the oldest first; fewer
// where they have more than `bytes_max` of text.
struct LogSearch {
    std::filesystem::path folder;
    std::string service;
    std::vector<LogFile> files;
};
std::vector<LogLine> search_log(const LogSearch& search, const LogQuery& query, uint64_t up_to,
                                size_t count, size_t bytes_max);

}  // namespace candela::lighthouse
