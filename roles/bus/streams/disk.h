#pragma once

// Where the storage engine meets the disk. PosixDisk is the real one; tests put a simulated disk in
// its place, which tears, reorders and loses what was not synced, fills up, and flips bits. Paths
// are relative to the disk's root. Every call blocks: storage threads and start-up only. A disk may
// be used from several threads, a file from one.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela::bus_role {

class DiskFile {
public:
    virtual ~DiskFile() = default;
    // All of it or an error; kExhausted where the disk (or quota) is full, and a part may then be
    // there.
    virtual Result<> write(uint64_t offset, std::string_view bytes) = 0;
    // Fewer bytes than asked for only at the end of the file.
    virtual Result<size_t> read(uint64_t offset, std::span<char> into) = 0;
    // What was written is on the medium when this returns. After a failure nothing is known about
    // it, and a second attempt proves nothing (fsync reports an error once).
    virtual Result<> sync() = 0;
    virtual Result<> truncate(uint64_t size) = 0;
    virtual Result<uint64_t> size() = 0;
};

class Disk {
public:
    virtual ~Disk() = default;
    // kNotFound where the file is not there and `create` is false.
    virtual Result<std::unique_ptr<DiskFile>> open(const std::string& path, bool create) = 0;
    virtual Result<> make_folder(
        const std::string& path) = 0;  // with parents; one that is there is no error
    virtual Result<std::vector<std::string>> list(const std::string& folder) = 0;  // names, sorted
    virtual Result<> rename(const std::string& from, const std::string& to) = 0;
    virtual Result<> remove(
        const std::string& path) = 0;  // a file or an empty folder; a missing one is no error
    // Names made, renamed and removed in the folder are on the medium when this returns.
    virtual Result<> sync_folder(const std::string& folder) = 0;
};

class PosixDisk final : public Disk {
public:
    explicit PosixDisk(std::filesystem::path root) : root_(std::move(root)) {}

    Result<std::unique_ptr<DiskFile>> open(const std::string& path, bool create) override;
    Result<> make_folder(const std::string& path) override;
    Result<std::vector<std::string>> list(const std::string& folder) override;
    Result<> rename(const std::string& from, const std::string& to) override;
    Result<> remove(const std::string& path) override;
    Result<> sync_folder(const std::string& folder) override;

private:
    std::filesystem::path root_;
};

// The medium does not give it back, now or later: what was there is lost, and nothing else is.
bool is_of_medium(const Error& error);

// The whole file.
Result<std::string> read_whole(Disk& disk, const std::string& path);
// To a temporary file, synced, renamed over `path`, folder synced: the old content or the new,
// never a part.
Result<> write_whole(Disk& disk, const std::string& folder, const std::string& name,
                     std::string_view content);

}  // namespace candela::bus_role
