#include "disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>

#include "loop/file.h"

namespace candela::bus_role {

namespace {

std::unexpected<Error> failure(std::string_view what, const std::string& path, int number) {
    Error error = Error::system(fmt::format("{} {}", what, path), number);
    if (number == ENOSPC || number == EDQUOT) {
        error = Error(Code::kExhausted, error.message(), number);
    }
    if (number == ENOENT) error = Error(Code::kNotFound, error.message(), number);
    return fail(std::move(error));
}

class PosixFile final : public DiskFile {
public:
    PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
    ~PosixFile() override { ::close(fd_); }

    Result<> write(uint64_t offset, std::string_view bytes) override {
        while (!bytes.empty()) {
            const ssize_t done =
                ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (done < 0) {
                if (errno == EINTR) continue;
                return failure("can't write", path_, errno);
            }
            offset += static_cast<uint64_t>(done);
            bytes.remove_prefix(static_cast<size_t>(done));
        }
        return {};
    }
    Result<size_t> read(uint64_t offset, std::span<char> into) override {
        size_t total = 0;
        while (total < into.size()) {
            const ssize_t done = ::pread(fd_, into.data() + total, into.size() - total,
                                         static_cast<off_t>(offset + total));
            if (done < 0) {
                if (errno == EINTR) continue;
                return failure("can't read", path_, errno);
            }
            if (done == 0) break;
            total += static_cast<size_t>(done);
        }
        return total;
    }
    Result<> sync() override {
        if (::fdatasync(fd_) != 0) return failure("can't sync", path_, errno);
        return {};
    }
    Result<> truncate(uint64_t size) override {
        if (::ftruncate(fd_, static_cast<off_t>(size)) != 0)
            return failure("can't truncate", path_, errno);
        return {};
    }
    Result<uint64_t> size() override {
        struct stat info{};
        if (::fstat(fd_, &info) != 0) return failure("can't stat", path_, errno);
        return static_cast<uint64_t>(info.st_size);
    }

private:
    const int fd_;
    const std::string path_;
};

}  // namespace

Result<std::unique_ptr<DiskFile>> PosixDisk::open(const std::string& path, bool create) {
    const std::string full = (root_ / path).string();
    const int fd = ::open(full.c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
    if (fd < 0) return failure("can't open", full, errno);
    return std::make_unique<PosixFile>(fd, full);
}

Result<> PosixDisk::make_folder(const std::string& path) {
    return make_directories(root_ / path, 0700);
}

Result<std::vector<std::string>> PosixDisk::list(const std::string& folder) {
    std::error_code error;
    std::vector<std::string> names;
    std::filesystem::directory_iterator entry(root_ / folder, error);
    if (error) return failure("can't list", (root_ / folder).string(), error.value());
    while (entry != std::filesystem::directory_iterator()) {
        names.push_back(entry->path().filename().string());
        entry.increment(error);
        if (error) return failure("can't list", (root_ / folder).string(), error.value());
    }
    std::sort(names.begin(), names.end());
    return names;
}

Result<> PosixDisk::rename(const std::string& from, const std::string& to) {
    if (::rename((root_ / from).c_str(), (root_ / to).c_str()) != 0) {
        return failure("can't rename", (root_ / from).string(), errno);
    }
    return {};
}

Result<> PosixDisk::remove(const std::string& path) {
    if (::remove((root_ / path).c_str()) != 0 && errno != ENOENT) {
        return failure("can't remove", (root_ / path).string(), errno);
    }
    return {};
}

Result<> PosixDisk::sync_folder(const std::string& folder) {
    const std::string full = (root_ / folder).string();
    const int fd = ::open(full.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return failure("can't open", full, errno);
    const int result = ::fsync(fd);
    const int number = errno;
    ::close(fd);
    if (result != 0) return failure("can't sync", full, number);
    return {};
}

bool is_of_medium(const Error& error) {
    return error.code() == Code::kCorrupt || error.system_errno() == EIO ||
           error.system_errno() == EISDIR;
}

Result<std::string> read_whole(Disk& disk, const std::string& path) {
    CANDELA_TRY_ASSIGN(const std::unique_ptr<DiskFile> file, disk.open(path, false));
    CANDELA_TRY_ASSIGN(const uint64_t size, file->size());
    std::string out(size, '\0');
    CANDELA_TRY_ASSIGN(const size_t got, file->read(0, out));
    out.resize(got);
    return out;
}

Result<> write_whole(Disk& disk, const std::string& folder, const std::string& name,
                     std::string_view content) {
    const std::string path = folder + "/" + name;
    const std::string temporary = path + ".new";
    {
        CANDELA_TRY_ASSIGN(const std::unique_ptr<DiskFile> file, disk.open(temporary, true));
        CANDELA_TRY(file->truncate(0));
        CANDELA_TRY(file->write(0, content));
        CANDELA_TRY(file->sync());
    }
    CANDELA_TRY(disk.rename(temporary, path));
    return disk.sync_folder(folder);
}

}  // namespace candela::bus_role
