#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "base/text.h"
#include "crypto/hash.h"
#include "service/bundle.h"
#include "service/bundle_path.h"
#include "service/file_descriptor.h"
#include "service/ignore.h"

namespace candela::service {

namespace {

constexpr size_t kIgnoreFileMax = 256 * 1024;

struct ArchiveFree {
    void operator()(archive* a) const { archive_write_free(a); }
};
struct EntryFree {
    void operator()(archive_entry* e) const { archive_entry_free(e); }
};
struct DirectoryClose {
    void operator()(DIR* d) const { closedir(d); }
};

// Where the archive's bytes go: the file, through the hash.
struct Output {
    FileDescriptor fd;
    crypto::Sha256 hash;
    uint64_t size_bytes = 0;
    uint64_t size_bytes_max = 0;
    bool is_full = false;
    int error = 0;
};

la_ssize_t write_output(archive*, void* context, const void* bytes, size_t length) {
    Output& out = *static_cast<Output*>(context);
    if (out.size_bytes + length > out.size_bytes_max) {
        out.is_full = true;
        return -1;
    }
    const auto* data = static_cast<const uint8_t*>(bytes);
    for (size_t done = 0; done < length;) {
        const ssize_t count = write(out.fd.get(), data + done, length - done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) {
            out.error = errno;
            return -1;
        }
        done += static_cast<size_t>(count);
    }
    out.hash.update(ByteView(data, length));
    out.size_bytes += length;
    return static_cast<la_ssize_t>(length);
}

class Packer {
public:
    Packer(const BundleLimits& limits, const PackProgress& progress)
        : limits_(limits), progress_(progress), buffer_(256 * 1024) {}

    Result<> open(FileDescriptor out) {
        output_.fd = std::move(out);
        output_.size_bytes_max = limits_.bundle_bytes_max;
        archive_.reset(archive_write_new());
        archive* a = archive_.get();
        // BINARY: names go in as they are, whatever the locale. The last block is not padded.
        const bool ok =
            archive_write_set_format_pax_restricted(a) == ARCHIVE_OK &&
            archive_write_set_options(a, "hdrcharset=BINARY") == ARCHIVE_OK &&
            archive_write_add_filter_zstd(a) == ARCHIVE_OK &&
            archive_write_set_bytes_per_block(a, 64 * 1024) == ARCHIVE_OK &&
            archive_write_set_bytes_in_last_block(a, 1) == ARCHIVE_OK &&
            archive_write_open(a, &output_, nullptr, write_output, nullptr) == ARCHIVE_OK;
        if (!ok) return archive_error();
        struct stat status{};
        if (fstat(output_.fd.get(), &status) != 0) return fail_errno("bundle", errno);
        output_device_ = status.st_dev;
        output_inode_ = status.st_ino;
        return {};
    }

