#include "bundle_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "loop/file.h"
#include "service/file_descriptor.h"

namespace candela::host {

namespace {

constexpr int kChunkAttempts = 3;
constexpr Duration kChunkRetryPause = 500ms;
constexpr std::string_view kSyncedSuffix =
    ".synced";  // beside the folder: its size, once on the disk

Result<> write_at(int fd, std::string_view data, uint64_t offset) {
    while (!data.empty()) {
        const ssize_t count = pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno("writing a bundle", errno);
        data.remove_prefix(static_cast<size_t>(count));
        offset += static_cast<uint64_t>(count);
    }
    return {};
}

}  // namespace

struct BundleStore::Download {
    std::string digest;
    uint64_t size_bytes = 0;
    uint64_t next_offset = 0;
    std::shared_ptr<service::FileDescriptor> file;
    std::optional<Error> error;
};

BundleStore::BundleStore(Loop& loop, BundleSource& source, BundleStoreOptions options, Logger log)
    : loop_(loop), source_(source), options_(std::move(options)), log_(std::move(log)) {}

BundleStore::~BundleStore() = default;

Result<> BundleStore::open() {
    CANDELA_TRY(make_directories(options_.folder, 0700));
    std::vector<std::filesystem::path> leftovers;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(options_.folder, error)) {
        const std::string name = entry.path().filename().native();
        if (name.size() == 64 + kSyncedSuffix.size() && name.ends_with(kSyncedSuffix)) {
            if (!std::filesystem::exists(options_.folder / name.substr(0, 64))) {
                leftovers.push_back(entry.path());
            }
            continue;
        }
        const auto text = service::is_valid_digest(name)
                              ? read_file(options_.folder / (name + std::string(kSyncedSuffix)), 32)
                              : Result<std::string>(fail(Code::kNotFound, "not a bundle"));
        const auto bytes = text ? parse_uint(*text) : Result<uint64_t>(fail(text.error()));
        if (bytes)
            bundles_[name] = Bundle{*bytes, loop_.now()};
        else
            leftovers.push_back(entry.path());
    }
    if (error) return fail_errno(options_.folder.native(), error.value());
    for (const auto& path : leftovers) discard(path);
    return {};
}

Task<Result<std::string>> BundleStore::acquire(std::string digest, uint64_t size_bytes,
                                               std::string signature, std::string signer) {
    CO_TRY(service::verify_digest(digest, signature, signer));
    const bool is_allowed = options_.signers.empty() ||
                            std::ranges::find(options_.signers, signer) != options_.signers.end();
    if (!is_allowed) {
        co_return fail(Code::kDenied, "bundle {} is signed by {}, who is not among [host] signers",
                       digest.substr(0, 12), signer);
    }
    wanted_.insert(digest);
    if (!bundles_.contains(digest)) {
        std::shared_ptr<Fetch>& running = fetches_[digest];
        if (running == nullptr) {
            running = std::make_shared<Fetch>();
            const std::shared_ptr<Fetch> started = running;
            tasks_.spawn(fetch(digest, size_bytes, started));
            if (started->error) co_return fail(*started->error);
        }
    }
    const auto found = fetches_.find(digest);
    if (found != fetches_.end()) {
        const std::shared_ptr<Fetch> running = found->second;
        co_await running->done.wait();
        if (running->error) co_return fail(*running->error);
    }
    co_return (options_.folder / digest).native();
}

Task<void> BundleStore::fetch(std::string digest, uint64_t size_bytes,
                              std::shared_ptr<Fetch> state) {
    const MonoTime begun = loop_.now();
    auto unpacked_bytes = co_await fetch_and_unpack(digest, size_bytes);
    if (unpacked_bytes) {
        bundles_[digest] = Bundle{*unpacked_bytes, loop_.now()};
        log_.info("bundle_fetched", {{"bundle", digest.substr(0, 12)},
                                     {"bytes", size_bytes},
                                     {"unpacked_bytes", *unpacked_bytes},
                                     {"took", loop_.now() - begun}});
        tasks_.spawn(sync(digest));
    } else {
        log_.warn("bundle_not_fetched",
                  {{"bundle", digest.substr(0, 12)}, {"error", unpacked_bytes.error()}});
        state->error = unpacked_bytes.error();
    }
    fetches_.erase(digest);
    state->done.set();
}

