#include "auth/identity_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace candela::auth {

namespace {

constexpr size_t kFileBytesMax = 1024 * 1024;

class File {
public:
    explicit File(int fd) : fd_(fd) {}
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() {
        if (fd_ >= 0) ::close(fd_);
    }
    int fd() const { return fd_; }

private:
    int fd_;
};

Result<> write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t count = ::write(fd, text.data(), text.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno("write", errno);
        text.remove_prefix(static_cast<size_t>(count));
    }
    if (::fsync(fd) != 0) return fail_errno("fsync", errno);
    return {};
}

}  // namespace

Result<> make_private_folder(const std::filesystem::path& path) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) return {};
    if (path.has_parent_path()) {
        std::filesystem::create_directories(path.parent_path(), error);
        if (error) return fail_errno("creating " + path.parent_path().string(), error.value());
    }
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        return fail_errno("creating " + path.string(), errno);
    }
    return {};
}

Result<> write_private_file(const std::filesystem::path& path, std::string_view text) {
    const std::string temporary = path.string() + ".new";
    {
        const File file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        if (file.fd() < 0) return fail_errno("writing " + temporary, errno);
        CANDELA_TRY(write_all(file.fd(), text).in("writing " + temporary));
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
        return fail_errno("writing " + path.string(), errno);
    }
    // The new name must be on disk too before anything relies on it.
    const File folder(::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.fd() >= 0) ::fsync(folder.fd());
    return {};
}

Result<Secret> read_small_file(const std::filesystem::path& path) {
    const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.fd() < 0) {
        if (errno == ENOENT) return fail(Code::kNotFound, "{}: no such file", path.string());
        return fail_errno("reading " + path.string(), errno);
    }
    struct stat status{};
    if (::fstat(file.fd(), &status) != 0) return fail_errno("reading " + path.string(), errno);
    if (static_cast<size_t>(status.st_size) > kFileBytesMax) {
        return fail(Code::kInvalid, "{}: more than {} bytes", path.string(), kFileBytesMax);
    }
    // Sized once, so that no copy of a secret stays behind in a buffer that was outgrown.
    std::string text(static_cast<size_t>(status.st_size), '\0');
    size_t filled = 0;
    while (filled < text.size()) {
        const ssize_t count = ::read(file.fd(), text.data() + filled, text.size() - filled);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno("reading " + path.string(), errno);
        if (count == 0) break;
        filled += static_cast<size_t>(count);
    }
    text.resize(filled);
    if (!text.empty() && text.back() == '\n') text.pop_back();
    return Secret(std::move(text));
}

}  // namespace candela::auth
