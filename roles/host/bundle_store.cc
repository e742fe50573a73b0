#include "bundle_store.h"

#include <fcntl.h>
#include <sys/statvfs.h>
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

// What is free of a disk beyond the reserve.
struct DiskRoom : DiskSpace {
    uint64_t reserve = 0;

    bool has(uint64_t bytes) const { return free >= reserve && free - reserve >= bytes; }
};

Result<DiskRoom> disk_room(const BundleStoreOptions& options) {
    CANDELA_TRY_ASSIGN(const DiskSpace space, options.disk(options.folder));
    DiskRoom room;
    static_cast<DiskSpace&>(room) = space;
    room.reserve = std::min(options.disk_reserve, space.all / 20);
    return room;
}

std::string say(const DiskRoom& room) {
    return fmt::format("{} of {} are free, and {} stay so ([host] disk_reserve)",
                       format_size(room.free), format_size(room.all), format_size(room.reserve));
}

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

Result<DiskSpace> disk_space(const std::filesystem::path& folder) {
    struct statvfs disk{};
    if (::statvfs(folder.c_str(), &disk) != 0) return fail_errno(folder.native(), errno);
    DiskSpace space;
    space.free = uint64_t{disk.f_bavail} * disk.f_frsize;
    space.all = uint64_t{disk.f_blocks} * disk.f_frsize;
    return space;
}

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
        const auto text =
            service::is_valid_digest(name)
                ? read_file(options_.folder / (name + std::string(kSyncedSuffix)), 128)
                : Result<std::string>(fail(Code::kNotFound, "not a bundle"));
        // "<bytes> <digest of the tree>"; an older host wrote no digest.
        const auto parts = text ? split(*text, ' ') : std::vector<std::string_view>();
        const auto bytes = parts.empty() ? Result<uint64_t>(fail(Code::kNotFound, "no size"))
                                         : parse_uint(parts.front());
        if (!bytes) {
            leftovers.push_back(entry.path());
            continue;
        }
        Bundle& found = bundles_[name];
        found.bytes = *bytes;
        found.unwanted_since = loop_.now();
        if (parts.size() > 1) found.tree = parts[1];
    }
    if (error) return fail_errno(options_.folder.native(), error.value());
    for (const auto& path : leftovers) discard(path);
    tasks_.spawn(look_at_disk());
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
    std::shared_ptr<Fetch> running = fetches_[digest];
    if (running == nullptr) {
        running = std::make_shared<Fetch>();
        fetches_[digest] = running;
        tasks_.spawn(provide(digest, size_bytes, running));
    }
    co_await running->done.wait();
    if (running->error) co_return fail(*running->error);
    co_return (options_.folder / digest).native();
}

Task<void> BundleStore::provide(std::string digest, uint64_t size_bytes,
                                std::shared_ptr<Fetch> state) {
    Result<> provided = fail(Code::kNotFound, "not here");
    if (bundles_.contains(digest)) {
        provided = co_await check(digest);
        if (!provided && bundles_.contains(digest)) set_aside(digest, provided.error());
    }
    if (!provided) provided = co_await fetch(digest, size_bytes);
    if (!provided) state->error = provided.error();
    fetches_.erase(digest);
    state->done.set();
}

// That it is what was unpacked: by what the file system says where that is known, otherwise, and at
// its first use in each life of the host, by its bytes.
Task<Result<>> BundleStore::check(std::string digest) {
    struct Seen {
        Result<> verdict;
        std::optional<TreeStamp> stamp;
    };
    const Bundle known = bundles_[digest];
    auto work = [folder = options_.folder / digest, known] {
        Seen seen;
        const auto stamp = stamp_tree(folder);
        if (!stamp) {
            seen.verdict = fail(stamp.error());
            return seen;
        }
        seen.stamp = *stamp;
        if (known.stamp && *known.stamp == *stamp) return seen;
        if (known.tree.empty()) {
            if (known.stamp) seen.verdict = fail(Code::kCorrupt, "its files have changed");
            return seen;
        }
        const auto tree = digest_tree(folder);
        if (!tree)
            seen.verdict = fail(tree.error());
        else if (*tree != known.tree)
            seen.verdict = fail(Code::kCorrupt, "its files are not what they were");
        return seen;
    };
    auto seen = co_await offload(loop_, std::move(work));
    const auto found = bundles_.find(digest);
    if (found == bundles_.end()) co_return fail(Code::kNotFound, "it was removed meanwhile");
    if (seen.verdict) found->second.stamp = seen.stamp;
    co_return seen.verdict;
}

// Those who run from it go on with what is there of it; a new one takes its place.
void BundleStore::set_aside(const std::string& digest, const Error& why) {
    log_.error("bundle_damaged", {{"bundle", digest.substr(0, 12)}, {"error", why}});
    bundles_.erase(digest);
    std::error_code ignored;  // what is left is swept at the next start
    std::filesystem::remove(options_.folder / (digest + std::string(kSyncedSuffix)), ignored);
    static_cast<void>(put_away(options_.folder / digest));
}