Task<Result<uint64_t>> BundleStore::fetch_and_unpack(std::string digest, uint64_t size_bytes) {
    if (size_bytes == 0 || size_bytes > options_.limits.bundle_bytes_max) {
        co_return fail(Code::kExhausted, "bundle {} has {}; this host takes at most {}",
                       digest.substr(0, 12), format_size(size_bytes),
                       format_size(options_.limits.bundle_bytes_max));
    }
    // What it unpacks to is known afterwards; the limits see to it that the room is not exceeded.
    CO_TRY(co_await make_room(size_bytes * 2));
    const auto file = options_.folder / (digest + ".fetch");
    const auto target = options_.folder / digest;
    auto downloaded = co_await download(digest, size_bytes, file);
    Result<service::BundleInfo> info = fail(Code::kInternal, "not unpacked");
    if (downloaded) {
        service::BundleLimits limits = options_.limits;
        const uint64_t used = used_bytes();
        const uint64_t room = options_.bytes_max > used ? options_.bytes_max - used : 0;
        limits.size_bytes_max = std::min(limits.size_bytes_max, room);
        auto work = [file, digest, target, limits] {
            return service::unpack_bundle(file, digest, target, limits);
        };
        info = co_await offload(loop_, std::move(work));
    } else {
        info = fail(downloaded.error());
    }
    loop_.offload([file] { static_cast<void>(remove_file(file)); }, [] {});
    if (!info) co_return fail(info.error());
    co_return info->unpacked_bytes;
}

Task<Result<>> BundleStore::download(std::string digest, uint64_t size_bytes,
                                     std::filesystem::path file) {
    auto opened = std::make_shared<service::FileDescriptor>(
        ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!*opened) co_return fail_errno(file.native(), errno);
    auto download = std::make_shared<Download>();
    download->digest = std::move(digest);
    download->size_bytes = size_bytes;
    download->file = opened;
    TaskGroup workers;
    for (size_t i = 0; i < options_.window; ++i) workers.spawn(download_worker(download));
    co_await workers.wait_empty();
    if (download->error) co_return fail(*download->error);
    co_return Result<>();
}

// Each worker takes the next chunk until there is none; together they are the window.
Task<void> BundleStore::download_worker(std::shared_ptr<Download> download) {
    while (!download->error && download->next_offset < download->size_bytes) {
        const uint64_t offset = download->next_offset;
        const auto length = static_cast<uint32_t>(
            std::min<uint64_t>(options_.chunk_bytes, download->size_bytes - offset));
        download->next_offset += length;
        auto data = co_await read_chunk(*download, offset, length);
        Result<> written;
        if (data) {
            auto work = [file = download->file, bytes = std::move(*data), offset] {
                return write_at(file->get(), bytes, offset);
            };
            written = co_await offload(loop_, std::move(work));
        } else {
            written = fail(data.error());
        }
        if (!written && !download->error) download->error = written.error();
    }
}

