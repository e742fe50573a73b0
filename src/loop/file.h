#pragma once

// Files, whole. Every call blocks: use them at start, in ctl, or inside offload(), never on a
// running loop. Errors name the path.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela {

Result<std::string> read_file(const std::filesystem::path& path, size_t size_max = 64 << 20);

// Writes to a temporary file in the same folder, syncs, renames over `path` and syncs the folder:
// after a crash there is the old content or the new, never a part.
Result<> write_file(const std::filesystem::path& path, std::string_view content,
                    unsigned mode = 0644);

// Makes the folder and its missing parents. The mode is for those that it makes.
Result<> make_directories(const std::filesystem::path& path, unsigned mode = 0755);

Result<> remove_file(const std::filesystem::path& path);  // a missing one is no error
Result<> remove_tree(const std::filesystem::path& path);  // likewise; does not follow links

// Holds an advisory lock on a file until destroyed, so that one process at a time owns a folder.
class FileLock {
public:
    static Result<FileLock> acquire(const std::filesystem::path& path);
    // The lock that another process acquired and that was inherited from it with the descriptor.
    static FileLock inherited(int fd) { return FileLock(fd); }
    // For a process to inherit; it then holds the lock as well.
    int fd() const { return fd_; }
    FileLock(FileLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
    FileLock& operator=(FileLock&&) = delete;
    ~FileLock();

private:
    explicit FileLock(int fd) : fd_(fd) {}
    int fd_;
};

}  // namespace candela
