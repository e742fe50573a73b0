#pragma once

// What a backup holds, before it is sealed: files one behind the other, each a line of JSON
// {"path": "lighthouse/state.db", "mode": 384, "size": 4096} and its bytes; the last line is
// {"end": true, "files": 12}. Values; any thread.

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace candela {

// The line in front of a file's bytes. `path` is below the data folder, with slashes.
std::string backup_file_head(std::string_view path, unsigned mode, uint64_t size_bytes);
std::string backup_end(uint64_t files);

// Takes a backup apart, into a new folder.
class BackupReader {
public:
    static constexpr size_t kHeadBytesMax = 4096;
    static constexpr uint64_t kFilesMax = 1'000'000;

    // The folder must be there, and be empty.
    explicit BackupReader(std::filesystem::path folder);
    BackupReader(const BackupReader&) = delete;
    BackupReader& operator=(const BackupReader&) = delete;
    ~BackupReader();

    // kCorrupt for what no backup says: names that lead elsewhere, the same name twice.
    Result<> write(std::string_view bytes);
    // kCorrupt where the end is missing. All is on disk then.
    Result<> finish();
    uint64_t files() const { return files_; }
    uint64_t bytes() const { return bytes_; }

private:
    Result<> begin_file(std::string_view head);
    Result<> end_file();

    const std::filesystem::path folder_;
    std::string head_;
    std::filesystem::path file_;
    int fd_ = -1;
    uint64_t left_ = 0;  // of the file that is being written
    uint64_t files_ = 0;
    uint64_t bytes_ = 0;
    bool has_ended_ = false;
};

}  // namespace candela