Task<Result<std::string>> BundleStore::read_chunk(const Download& download, uint64_t offset,
                                                  uint32_t length) {
    proto::BundleRead request;
    request.digest = download.digest;
    request.offset = offset;
    request.length = length;
    for (int attempt = 1;; ++attempt) {
        auto chunk = co_await source_.read(request);
        if (chunk && chunk->failure) chunk = fail(chunk->failure.to_error());
        if (chunk) {
            const bool fits = chunk->total_bytes == download.size_bytes &&
                              chunk->offset == offset && chunk->data.size() == length;
            if (fits) co_return std::move(chunk->data);
            co_return fail(Code::kCorrupt, "bundle {}: the chunk at {} is not what was asked for",
                           download.digest.substr(0, 12), offset);
        }
        const Code code = chunk.error().code();
        const bool may_pass = code == Code::kTimeout || code == Code::kUnreachable;
        if (!may_pass || attempt == kChunkAttempts) {
            const std::string context =
                fmt::format("fetching bundle {}", download.digest.substr(0, 12));
            co_return fail(chunk.error().in(context));
        }
        co_await sleep_for(loop_, kChunkRetryPause);
    }
}

uint64_t BundleStore::used_bytes() const {
    uint64_t bytes = 0;
    for (const auto& [digest, bundle] : bundles_) bytes += bundle.bytes;
    return bytes;
}

Task<Result<>> BundleStore::make_room(uint64_t bytes) {
    while (used_bytes() + bytes > options_.bytes_max) {
        const std::string* oldest = nullptr;
        MonoTime since{};
        for (const auto& [digest, bundle] : bundles_) {
            if (wanted_.contains(digest)) continue;
            if (oldest == nullptr || bundle.unwanted_since < since) {
                oldest = &digest;
                since = bundle.unwanted_since;
            }
        }
        if (oldest == nullptr) {
            co_return fail(Code::kExhausted,
                           "no room for another bundle: {} of {} are in use ([host] "
                           "bundles_size_max)",
                           format_size(used_bytes()), format_size(options_.bytes_max));
        }
        remove(std::string(*oldest));
    }
    co_return Result<>();
}

void BundleStore::set_wanted(std::set<std::string> digests) {
    for (auto& [digest, bundle] : bundles_) {
        if (wanted_.contains(digest) && !digests.contains(digest))
            bundle.unwanted_since = loop_.now();
    }
    wanted_ = std::move(digests);
}

void BundleStore::collect() {
    std::vector<std::string> old;
    for (const auto& [digest, bundle] : bundles_) {
        const bool is_old = loop_.now() - bundle.unwanted_since >= options_.keep;
        if (!wanted_.contains(digest) && is_old) old.push_back(digest);
    }
    for (const std::string& digest : old) remove(digest);
}

void BundleStore::remove(const std::string& digest) {
    bundles_.erase(digest);
    log_.info("bundle_removed", {{"bundle", digest.substr(0, 12)}});
    std::error_code ignored;  // what is left is swept at the next start
    std::filesystem::remove(options_.folder / (digest + std::string(kSyncedSuffix)), ignored);
    discard(options_.folder / digest);
}

void BundleStore::discard(const std::filesystem::path& path) {
    // Out of the way at once, so that the same bundle can be fetched again meanwhile.
    const std::string doomed = fmt::format("{}.{:x}", path.native(), loop_.random().next());
    if (rename(path.c_str(), doomed.c_str()) != 0) {
        log_.warn("bundle_not_removed", {{"error", Error::system(path.native(), errno)}});
        return;
    }
    loop_.offload([doomed] { static_cast<void>(remove_tree(doomed)); }, [] {});
}

Task<void> BundleStore::sync(std::string digest) {
    const auto folder = options_.folder / digest;
    const auto marker = options_.folder / (digest + std::string(kSyncedSuffix));
    const uint64_t bytes = bundles_[digest].bytes;
    auto work = [folder, marker, bytes]() -> Result<> {
        const service::FileDescriptor fd(
            ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!fd) return fail_errno(folder.native(), errno);
        if (syncfs(fd.get()) != 0) return fail_errno(folder.native(), errno);
        return write_file(marker, std::to_string(bytes), 0600);
    };
    const auto synced = co_await offload(loop_, std::move(work));
    if (!synced) log_.warn("bundle_not_synced", {{"error", synced.error()}});
}

}  // namespace candela::host
