#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/text.h"
#include "service/bundle.h"
#include "service/bundle_path.h"
#include "service/bundle_reader.h"
#include "service/file_descriptor.h"

namespace candela::service {

namespace {

// Whoever runs the instance is not who unpacks it. What others must not read lies in a folder that
// they can't enter.
unsigned readable_by_all(unsigned mode) {
    return (mode & ~022U) | 0444 | ((mode & 0100) != 0 ? 0111U : 0U);
}

// Creates entries below one folder, never through a link: each folder on the way is opened with
// O_NOFOLLOW, each file made with O_EXCL.
class Unpacker {
public:
    explicit Unpacker(FileDescriptor root) : root_(std::move(root)) {}

    Result<> add(const BundleReader::Entry& entry, BundleReader& reader) {
        if (entry.type == EntryType::kFolder) return enter(entry.path, entry.mode);
        const size_t slash = entry.path.rfind('/');
        const bool is_top = slash == std::string::npos;
        CANDELA_TRY(enter(is_top ? std::string() : entry.path.substr(0, slash), std::nullopt));
        const std::string name = is_top ? entry.path : entry.path.substr(slash + 1);
        if (entry.type != EntryType::kLink) return add_file(entry, name, reader);
        if (symlinkat(entry.link_target.c_str(), folder(), name.c_str()) != 0) {
            return refused(entry.path, errno);
        }
        return {};
    }

private:
    int folder() const { return current_ ? current_.get() : root_.get(); }

    // Makes the folder where it is missing and keeps it open: entries of one folder come together.
    Result<> enter(const std::string& path, std::optional<unsigned> mode) {
        if (path != current_path_ || mode) {
            FileDescriptor at;
            if (!path.empty()) {
                for (const std::string_view part : split(path, '/')) {
                    CANDELA_TRY_ASSIGN(at,
                                       step(at ? at.get() : root_.get(), std::string(part), path));
                }
            }
            current_ = std::move(at);
            current_path_ = path;
        }
        if (mode && !path.empty() && fchmod(folder(), (*mode & ~022U) | 0755) != 0) {
            return fail_errno(printable(path), errno);
        }
        return {};
    }

    static Result<FileDescriptor> step(int parent, const std::string& name,
                                       const std::string& path) {
        constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        if (mkdirat(parent, name.c_str(), 0755) != 0 && errno != EEXIST)
            return refused(path, errno);
        FileDescriptor fd(openat(parent, name.c_str(), kFlags));
        if (!fd) return refused(path, errno);
        return fd;
    }

    Result<> add_file(const BundleReader::Entry& entry, const std::string& name,
                      BundleReader& reader) {
        const FileDescriptor file(openat(
            folder(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!file) return refused(entry.path, errno);
        for (;;) {
            CANDELA_TRY_ASSIGN(const size_t length,
                               reader.read_data(buffer_.data(), buffer_.size()));
            if (length == 0) break;
            for (size_t done = 0; done < length;) {
                const ssize_t count = write(file.get(), buffer_.data() + done, length - done);
                if (count < 0 && errno == EINTR) continue;
                if (count < 0) return fail_errno(printable(entry.path), errno);
                done += static_cast<size_t>(count);
            }
        }
        // After the data: a file may be read-only.
        if (fchmod(file.get(), readable_by_all(entry.mode)) != 0) {
            return fail_errno(printable(entry.path), errno);
        }
        return {};
    }

    static std::unexpected<Error> refused(std::string_view path, int error) {
        if (error == EEXIST) {
            return fail(Code::kInvalid, "\"{}\" stands in the bundle twice", printable(path));
        }
        if (error == ELOOP || error == ENOTDIR) {
            return fail(Code::kInvalid, "\"{}\" leads through a link or a file", printable(path));
        }
        return fail_errno(printable(path), error);
    }

    FileDescriptor root_;
    FileDescriptor current_;  // empty: the root
    std::string current_path_;
    std::vector<char> buffer_ = std::vector<char>(256 * 1024);
};

Result<BundleInfo> unpack_into(FileDescriptor archive_file, FileDescriptor root,
                               const BundleLimits& limits) {
    BundleReader reader(std::move(archive_file), limits);
    CANDELA_TRY(reader.open());
    Unpacker unpacker(std::move(root));
    BundleReader::Entry entry;
    for (;;) {
        CANDELA_TRY_ASSIGN(const bool has_more, reader.next(entry));
        if (!has_more) return reader.info();
        CANDELA_TRY(unpacker.add(entry, reader));
    }
}

Result<FileDescriptor> open_verified(const std::filesystem::path& archive,
                                     std::string_view digest) {
    FileDescriptor file(open(archive.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return fail_errno(archive.native(), errno);
    CANDELA_TRY_ASSIGN(const std::string actual, digest_open_file(file.get(), archive.native()));
    if (actual != digest) {
        return fail(Code::kCorrupt, "bundle {}: its bytes have the digest {}",
                    printable(digest.substr(0, 12)), actual.substr(0, 12));
    }
    if (lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno(archive.native(), errno);
    return file;
}

}  // namespace

Result<BundleInfo> unpack_bundle(const std::filesystem::path& archive, std::string_view digest,
                                 const std::filesystem::path& target, const BundleLimits& limits) {
    CANDELA_TRY_ASSIGN(FileDescriptor file, open_verified(archive, digest));
    std::string temporary = target.native() + ".XXXXXX";
    if (mkdtemp(temporary.data()) == nullptr) return fail_errno(temporary, errno);
    FileDescriptor root(open(temporary.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Result<BundleInfo> info = fail_errno(temporary, errno);
    if (root) {
        if (fchmod(root.get(), 0755) != 0)
            info = fail_errno(temporary, errno);
        else
            info = unpack_into(std::move(file), std::move(root), limits);
    }
    // RENAME_NOREPLACE: a plain rename would replace an empty folder.
    if (info &&
        renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) != 0) {
        info = errno == EEXIST
                   ? Result<BundleInfo>(fail(Code::kConflict, "{} exists already", target.native()))
                   : Result<BundleInfo>(fail_errno(target.native(), errno));
    }
    if (!info) {
        std::error_code ignored;  // what is left is swept with the store's other leftovers
        std::filesystem::remove_all(temporary, ignored);
        return info;
    }
    info->digest = digest;
    return info;
}

Result<std::string> read_bundle_file(const std::filesystem::path& archive, std::string_view name,
                                     size_t size_max) {
    FileDescriptor file(open(archive.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return fail_errno(archive.native(), errno);
    const BundleLimits limits;
    BundleReader reader(std::move(file), limits);
    CANDELA_TRY(reader.open());
    BundleReader::Entry entry;
    for (;;) {
        CANDELA_TRY_ASSIGN(const bool has_more, reader.next(entry));
        if (!has_more)
            return fail(Code::kNotFound, "the bundle has no file \"{}\"", printable(name));
        if (entry.path == name && entry.type == EntryType::kFile) break;
    }
    std::string text(size_max + 1, '\0');
    size_t size = 0;
    while (size < text.size()) {
        CANDELA_TRY_ASSIGN(const size_t count,
                           reader.read_data(text.data() + size, text.size() - size));
        if (count == 0) break;
        size += count;
    }
    if (size > size_max) {
        return fail(Code::kExhausted, "\"{}\" has more than {} bytes", printable(name), size_max);
    }
    text.resize(size);
    return text;
}

}  // namespace candela::service
