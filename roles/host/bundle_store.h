#pragma once

// The bundles on this host: DIR/host/bundles/<sha256>/, unpacked. Each is fetched once however many
// instances ask, verified (signature, signer, digest) before anything is unpacked, looked at again
// before each use (bundle_check.h) and fetched anew where it is not what it was, and removed when
// nobody wanted it for a while or room is needed. Some of the disk is always left to others. Lives
// on the control loop; files are handled on the pool.

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "bundle_check.h"
#include "loop/flow.h"
#include "proto/messages.h"
#include "service/bundle.h"

namespace candela::host {

// Where bundles come from: the lighthouse, over the bus.
class BundleSource {
public:
    virtual ~BundleSource() = default;
    virtual Task<Result<proto::BundleChunk>> read(proto::BundleRead request) = 0;
};

struct DiskSpace {
    uint64_t free = 0;
    uint64_t all = 0;
};
// Of the file system that a folder lies in. Blocks for a moment.
Result<DiskSpace> disk_space(const std::filesystem::path& folder);

struct BundleStoreOptions {
    std::filesystem::path folder;
    uint64_t bytes_max = 20ULL << 30;  // of all bundles, unpacked
    // What stays free of the disk, unless a twentieth of it is less; below it the host is in
    // trouble.
    uint64_t disk_reserve = 512ULL << 20;
    std::function<Result<DiskSpace>(const std::filesystem::path&)> disk = disk_space;
    Duration keep = 10min;             // how long one stays that nobody wants
    std::vector<std::string> signers;  // public keys; empty: any whose signature holds
    service::BundleLimits limits;
    size_t window = 4;  // requests at the same time, each for a chunk
    uint32_t chunk_bytes = 256 * 1024;
};

class BundleStore {
public:
    BundleStore(Loop& loop, BundleSource& source, BundleStoreOptions options, Logger log);
    ~BundleStore();
    BundleStore(const BundleStore&) = delete;
    BundleStore& operator=(const BundleStore&) = delete;

    // At start; reads one folder. Finds what is whole, removes what is not.
    Result<> open();

    // The folder of the unpacked bundle. Cancelling one caller's flow does not disturb the others.
    Task<Result<std::string>> acquire(std::string digest, uint64_t size_bytes,
                                      std::string signature, std::string signer);

    // What is in use, or will be: the rest may go.
    void set_wanted(std::set<std::string> digests);
    // Removes what nobody wanted for options.keep, and where the disk is almost full all that
    // nobody wants. Called now and then by the owner.
    void collect();
    // Why no bundle can be taken, for people: the disk is almost full. Empty: nothing.
    const std::string& trouble() const { return trouble_; }

    uint64_t used_bytes() const;
    size_t size() const { return bundles_.size(); }

private:
    struct Bundle {
        uint64_t bytes = 0;
        MonoTime unwanted_since{};
        std::string tree;                // its digest_tree(); empty: not known
        std::optional<TreeStamp> stamp;  // when it was last found to be sound
    };
    struct Fetch {
        Event done;
        std::optional<Error> error;
    };

    Task<void> provide(std::string digest, uint64_t size_bytes, std::shared_ptr<Fetch> state);
    Task<Result<>> fetch(std::string digest, uint64_t size_bytes);
    Task<Result<>> check(std::string digest);
    void set_aside(const std::string& digest, const Error& why);
    Task<Result<uint64_t>> fetch_and_unpack(std::string digest, uint64_t size_bytes);
    Task<Result<>> download(std::string digest, uint64_t size_bytes, std::filesystem::path file);
    struct Download;
    Task<void> download_worker(std::shared_ptr<Download> download);
    Task<Result<std::string>> read_chunk(const Download& download, uint64_t offset,
                                         uint32_t length);
    Task<Result<>> make_room(uint64_t bytes);
    std::optional<std::string> oldest_unwanted() const;
    Task<void> look_at_disk();
    void remove(const std::string& digest);
    Task<void> remove_now(std::string digest);
    void discard(const std::filesystem::path& path);
    // Out of the way at once; absent where that fails.
    std::optional<std::string> put_away(const std::filesystem::path& path);
    // Only what is known to be on the disk is trusted after a restart.
    Task<void> sync(std::string digest);

    Loop& loop_;
    BundleSource& source_;
    BundleStoreOptions options_;
    Logger log_;
    std::map<std::string, Bundle> bundles_;
    std::map<std::string, std::shared_ptr<Fetch>> fetches_;
    std::set<std::string> wanted_;
    std::string trouble_;
    bool is_looking_ = false;
    TaskGroup tasks_;
};

}  // namespace candela::host
