#include "backup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "loop/fd.h"
#include "loop/file.h"
#include "node/backup_format.h"
#include "service/bundle.h"
#include "store/sqlite.h"

namespace candela::lighthouse {

namespace {

namespace fs = std::filesystem;

constexpr size_t kReadBytes = 256 * 1024;

// A file of the backup, read on the pool.
class File {
public:
    static Result<std::shared_ptr<File>> open(const fs::path& path) {
        Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
        if (fd.get() < 0) return fail(Error::system(path.string(), errno));
        auto file = std::make_shared<File>(std::move(fd), path);
        struct stat info{};
        if (::fstat(file->fd_.get(), &info) != 0) return fail(Error::system(path.string(), errno));
        file->size_bytes = static_cast<uint64_t>(info.st_size);
        file->mode = info.st_mode & 0777U;
        return file;
    }
    File(Fd fd, fs::path path) : fd_(std::move(fd)), path_(std::move(path)) {}

    // The next piece; empty at the end.
    Result<std::string> read() {
        std::string bytes(static_cast<size_t>(std::min<uint64_t>(kReadBytes, size_bytes - done_)),
                          '\0');
        size_t count = 0;
        while (count < bytes.size()) {
            const ssize_t got = ::read(fd_.get(), bytes.data() + count, bytes.size() - count);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return fail(Error::system(path_.string(), errno));
            if (got == 0) return fail(Code::kIo, "{} has become shorter", path_.string());
            count += static_cast<size_t>(got);
        }
        done_ += count;
        return bytes;
    }

    uint64_t size_bytes = 0;
    unsigned mode = 0;

private:
    const Fd fd_;
    const fs::path path_;
    uint64_t done_ = 0;
};

struct Entry {
    std::string name;  // in the backup
    fs::path path;
};

Result<> add_files(const fs::path& data_dir, const fs::path& folder, std::vector<Entry>& out) {
    std::error_code error;
    fs::recursive_directory_iterator files(folder, error);
    if (error == std::errc::no_such_file_or_directory) return {};
    for (; !error && files != fs::recursive_directory_iterator(); files.increment(error)) {
        if (!files->is_regular_file(error) || files->is_symlink(error)) continue;
        out.push_back(
            Entry(files->path().lexically_relative(data_dir).generic_string(), files->path()));
    }
    if (error) return fail(Error::system(folder.string(), error.value()));
    return {};
}

// The database's copy comes first: what it names is there when it is read.
Result<std::vector<Entry>> list_files(const fs::path& data_dir, const fs::path& copy) {
    std::vector<Entry> out{Entry("lighthouse/state.db", copy),
                           Entry("lighthouse/sealing.key", data_dir / "lighthouse/sealing.key")};
    CANDELA_TRY(add_files(data_dir, data_dir / "identity", out));
    CANDELA_TRY(add_files(data_dir, data_dir / "lighthouse/ca", out));
    std::vector<Entry> bundles;
    CANDELA_TRY(add_files(data_dir, data_dir / "lighthouse/bundles", bundles));
    for (Entry& bundle : bundles) {
        // Uploads that go on have other names.
        if (service::is_valid_digest(bundle.path.filename().string()))
            out.push_back(std::move(bundle));
    }
    return out;
}

class Busy {
public:
    Busy(bool& flag, const fs::path& copy) : flag_(flag), copy_(copy) { flag_ = true; }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;
    ~Busy() {
        ::unlink(copy_.c_str());
        flag_ = false;
    }

private:
    bool& flag_;
    const fs::path& copy_;
};

}  // namespace

Backup::Backup(Loop& loop, BundleStore& bundles, fs::path data_dir, fs::path database)
    : loop_(loop),
      bundles_(bundles),
      data_dir_(std::move(data_dir)),
      database_(std::move(database)),
      copy_(data_dir_ / "lighthouse/backup.tmp") {}

Task<Result<>> Backup::send(http::ServerRequest& request) {
    if (is_busy_) co_return fail(Code::kConflict, "another backup is being made");
    const Busy busy(is_busy_, copy_);
    const auto kept = bundles_.keep_all();
    auto sent = co_await send_files(request);
    co_return sent;
}

Task<Result<>> Backup::send_files(http::ServerRequest& request) {
    auto prepare = [database = database_, copy = copy_,
                    data_dir = data_dir_]() -> Result<std::vector<Entry>> {
        CANDELA_TRY(remove_file(copy));  // of a lighthouse that was killed
        CANDELA_TRY(store::copy_sqlite(database.string(), copy.string()));
        return list_files(data_dir, copy);
    };
    auto entries = co_await offload(loop_, std::move(prepare));
    if (!entries) co_return fail(entries.error());
    http::ResponseHead head;
    head.headers.add("Content-Type", "application/octet-stream");
    head.headers.add("Cache-Control", "no-store");
    CO_TRY(co_await request.begin(std::move(head)));
    for (const Entry& entry : *entries) {
        auto open = [path = entry.path] { return File::open(path); };
        auto file = co_await offload(loop_, std::move(open));
        if (!file) co_return fail(file.error());
        const std::string line = backup_file_head(entry.name, (*file)->mode, (*file)->size_bytes);
        CO_TRY(co_await request.write(line));
        for (;;) {
            auto read = [file = *file] { return file->read(); };
            auto bytes = co_await offload(loop_, std::move(read));
            if (!bytes) co_return fail(bytes.error());
            if (bytes->empty()) break;
            CO_TRY(co_await request.write(*bytes));
        }
    }
    const std::string end = backup_end(entries->size());
    CO_TRY(co_await request.write(end));
    auto ended = co_await request.end();
    co_return ended;
}

}  // namespace candela::lighthouse
