#include "bundle_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "crypto/hash.h"
#include "loop/fd.h"

namespace candela::host {

namespace fs = std::filesystem;

namespace {

Result<struct stat> look_at(const fs::path& path) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0) return fail_errno(path.native(), errno);
    return info;
}

// All that is in the folder, itself included, in the order of the names.
Result<std::vector<fs::path>> list_tree(const fs::path& folder) {
    std::vector<fs::path> found{folder};
    std::error_code error;
    for (auto at = fs::recursive_directory_iterator(folder, error);
         !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
        found.push_back(at->path());
    }
    if (error) return fail_errno(folder.native(), error.value());
    std::ranges::sort(found);
    return found;
}

void add_text(crypto::Sha256& hash, std::string_view text) {
    // With its end, so that two texts are never one.
    hash.update(as_bytes(text));
    hash.update(as_bytes(std::string_view("\0", 1)));
}

Result<> add_content(crypto::Sha256& hash, const fs::path& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (file.get() < 0) return fail_errno(path.native(), errno);
    std::array<char, 64 << 10> buffer;
    for (;;) {
        const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno(path.native(), errno);
        if (count == 0) return {};
        hash.update(as_bytes(std::string_view(buffer.data(), static_cast<size_t>(count))));
    }
}

}  // namespace

Result<TreeStamp> stamp_tree(const fs::path& folder) {
    CANDELA_TRY_ASSIGN(const std::vector<fs::path> paths, list_tree(folder));
    TreeStamp stamp;
    for (const fs::path& path : paths) {
        // The folder's own name may change.
        CANDELA_TRY_ASSIGN(const struct stat info, look_at(path));
        ++stamp.entries;
        if (S_ISREG(info.st_mode)) stamp.bytes += static_cast<uint64_t>(info.st_size);
        if (&path == &paths.front()) continue;
        const int64_t changed = info.st_ctim.tv_sec * 1'000'000'000LL + info.st_ctim.tv_nsec;
        stamp.newest_change_ns = std::max(stamp.newest_change_ns, changed);
    }
    return stamp;
}

Result<std::string> digest_tree(const fs::path& folder) {
    CANDELA_TRY_ASSIGN(const std::vector<fs::path> paths, list_tree(folder));
    crypto::Sha256 hash;
    for (const fs::path& path : paths) {
        CANDELA_TRY_ASSIGN(const struct stat info, look_at(path));
        add_text(hash, path == folder ? std::string() : path.lexically_relative(folder).native());
        add_text(hash,
                 fmt::format("{:o} {}", info.st_mode, S_ISREG(info.st_mode) ? info.st_size : 0));
        if (S_ISLNK(info.st_mode)) {
            std::error_code error;
            add_text(hash, fs::read_symlink(path, error).native());
            if (error) return fail_errno(path.native(), error.value());
        } else if (S_ISREG(info.st_mode)) {
            CANDELA_TRY(add_content(hash, path));
        }
    }
    return hash.finish_hex();
}

}  // namespace candela::host
