#include "build/source_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "crypto/hash.h"
#include "loop/file.h"
#include "service/bundle_path.h"
#include "service/file_descriptor.h"
#include "service/ignore.h"

namespace candela::build {

namespace fs = std::filesystem;
using service::FileDescriptor;

namespace {

constexpr size_t kIgnoreFileMax = 256 * 1024;
constexpr std::string_view kVersionControl[] = {".git", ".hg", ".svn"};

// The lines of one folder's .gitignore, which speak of what is below it.
struct Rules {
    std::string base;  // "" or "a/b/"
    service::IgnoreRules rules;
};

class Reader {
public:
    Reader(const fs::path& from, const std::optional<fs::path>& to, const SourceOptions& options)
        : from_(from), to_(to), options_(options), buffer_(256 * 1024) {}

    Result<SourceInfo> read() {
        CANDELA_TRY(read_folder(""));
        info_.digest = hash_.finish_hex();
        return info_;
    }

private:
    Result<> read_folder(const std::string& path) {
        const std::string base = path.empty() ? "" : path + "/";
        info_.folders.push_back(path);
        const size_t rules_before = rules_.size();
        CANDELA_TRY(add_rules(base));
        std::vector<std::string> names;
        std::error_code error;
        for (fs::directory_iterator each(from_ / path, error);
             !error && each != fs::directory_iterator(); each.increment(error)) {
            names.push_back(each->path().filename().native());
            if (names.size() > options_.limits.files_max) return too_many();
        }
        if (error) return fail_errno((from_ / path).native(), error.value());
        std::ranges::sort(names);
        for (const std::string& name : names) CANDELA_TRY(read_one(base + name, name));
        rules_.resize(rules_before);
        return {};
    }

    Result<> add_rules(const std::string& base) {
        const fs::path file = from_ / base / options_.ignore_file;
        std::error_code ignored;
        if (!fs::is_regular_file(file, ignored)) return {};
        CANDELA_TRY_ASSIGN(const std::string text, read_file(file, kIgnoreFileMax));
        CANDELA_TRY_ASSIGN(auto rules,
                           service::IgnoreRules::parse(text, base + options_.ignore_file));
        rules_.push_back({base, std::move(rules)});
        return {};
    }

    bool is_ignored(const std::string& path, bool is_folder) const {
        // The innermost that says anything decides.
        for (auto each = rules_.rbegin(); each != rules_.rend(); ++each) {
            const std::string_view below = std::string_view(path).substr(each->base.size());
            if (const auto says = each->rules.decide(below, is_folder)) return *says;
        }
        return false;
    }

    Result<> read_one(const std::string& path, const std::string& name) {
        if (std::ranges::find(kVersionControl, name) != std::end(kVersionControl)) return {};
        if (std::ranges::find(options_.left_out, path) != options_.left_out.end()) return {};
        struct stat look{};
        const fs::path from = from_ / path;
        if (lstat(from.c_str(), &look) != 0) return fail_errno(from.native(), errno);
        if (is_ignored(path, S_ISDIR(look.st_mode))) return {};
        CANDELA_TRY(service::normal_entry_path(path, options_.limits));
        if (++info_.files > options_.limits.files_max) return too_many();
        note(fmt::format("{} {:o}", path, S_ISLNK(look.st_mode) ? 0 : look.st_mode & 0777));
        if (S_ISDIR(look.st_mode)) {
            note("folder");
            if (to_ && mkdir((*to_ / path).c_str(), 0755) != 0)
                return fail_errno((*to_ / path).native(), errno);
            CANDELA_TRY(read_folder(path));
            return give(path, look);
        }
        if (S_ISLNK(look.st_mode)) return read_link(path);
        if (S_ISREG(look.st_mode)) return read_file_at(path, look);
        return fail(Code::kInvalid,
                    "{} is neither a file, a folder nor a link\ntry: name it in .gitignore",
                    printable(path));
    }

    Result<> read_link(const std::string& path) {
        std::error_code error;
        const fs::path target = fs::read_symlink(from_ / path, error);
        if (error) return fail_errno((from_ / path).native(), error.value());
        note("link " + target.native());
        if (!to_) return {};
        if (symlink(target.c_str(), (*to_ / path).c_str()) != 0)
            return fail_errno((*to_ / path).native(), errno);
        if (options_.owner && lchown((*to_ / path).c_str(), *options_.owner, *options_.owner) != 0)
            return fail_errno((*to_ / path).native(), errno);
        return {};
    }

