#pragma once

// The bundles on this host: DIR/host/bundles/<sha256>/, unpacked. Each is fetched once however many
// instances ask, verified (signature, signer, digest) before anything is unpacked, and removed when
// nobody wanted it for a while or room is needed. Lives on the control loop; files are handled on
// the pool.

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

struct BundleStoreOptions {
    std::filesystem::path folder;
    uint64_t bytes_max = 20ULL << 30;  // of all bundles, unpacked
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
    // Removes what nobody wanted for options.keep. Called now and then by the owner.
    void collect();

    uint64_t used_bytes() const;
    size_t size() const { return bundles_.size(); }

private:
    struct Bundle {
        uint64_t bytes = 0;
        MonoTime unwanted_since{};
    };
    struct Fetch {
        Event done;
        std::optional<Error> error;
    };

    Task<void> fetch(std::string digest, uint64_t size_bytes, std::shared_ptr<Fetch> state);
    Task<Result<uint64_t>> fetch_and_unpack(std::string digest, uint64_t size_bytes);
    Task<Result<>> download(std::string digest, uint64_t size_bytes, std::filesystem::path file);
    struct Download;
    Task<void> download_worker(std::shared_ptr<Download> download);
    Task<Result<std::string>> read_chunk(const Download& download, uint64_t offset,
                                         uint32_t length);
    Task<Result<>> make_room(uint64_t bytes);
    void remove(const std::string& digest);
    void discard(const std::filesystem::path& path);
    // Only what is known to be on the disk is trusted after a restart.
    Task<void> sync(std::string digest);

    Loop& loop_;
    BundleSource& source_;
    BundleStoreOptions options_;
    Logger log_;
    std::map<std::string, Bundle> bundles_;
    std::map<std::string, std::shared_ptr<Fetch>> fetches_;
    std::set<std::string> wanted_;
    TaskGroup tasks_;
};

}  // namespace candela::host
