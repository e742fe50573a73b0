#include "node/backup_format.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "loop/fd.h"
#include "loop/file.h"

namespace candela {

namespace {

constexpr unsigned kModeMask = 0700;  // all of it is the lighthouse's own

// Only what a backup is made of: identity/… and lighthouse/…, without detours.
bool is_backup_path(std::string_view path) {
    const auto parts = split(path, '/');
    if (parts.size() < 2 || (parts[0] != "identity" && parts[0] != "lighthouse")) return false;
    for (const std::string_view part : parts) {
        if (part.empty() || part == "." || part == ".." || part.find('\0') != part.npos)
            return false;
    }
    return true;
}

}  // namespace

std::string backup_file_head(std::string_view path, unsigned mode, uint64_t size_bytes) {
    const Json head = {{"path", path}, {"mode", mode}, {"size", size_bytes}};
    return dump_json(head) + "\n";
}

std::string backup_end(uint64_t files) {
    const Json end = {{"end", true}, {"files", files}};
    return dump_json(end) + "\n";
}

BackupReader::BackupReader(std::filesystem::path folder) : folder_(std::move(folder)) {}

BackupReader::~BackupReader() {
    if (fd_ >= 0) ::close(fd_);
}

Result<> BackupReader::write(std::string_view bytes) {
    while (!bytes.empty()) {
        if (has_ended_) return fail(Code::kCorrupt, "the backup goes on behind its end");
        if (fd_ >= 0) {
            const auto count = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
            CANDELA_TRY(write_all(fd_, bytes.substr(0, count), file_));
            bytes.remove_prefix(count);
            bytes_ += count;
            left_ -= count;
            if (left_ == 0) CANDELA_TRY(end_file());
            continue;
        }
        const size_t end = bytes.find('\n');
        head_ += bytes.substr(0, end);
        if (head_.size() > kHeadBytesMax) return fail(Code::kCorrupt, "this is no backup");
        if (end == std::string_view::npos) return {};
        bytes.remove_prefix(end + 1);
        CANDELA_TRY(begin_file(std::exchange(head_, std::string())));
    }
    return {};
}

Result<> BackupReader::begin_file(std::string_view text) {
    const auto head = parse_json(text);
    if (!head || !head->is_object()) return fail(Code::kCorrupt, "this is no backup");
    if (json_bool_or(*head, "end", false)) {
        if (json_int_or(*head, "files", -1) != static_cast<int64_t>(files_))
            return fail(Code::kCorrupt, "files of the backup are missing");
        has_ended_ = true;
        return {};
    }
    const std::string path = json_string_or(*head, "path");
    const int64_t size = json_int_or(*head, "size", -1);
    const int64_t mode = json_int_or(*head, "mode", 0600);
    if (!is_backup_path(path) || size < 0)
        return fail(Code::kCorrupt, "the backup names a file '{}'", printable(path, 200));
    if (++files_ > kFilesMax) return fail(Code::kExhausted, "the backup has too many files");
    file_ = folder_ / path;
    CANDELA_TRY(make_directories(file_.parent_path(), 0700));
    fd_ = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                 static_cast<mode_t>(mode) & kModeMask);
    if (fd_ < 0 && errno == EEXIST) return fail(Code::kCorrupt, "the backup has {} twice", path);
    if (fd_ < 0) return fail(Error::system(file_.string(), errno));
    left_ = static_cast<uint64_t>(size);
    if (left_ == 0) return end_file();
    return {};
}

Result<> BackupReader::end_file() {
    const int fd = std::exchange(fd_, -1);
    const bool is_kept = ::fsync(fd) == 0;
    const int error = errno;
    ::close(fd);
    if (!is_kept) return fail(Error::system(file_.string(), error));
    return {};
}

Result<> BackupReader::finish() {
    if (fd_ >= 0 || !has_ended_) return fail(Code::kCorrupt, "the backup is cut off");
    return {};
}

}  // namespace candela
