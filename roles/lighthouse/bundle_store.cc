#include "bundle_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/hash.h"
#include "loop/file.h"
#include "service/bundle.h"

namespace candela::lighthouse {

namespace {

constexpr std::string_view kUploadPrefix = ".upload-";

Result<> remove_unfinished(const std::filesystem::path& folder) {
    CANDELA_TRY(make_directories(folder, 0700));
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        if (entry.path().filename().string().starts_with(kUploadPrefix)) {
            CANDELA_TRY(remove_file(entry.path()));
        }
    }
    if (error) return fail_errno(folder.string(), error.value());
    return {};
}

Result<std::string> read_part(const std::filesystem::path& path, uint64_t offset, uint32_t length) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno(path.string(), errno);
    std::string bytes(length, '\0');
    size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t got = ::pread(fd, bytes.data() + done, bytes.size() - done,
                                    static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            const int saved = errno;
            ::close(fd);
            return fail_errno(path.string(), saved);
        }
        if (got == 0) break;
        done += static_cast<size_t>(got);
    }
    ::close(fd);
    bytes.resize(done);
    return bytes;
}

Result<size_t> collect_unused(const std::filesystem::path& folder,
                              const std::set<std::string>& used,
                              std::filesystem::file_time_type before) {
    size_t removed = 0;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        const std::string name = entry.path().filename().string();
        if (used.contains(name) || !service::is_valid_digest(name)) continue;
        std::error_code ignored;
        const auto written = entry.last_write_time(ignored);
        if (ignored || written > before) continue;
        CANDELA_TRY(remove_file(entry.path()));
        ++removed;
    }
    if (error) return fail_errno(folder.string(), error.value());
    return removed;
}

}  // namespace

// Touched by one piece of work on the pool at a time.
struct BundleStore::Upload::File {
    std::filesystem::path path;
    std::filesystem::path folder;
    int fd = -1;
    crypto::Sha256 hash;
    uint64_t size_bytes = 0;
    bool is_finished = false;

    ~File() {
        if (fd >= 0) ::close(fd);
        if (!is_finished && !path.empty()) ::unlink(path.c_str());
    }

    Result<> append(std::string_view bytes) {
        if (fd < 0) {
            fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
            if (fd < 0) return fail_errno(path.string(), errno);
        }
        hash.update(as_bytes(bytes));
        size_bytes += bytes.size();
        while (!bytes.empty()) {
            const ssize_t written = ::write(fd, bytes.data(), bytes.size());
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) return fail_errno("storing the bundle", errno);
            bytes.remove_prefix(static_cast<size_t>(written));
        }
        return {};
    }

    Result<uint64_t> publish(const std::string& digest) {
        CANDELA_TRY(append(""));
        const std::string found = hash.finish_hex();
        if (found != digest) {
            return fail(Code::kCorrupt, "the bundle's digest is {}, not {}", found, digest);
        }
        if (::fsync(fd) != 0) return fail_errno("storing the bundle", errno);
        if (::rename(path.c_str(), (folder / digest).c_str()) != 0) {
            return fail_errno("storing the bundle", errno);
        }
        is_finished = true;
        const int dir = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir >= 0) {
            ::fsync(dir);
            ::close(dir);
        }
        return size_bytes;
    }
};

BundleStore::BundleStore(Loop& loop, std::filesystem::path folder, uint64_t size_bytes_max)
    : loop_(loop), folder_(std::move(folder)), size_bytes_max_(size_bytes_max) {}

Task<Result<>> BundleStore::open() {
    auto work = [folder = folder_] { return remove_unfinished(folder); };
    auto result = co_await offload(loop_, std::move(work));
    co_return result;
}

Task<Result<uint64_t>> BundleStore::size_of(std::string digest) {
    if (!service::is_valid_digest(digest)) {
        co_return fail(Code::kInvalid, "'{}' is not a digest: 64 lower-case hex digits", digest);
    }
    auto work = [path = path_of(digest), digest]() -> Result<uint64_t> {
        struct stat info{};
        if (::stat(path.c_str(), &info) == 0) return static_cast<uint64_t>(info.st_size);
        if (errno == ENOENT) return fail(Code::kNotFound, "there is no bundle {}", digest);
        return fail_errno(path.string(), errno);
    };
    auto result = co_await offload(loop_, std::move(work));
    co_return result;
}

Task<Result<std::string>> BundleStore::read(std::string digest, uint64_t offset, uint32_t length) {
    auto work = [path = path_of(digest), offset, length] {
        return read_part(path, offset, length);
    };
    auto result = co_await offload(loop_, std::move(work));
    co_return result;
}

Result<std::unique_ptr<BundleStore::Upload>> BundleStore::begin() {
    if (uploads_ >= kUploadsMax) {
        return fail(Code::kExhausted, "{} uploads are going on already", kUploadsMax);
    }
    auto file = std::make_shared<Upload::File>();
    file->folder = folder_;
    file->path = folder_ / fmt::format("{}{}", kUploadPrefix, ++next_upload_);
    ++uploads_;
    return std::unique_ptr<Upload>(new Upload(*this, std::move(file)));
}

BundleStore::Upload::~Upload() { --store_.uploads_; }

Task<Result<>> BundleStore::Upload::write(std::string bytes) {
    if (file_->size_bytes + bytes.size() > store_.size_bytes_max_) {
        co_return fail(Error(
            Code::kExhausted,
            fmt::format("a bundle may have {} bytes at most", store_.size_bytes_max_), EMSGSIZE));
    }
    auto work = [file = file_, bytes = std::move(bytes)] { return file->append(bytes); };
    auto result = co_await offload(store_.loop_, std::move(work));
    co_return result;
}

Task<Result<uint64_t>> BundleStore::Upload::finish(std::string digest) {
    auto work = [file = file_, digest] { return file->publish(digest); };
    auto result = co_await offload(store_.loop_, std::move(work));
    co_return result;
}

std::shared_ptr<void> BundleStore::keep_all() {
    std::shared_ptr<void> keeper = keeper_.lock();
    if (keeper == nullptr) keeper = std::make_shared<char>();
    keeper_ = keeper;
    return keeper;
}

Task<Result<size_t>> BundleStore::collect(std::set<std::string> used) {
    if (!keeper_.expired()) co_return 0U;
    // Files' times are the wall clock's; the loop's own may be simulated.
    const auto before = std::filesystem::file_time_type::clock::now() - kKeptAtLeast;
    auto work = [folder = folder_, used = std::move(used), before] {
        return collect_unused(folder, used, before);
    };
    auto result = co_await offload(loop_, std::move(work));
    co_return result;
}

}  // namespace candela::lighthouse