    Result<> read_file_at(const std::string& path, const struct stat& look) {
        const FileDescriptor in(
            open((from_ / path).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        if (!in) return fail_errno((from_ / path).native(), errno);
        FileDescriptor out;
        if (to_) {
            out = FileDescriptor(
                open((*to_ / path).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
            if (!out) return fail_errno((*to_ / path).native(), errno);
        }
        crypto::Sha256 hash;
        for (;;) {
            const ssize_t count = ::read(in.get(), buffer_.data(), buffer_.size());
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) return fail_errno((from_ / path).native(), errno);
            if (count == 0) break;
            const auto size = static_cast<size_t>(count);
            info_.bytes += size;
            if (info_.bytes > options_.limits.size_bytes_max) {
                return fail(Code::kExhausted, "the sources have more than {} together",
                            format_size(options_.limits.size_bytes_max));
            }
            hash.update(ByteView(reinterpret_cast<const uint8_t*>(buffer_.data()), size));
            if (to_) CANDELA_TRY(write_all(out.get(), size, path));
        }
        note("file " + hash.finish_hex());
        return give(path, look);
    }

    Result<> write_all(int fd, size_t size, const std::string& path) {
        for (size_t done = 0; done < size;) {
            const ssize_t count = write(fd, buffer_.data() + done, size - done);
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) return fail_errno((*to_ / path).native(), errno);
            done += static_cast<size_t>(count);
        }
        return {};
    }

    // Mode, owner and time, once nothing is written to it any more.
    Result<> give(const std::string& path, const struct stat& look) {
        if (!to_) return {};
        const fs::path made = *to_ / path;
        const timespec times[2] = {look.st_atim, look.st_mtim};
        // The build may write to its own copies.
        const mode_t mode = (look.st_mode & 0777) | (S_ISDIR(look.st_mode) ? 0700 : 0600);
        if (chmod(made.c_str(), mode) != 0 ||
            (options_.owner && lchown(made.c_str(), *options_.owner, *options_.owner) != 0) ||
            utimensat(AT_FDCWD, made.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
            return fail_errno(made.native(), errno);
        }
        return {};
    }

    void note(std::string_view text) {
        hash_.update(as_bytes(text));
        constexpr uint8_t kEnd = 0;
        hash_.update(ByteView(&kEnd, 1));
    }

    std::unexpected<Error> too_many() const {
        return fail(Code::kExhausted,
                    "more than {} files\ntry: name what is no source in .gitignore",
                    options_.limits.files_max);
    }

    const fs::path& from_;
    const std::optional<fs::path>& to_;
    const SourceOptions& options_;
    std::vector<char> buffer_;
    std::vector<Rules> rules_;
    crypto::Sha256 hash_;
    SourceInfo info_;
};

}  // namespace

Result<SourceInfo> read_sources(const fs::path& from, const std::optional<fs::path>& to,
                                const SourceOptions& options) {
    return Reader(from, to, options).read();
}

Result<> give_tree(const fs::path& folder, uint32_t owner) {
    if (lchown(folder.c_str(), owner, owner) != 0) return fail_errno(folder.native(), errno);
    std::error_code error;
    fs::recursive_directory_iterator each(folder, error);
    for (; !error && each != fs::recursive_directory_iterator(); each.increment(error)) {
        if (lchown(each->path().c_str(), owner, owner) != 0)
            return fail_errno(each->path().native(), errno);
    }
    if (error) return fail_errno(folder.native(), error.value());
    return {};
}

uint64_t tree_bytes(const fs::path& folder) {
    uint64_t bytes = 0;
    std::error_code error;
    fs::recursive_directory_iterator each(folder, fs::directory_options::skip_permission_denied,
                                          error);
    for (; !error && each != fs::recursive_directory_iterator(); each.increment(error)) {
        struct stat look{};
        if (lstat(each->path().c_str(), &look) == 0) {
            constexpr uint64_t kBlock = 512;
            bytes += static_cast<uint64_t>(look.st_blocks) * kBlock;
        }
    }
    return bytes;
}

}  // namespace candela::build