Task<Result<>> BundleStore::fetch(std::string digest, uint64_t size_bytes) {
    const MonoTime begun = loop_.now();
    auto unpacked_bytes = co_await fetch_and_unpack(digest, size_bytes);
    if (unpacked_bytes) {
        Bundle fetched;
        fetched.bytes = *unpacked_bytes;
        fetched.unwanted_since = loop_.now();
        bundles_[digest] = std::move(fetched);
        log_.info("bundle_fetched", {{"bundle", digest.substr(0, 12)},
                                     {"bytes", size_bytes},
                                     {"unpacked_bytes", *unpacked_bytes},
                                     {"took", loop_.now() - begun}});
        tasks_.spawn(sync(digest));
    } else {
        log_.warn("bundle_not_fetched",
                  {{"bundle", digest.substr(0, 12)}, {"error", unpacked_bytes.error()}});
        co_return fail(unpacked_bytes.error());
    }
    co_return Result<>();
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

std::optional<std::string> BundleStore::oldest_unwanted() const {
    std::optional<std::string> oldest;
    MonoTime since{};
    for (const auto& [digest, bundle] : bundles_) {
        if (wanted_.contains(digest)) continue;
        if (!oldest || bundle.unwanted_since < since) {
            oldest = digest;
            since = bundle.unwanted_since;
        }
    }
    return oldest;
}

Task<Result<>> BundleStore::make_room(uint64_t bytes) {
    for (;;) {
        auto work = [options = options_] { return disk_room(options); };
        auto room = co_await offload(loop_, std::move(work));
        if (!room) co_return fail(room.error());
        const bool is_over = used_bytes() + bytes > options_.bytes_max;
        if (!is_over && room->has(bytes)) co_return Result<>();
        auto oldest = oldest_unwanted();
        if (oldest) {
            co_await remove_now(std::move(*oldest));
            continue;
        }
        if (!is_over) {
            co_return fail(Code::kExhausted,
                           "no room on the disk for another bundle, which takes up to {}: {}",
                           format_size(bytes), say(*room));
        }
        co_return fail(Code::kExhausted,
                       "no room for another bundle: {} of {} are in use ([host] "
                       "bundles_size_max)",
                       format_size(used_bytes()), format_size(options_.bytes_max));
    }
}

Task<void> BundleStore::look_at_disk() {
    if (is_looking_) co_return;
    is_looking_ = true;
    for (;;) {
        auto work = [options = options_] { return disk_room(options); };
        auto room = co_await offload(loop_, std::move(work));
        const bool was_low = !trouble_.empty();
        if (!room) {
            trouble_ = room.error().message();
        } else if (room->has(0)) {
            trouble_.clear();
        } else {
            auto oldest = oldest_unwanted();
            if (oldest) {
                co_await remove_now(std::move(*oldest));
                continue;
            }
            trouble_ = fmt::format("the disk of {} is almost full: {}", options_.folder.native(),
                                   say(*room));
        }
        if (!was_low && !trouble_.empty()) log_.error("disk_low", {{"error", trouble_}});
        if (was_low && trouble_.empty()) log_.info("disk_low_over", {});
        break;
    }
    is_looking_ = false;
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
    tasks_.spawn(look_at_disk());
}

void BundleStore::remove(const std::string& digest) {
    bundles_.erase(digest);
    log_.info("bundle_removed", {{"bundle", digest.substr(0, 12)}});
    std::error_code ignored;  // what is left is swept at the next start
    std::filesystem::remove(options_.folder / (digest + std::string(kSyncedSuffix)), ignored);
    discard(options_.folder / digest);
}

Task<void> BundleStore::remove_now(std::string digest) {
    bundles_.erase(digest);
    log_.info("bundle_removed", {{"bundle", digest.substr(0, 12)}, {"for", "room"}});
    std::error_code ignored;  // what is left is swept at the next start
    std::filesystem::remove(options_.folder / (digest + std::string(kSyncedSuffix)), ignored);
    const auto doomed = put_away(options_.folder / digest);
    if (!doomed) co_return;
    auto work = [path = *doomed] { return remove_tree(path); };
    const auto removed = co_await offload(loop_, std::move(work));
    if (!removed) log_.warn("bundle_not_removed", {{"error", removed.error()}});
}

// So that the same bundle can be fetched again meanwhile.
std::optional<std::string> BundleStore::put_away(const std::filesystem::path& path) {
    std::string doomed = fmt::format("{}.{:x}", path.native(), loop_.random().next());
    if (rename(path.c_str(), doomed.c_str()) == 0) return doomed;
    log_.warn("bundle_not_removed", {{"error", Error::system(path.native(), errno)}});
    return std::nullopt;
}

void BundleStore::discard(const std::filesystem::path& path) {
    const auto doomed = put_away(path);
    if (!doomed) return;
    loop_.offload([doomed = *doomed] { static_cast<void>(remove_tree(doomed)); }, [] {});
}

Task<void> BundleStore::sync(std::string digest) {
    const auto folder = options_.folder / digest;
    const auto marker = options_.folder / (digest + std::string(kSyncedSuffix));
    const uint64_t bytes = bundles_[digest].bytes;
    struct Synced {
        std::string tree;
        TreeStamp stamp;
    };
    auto work = [folder, marker, bytes]() -> Result<Synced> {
        const service::FileDescriptor fd(
            ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!fd) return fail_errno(folder.native(), errno);
        if (syncfs(fd.get()) != 0) return fail_errno(folder.native(), errno);
        Synced synced;
        CANDELA_TRY_ASSIGN(synced.stamp, stamp_tree(folder));
        CANDELA_TRY_ASSIGN(synced.tree, digest_tree(folder));
        CANDELA_TRY(write_file(marker, fmt::format("{} {}", bytes, synced.tree), 0600));
        return synced;
    };
    const auto synced = co_await offload(loop_, std::move(work));
    if (!synced) {
        log_.warn("bundle_not_synced", {{"error", synced.error()}});
        co_return;
    }
    const auto found = bundles_.find(digest);
    if (found == bundles_.end()) co_return;
    found->second.tree = synced->tree;
    found->second.stamp = synced->stamp;
}

}  // namespace candela::host
