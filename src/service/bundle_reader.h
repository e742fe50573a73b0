#pragma once

// Reads the entries of a bundle: zstd by libzstd with a bounded window, tar by libarchive, and the
// limits that hold whatever the archive says of itself. Blocking.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "service/bundle.h"
#include "service/file_descriptor.h"

struct archive;
struct ZSTD_DCtx_s;

namespace candela::service {

enum class EntryType : uint8_t { kFile, kFolder, kLink };

class BundleReader {
public:
    BundleReader(FileDescriptor file, const BundleLimits& limits);
    ~BundleReader();
    BundleReader(const BundleReader&) = delete;
    BundleReader& operator=(const BundleReader&) = delete;

    Result<> open();

    struct Entry {
        std::string path;  // normal form; "" is the root
        EntryType type = EntryType::kFile;
        unsigned mode = 0;        // permission bits
        std::string link_target;  // checked
    };
    // False after the last one.
    Result<bool> next(Entry& entry);
    // Up to `size` bytes of the entry's data; 0 at its end.
    Result<size_t> read_data(char* out, size_t size);

    const BundleInfo& info() const { return info_; }  // without digest

private:
    static ssize_t read_archive(archive*, void* context, const void** bytes);
    ssize_t decompress(const void** bytes);
    Result<> check_ratio() const;
    std::unexpected<Error> archive_failure(std::string_view what);

    struct ArchiveFree {
        void operator()(archive* a) const;
    };
    struct ContextFree {
        void operator()(ZSTD_DCtx_s* c) const;
    };

    FileDescriptor file_;
    const BundleLimits& limits_;
    std::unique_ptr<ZSTD_DCtx_s, ContextFree> zstd_;
    std::vector<char> input_, output_;
    size_t input_at_ = 0, input_end_ = 0;
    bool is_inside_frame_ = false;  // a zstd frame has begun and not ended
    uint64_t tar_bytes_ = 0;
    std::string stream_error_;
    std::unique_ptr<archive, ArchiveFree> archive_;
    BundleInfo info_;
};

}  // namespace candela::service
