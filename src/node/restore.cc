#include "node/restore.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <vector>

#include "base/time.h"
#include "crypto/sealed_stream.h"
#include "loop/fd.h"
#include "loop/file.h"
#include "node/backup_format.h"
#include "node/ownership.h"

namespace candela {

namespace {

namespace fs = std::filesystem;

constexpr size_t kReadBytes = 256 * 1024;
constexpr const char* kParts[] = {"identity", "lighthouse"};

Result<> unpack(const RestoreOptions& options, BackupReader& reader) {
    const Fd file(::open(options.backup.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) return fail(Error::system(options.backup.string(), errno));
    crypto::StreamOpener opener(options.passphrase.clone());
    std::string sealed(kReadBytes, '\0');
    std::string plain;
    for (;;) {
        const ssize_t count = ::read(file.get(), sealed.data(), sealed.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail(Error::system(options.backup.string(), errno));
        if (count == 0) break;
        const std::string_view bytes(sealed.data(), static_cast<size_t>(count));
        CANDELA_TRY(opener.write(bytes, plain).in(options.backup.string()));
        CANDELA_TRY(reader.write(plain));
        plain.clear();
    }
    CANDELA_TRY(opener.finish(plain).in(options.backup.string()));
    CANDELA_TRY(reader.write(plain));
    return reader.finish();
}

Result<> rename_path(const fs::path& from, const fs::path& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) return fail(Error::system(to.string(), errno));
    return {};
}

}  // namespace

Result<RestoreReport> restore(const RestoreOptions& options) {
    const fs::path& data_dir = options.data_dir;
    CANDELA_TRY(make_directories(data_dir, 0700));
    // The same lock that the role holds while it runs (node.cc).
    auto lock = FileLock::acquire(data_dir / ".lighthouse.lock");
    if (!lock && lock.error().code() == Code::kConflict) {
        return fail(Code::kConflict, "a lighthouse runs in {}; stop it first", data_dir.string());
    }
    if (!lock) return fail(lock.error());
    bool is_there = false;
    for (const char* part : kParts) is_there = is_there || fs::exists(data_dir / part);
    if (is_there && !options.replaces) {
        return fail(Code::kConflict,
                    "there is a cloud in {}; --replace sets it aside, or choose another folder",
                    data_dir.string());
    }
    const fs::path unpacked = data_dir / ".restore";
    CANDELA_TRY(remove_tree(unpacked));  // of a restore that was stopped
    CANDELA_TRY(make_directories(unpacked, 0700));
    BackupReader reader(unpacked);
    auto done = unpack(options, reader);
    if (done && !fs::exists(unpacked / "lighthouse/state.db"))
        done = fail(Code::kCorrupt, "the backup has no database");
    if (done) done = give_to_owner(data_dir, unpacked);
    if (!done) {
        const auto removed = remove_tree(unpacked);
        if (!removed) return fail(removed.error());
        return fail(done.error());
    }
    RestoreReport report(reader.files(), reader.bytes(), {});
    if (is_there) {
        const int64_t now =
            unix_seconds(std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()));
        report.set_aside = data_dir / fmt::format("before-restore-{}", now);
        CANDELA_TRY(make_directories(report.set_aside, 0700));
        for (const char* part : kParts) {
            if (fs::exists(data_dir / part))
                CANDELA_TRY(rename_path(data_dir / part, report.set_aside / part));
        }
    }
    for (const char* part : kParts) {
        if (fs::exists(unpacked / part)) CANDELA_TRY(rename_path(unpacked / part, data_dir / part));
    }
    CANDELA_TRY(remove_tree(unpacked));
    CANDELA_TRY(sync_directory(data_dir));
    return report;
}

}  // namespace candela
