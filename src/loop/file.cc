#include "loop/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "loop/fd.h"

namespace candela {

Result<> write_all(int fd, std::string_view content, const std::filesystem::path& path) {
    while (!content.empty()) {
        const ssize_t written = ::write(fd, content.data(), content.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return fail_errno(fmt::format("writing {}", path.string()), errno);
        content.remove_prefix(static_cast<size_t>(written));
    }
    return {};
}

Result<> sync_directory(const std::filesystem::path& path) {
    const Fd fd(::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0 || ::fsync(fd.get()) != 0) {
        return fail_errno(fmt::format("syncing {}", path.string()), errno);
    }
    return {};
}

Result<std::string> read_file(const std::filesystem::path& path, size_t size_max) {
    const std::string what = fmt::format("reading {}", path.string());
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return fail_errno(what, errno);
    std::string content;
    struct stat info{};
    if (::fstat(fd.get(), &info) == 0 && info.st_size > 0) {
        content.reserve(std::min(static_cast<size_t>(info.st_size), size_max));
    }
    char buffer[16 * 1024];
    for (;;) {
        const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno(what, errno);
        if (count == 0) return content;
        content.append(buffer, static_cast<size_t>(count));
        if (content.size() > size_max) {
            return fail(Code::kExhausted, "{}: it is larger than {} bytes", what, size_max);
        }
    }
}

Result<> write_file(const std::filesystem::path& path, std::string_view content, unsigned mode) {
    std::string temporary = path.string() + ".XXXXXX";
    const Fd fd(::mkostemp(temporary.data(), O_CLOEXEC));
    if (fd.get() < 0) return fail_errno(fmt::format("creating {}", temporary), errno);
    auto written = write_all(fd.get(), content, path);
    if (written && (::fchmod(fd.get(), mode) != 0 || ::fsync(fd.get()) != 0 ||
                    ::rename(temporary.c_str(), path.c_str()) != 0)) {
        written = fail_errno(fmt::format("writing {}", path.string()), errno);
    }
    if (!written) {
        ::unlink(temporary.c_str());
        return written;
    }
    return sync_directory(path.parent_path());
}

Result<> make_directories(const std::filesystem::path& path, unsigned mode) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) return {};
    if (path.has_parent_path() && path.parent_path() != path) {
        CANDELA_TRY(make_directories(path.parent_path(), mode));
    }
    if (path.filename().empty()) return {};
    if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
        return fail_errno(fmt::format("creating {}", path.string()), errno);
    }
    return {};
}

Result<> remove_file(const std::filesystem::path& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return fail_errno(fmt::format("removing {}", path.string()), errno);
    }
    return {};
}

Result<> remove_tree(const std::filesystem::path& path) {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) return fail_errno(fmt::format("removing {}", path.string()), error.value());
    return {};
}

Result<FileLock> FileLock::acquire(const std::filesystem::path& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return fail_errno(fmt::format("opening {}", path.string()), errno);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const int error = errno;
        ::close(fd);
        if (error != EWOULDBLOCK)
            return fail_errno(fmt::format("locking {}", path.string()), error);
        return fail(Code::kConflict, "{} is locked: another process is using this folder",
                    path.string());
    }
    return FileLock(fd);
}

FileLock::~FileLock() {
    if (fd_ >= 0) ::close(fd_);
}

}  // namespace candela