    Result<> read_ignore_file(int folder) {
        const FileDescriptor fd(
            openat(folder, ".candelaignore", O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (!fd && errno == ENOENT) return {};
        if (!fd) return fail_errno(".candelaignore", errno);
        std::string text(kIgnoreFileMax + 1, '\0');
        size_t size = 0;
        while (size < text.size()) {
            const ssize_t count = read(fd.get(), text.data() + size, text.size() - size);
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) return fail_errno(".candelaignore", errno);
            if (count == 0) break;
            size += static_cast<size_t>(count);
        }
        if (size > kIgnoreFileMax) {
            return fail(Code::kExhausted, ".candelaignore has more than {} bytes", kIgnoreFileMax);
        }
        text.resize(size);
        CANDELA_TRY_ASSIGN(rules_, IgnoreRules::parse(text));
        return {};
    }

    // `path` is the folder's name in the bundle; empty: the root.
    Result<> add_folder(FileDescriptor folder, const std::string& path) {
        CANDELA_TRY_ASSIGN(const std::vector<std::string> names, list(folder.get(), path));
        for (const std::string& name : names) {
            CANDELA_TRY(add(folder.get(), name, path.empty() ? name : path + "/" + name));
        }
        return {};
    }

    Result<BundleInfo> finish() {
        if (archive_write_close(archive_.get()) != ARCHIVE_OK) return archive_error();
        info_.digest = output_.hash.finish_hex();
        info_.size_bytes = output_.size_bytes;
        const bool is_bomb = info_.unpacked_bytes > limits_.ratio_free_bytes &&
                             info_.unpacked_bytes / limits_.ratio_max > info_.size_bytes;
        if (is_bomb) {
            return fail(Code::kExhausted,
                        "{} of files shrink to {}: hosts refuse to unpack more than "
                        "{} times a bundle's size",
                        format_size(info_.unpacked_bytes), format_size(info_.size_bytes),
                        limits_.ratio_max);
        }
        if (fsync(output_.fd.get()) != 0) return fail_errno("bundle", errno);
        return info_;
    }

private:
    Result<std::vector<std::string>> list(int folder, const std::string& path) {
        FileDescriptor copy(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!copy) return fail_errno(path, errno);
        const std::unique_ptr<DIR, DirectoryClose> directory(fdopendir(copy.get()));
        if (!directory) return fail_errno(path, errno);
        (void)copy.release();  // closedir() closes it
        std::vector<std::string> names;
        for (errno = 0; const dirent* entry = readdir(directory.get()); errno = 0) {
            const std::string_view name = entry->d_name;
            if (name == "." || name == ".." || name == ".git") continue;
            if (path.empty() && name == ".candelaignore") continue;
            if (names.size() >= limits_.files_max) return too_many_files();
            names.emplace_back(name);
        }
        if (errno != 0) return fail_errno(path, errno);
        std::ranges::sort(names);
        return names;
    }

    Result<> add(int parent, const std::string& name, const std::string& path) {
        struct stat status{};
        if (fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
            return fail_errno(path, errno);
        }
        if (rules_.is_ignored(path, S_ISDIR(status.st_mode))) return {};
        if (status.st_dev == output_device_ && status.st_ino == output_inode_) return {};
        CANDELA_TRY(normal_entry_path(path, limits_));
        if (++info_.files > limits_.files_max) return too_many_files();
        if (progress_ && info_.files % 64 == 0 && !progress_(info_.files, info_.unpacked_bytes)) {
            return fail(Code::kCancelled, "packing was cancelled");
        }
        if (S_ISREG(status.st_mode)) return add_file(parent, name, path);
        if (S_ISLNK(status.st_mode)) return add_link(parent, name, path);
        if (!S_ISDIR(status.st_mode)) {
            return fail(Code::kInvalid,
                        "{} is neither a file, a folder nor a link; name it in "
                        ".candelaignore",
                        printable(path));
        }
        FileDescriptor folder(
            openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!folder) return fail_errno(path, errno);
        CANDELA_TRY(write_header(path, AE_IFDIR, status.st_mode, 0, {}));
        return add_folder(std::move(folder), path);
    }

    Result<> add_link(int parent, const std::string& name, const std::string& path) {
        std::string target(limits_.path_length_max + 1, '\0');
        const ssize_t length = readlinkat(parent, name.c_str(), target.data(), target.size());
        if (length < 0) return fail_errno(path, errno);
        target.resize(static_cast<size_t>(length));
        CANDELA_TRY(check_link_target(path, target, limits_));
        return write_header(path, AE_IFLNK, 0777, 0, target);
    }

    Result<> add_file(int parent, const std::string& name, const std::string& path) {
        const FileDescriptor file(
            openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
        struct stat before{}, after{};
        if (!file || fstat(file.get(), &before) != 0) return fail_errno(path, errno);
        if (!S_ISREG(before.st_mode)) return changed(path);
        const auto size = static_cast<uint64_t>(before.st_size);
        if (size > limits_.size_bytes_max - info_.unpacked_bytes) {
            return fail(Code::kExhausted, "{}: the files have more than {} together",
                        printable(path), format_size(limits_.size_bytes_max));
        }
        CANDELA_TRY(write_header(path, AE_IFREG, before.st_mode, before.st_size, {}));
        CANDELA_TRY(copy_bytes(file.get(), size, path));
        if (fstat(file.get(), &after) != 0) return fail_errno(path, errno);
        const bool same = after.st_size == before.st_size &&
                          after.st_mtim.tv_sec == before.st_mtim.tv_sec &&
                          after.st_mtim.tv_nsec == before.st_mtim.tv_nsec;
        return same ? Result<>() : changed(path);
    }

    Result<> copy_bytes(int file, uint64_t size, const std::string& path) {
        while (size > 0) {
            const size_t wanted = std::min<uint64_t>(size, buffer_.size());
            const ssize_t count = read(file, buffer_.data(), wanted);
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) return fail_errno(path, errno);
            if (count == 0) return changed(path);
            const auto length = static_cast<size_t>(count);
            if (archive_write_data(archive_.get(), buffer_.data(), length) != count) {
                return archive_error();
            }
            size -= length;
            info_.unpacked_bytes += length;
            if (progress_ && !progress_(info_.files, info_.unpacked_bytes)) {
                return fail(Code::kCancelled, "packing was cancelled");
            }
        }
        return {};
    }

    Result<> write_header(const std::string& path, unsigned type, mode_t mode, int64_t size,
                          const std::string& link_target) {
        const std::unique_ptr<archive_entry, EntryFree> entry(archive_entry_new());
        archive_entry_set_pathname(entry.get(), path.c_str());
        archive_entry_set_filetype(entry.get(), type);
        archive_entry_set_perm(entry.get(), mode & 0777);
        archive_entry_set_size(entry.get(), size);
        archive_entry_set_mtime(entry.get(), 0, 0);
        archive_entry_set_uid(entry.get(), 0);
        archive_entry_set_gid(entry.get(), 0);
        if (!link_target.empty()) archive_entry_set_symlink(entry.get(), link_target.c_str());
        if (archive_write_header(archive_.get(), entry.get()) != ARCHIVE_OK) {
            return fail(archive_error().error().in(printable(path)));
        }
        return {};
    }

    std::unexpected<Error> archive_error() {
        if (output_.is_full) {
            return fail(Code::kExhausted, "the bundle would have more than {}",
                        format_size(limits_.bundle_bytes_max));
        }
        if (output_.error != 0) return fail_errno("bundle", output_.error);
        const char* text = archive_error_string(archive_.get());
        return fail(Code::kIo, "libarchive: {}", text != nullptr ? text : "unknown error");
    }

    std::unexpected<Error> too_many_files() const {
        return fail(Code::kExhausted, "more than {} files; is something missing in .candelaignore?",
                    limits_.files_max);
    }
    Result<> changed(const std::string& path) const {
        return fail(Code::kConflict, "{} changed while it was packed; try again", printable(path));
    }

    const BundleLimits& limits_;
    const PackProgress& progress_;
    std::vector<char> buffer_;
    Output output_;  // before archive_: freeing the archive may write
    std::unique_ptr<archive, ArchiveFree> archive_;
    IgnoreRules rules_;
    BundleInfo info_;
    dev_t output_device_ = 0;
    ino_t output_inode_ = 0;
};

Result<BundleInfo> pack_into(FileDescriptor out, const std::filesystem::path& folder,
                             const BundleLimits& limits, const PackProgress& progress) {
    FileDescriptor root(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) return fail_errno(folder.native(), errno);
    Packer packer(limits, progress);
    CANDELA_TRY(packer.open(std::move(out)));
    CANDELA_TRY(packer.read_ignore_file(root.get()));
    CANDELA_TRY(packer.add_folder(std::move(root), ""));
    return packer.finish();
}

}  // namespace

Result<BundleInfo> pack_bundle(const std::filesystem::path& folder,
                               const std::filesystem::path& out, const BundleLimits& limits,
                               const PackProgress& progress) {
    std::string temporary = out.native() + ".XXXXXX";
    FileDescriptor fd(mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd) return fail_errno(temporary, errno);
    Result<BundleInfo> info = pack_into(std::move(fd), folder, limits, progress);
    if (info && rename(temporary.c_str(), out.c_str()) != 0) info = fail_errno(out.native(), errno);
    if (!info) unlink(temporary.c_str());
    return info;
}

}  // namespace candela::service
