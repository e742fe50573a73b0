#pragma once

// Bundles as files named by their digest, in DIR/lighthouse/bundles. An upload goes to a file of
// its own and appears under its digest only when it is whole, verified and on disk. Everything that
// touches the disk runs on the pool. Lives on the control loop.

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "loop/flow.h"

namespace candela::lighthouse {

class BundleStore {
public:
    static constexpr size_t kUploadsMax = 16;     // at a time; one more is kExhausted
    static constexpr Duration kKeptAtLeast = 1h;  // unused, before the collection takes it

    BundleStore(Loop& loop, std::filesystem::path folder, uint64_t size_bytes_max);

    // Makes the folder and removes what unfinished uploads have left.
    Task<Result<>> open();

    // kNotFound where there is none.
    Task<Result<uint64_t>> size_of(std::string digest);
    Task<Result<std::string>> read(std::string digest, uint64_t offset, uint32_t length);
    std::filesystem::path path_of(std::string_view digest) const { return folder_ / digest; }

    // One upload; destroying it before finish() leaves nothing behind.
    class Upload {
    public:
        Task<Result<>> write(std::string bytes);
        // kCorrupt where the bytes do not have this digest; otherwise the bundle is there.
        Task<Result<uint64_t>> finish(std::string digest);
        ~Upload();

    private:
        friend class BundleStore;
        struct File;
        Upload(BundleStore& store, std::shared_ptr<File> file)
            : store_(store), file_(std::move(file)) {}
        BundleStore& store_;
        std::shared_ptr<File> file_;
    };
    Result<std::unique_ptr<Upload>> begin();

    // While somebody holds this, collect() removes nothing.
    std::shared_ptr<void> keep_all();

    // Removes bundles that are not in `used` and older than kKeptAtLeast; returns how many.
    Task<Result<size_t>> collect(std::set<std::string> used);

private:
    Loop& loop_;
    std::filesystem::path folder_;
    uint64_t size_bytes_max_;
    size_t uploads_ = 0;
    std::weak_ptr<void> keeper_;
    uint64_t next_upload_ = 0;
};

}  // namespace candela::lighthouse
