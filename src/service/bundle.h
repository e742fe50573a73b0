#pragma once

// A bundle is the immutable archive of a service's files: tar (pax) in zstd, named by the SHA-256
// of its bytes. The same files give the same bytes (with the same libzstd): names are sorted, owner
// and times are fixed; modes and symbolic links are kept. Everything here blocks and belongs on the
// pool (offload); memory stays below a few MiB whatever the bundle's size. Functions are free of
// shared state: any thread.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace candela::service {

// What packing and unpacking refuse to go beyond; kExhausted names the limit.
struct BundleLimits {
    uint64_t files_max = 200'000;            // files, folders and links together
    uint64_t size_bytes_max = 8ULL << 30;    // of all files, unpacked
    uint64_t bundle_bytes_max = 4ULL << 30;  // of the archive itself
    uint64_t ratio_max = 200;  // unpacked to packed, looked at beyond ratio_free_bytes
    uint64_t ratio_free_bytes = 2ULL << 30;
    size_t path_length_max = 1024;  // bytes of a name with its folders
    size_t depth_max = 64;          // folders within one another
};

struct BundleInfo {
    std::string digest;       // 64 lower-case hex digits
    uint64_t size_bytes = 0;  // of the archive
    uint64_t files = 0;       // entries in it
    uint64_t unpacked_bytes = 0;
};

// Told now and then while packing; returning false stops it with kCancelled.
using PackProgress = std::function<bool(uint64_t files, uint64_t bytes)>;

// Packs the folder into the file `out`, which appears whole or not at all. What .candelaignore in
// the folder's root names stays out (ignore.h), and so do .git and .candelaignore itself. A file
// that is neither regular, folder nor link, a link that leads out of the folder (bundle_path.h),
// and a file that changes while it is read are errors that name it.
Result<BundleInfo> pack_bundle(const std::filesystem::path& folder,
                               const std::filesystem::path& out, const BundleLimits& limits = {},
                               const PackProgress& progress = {});

// The SHA-256 of a file's bytes, as hex.
Result<std::string> digest_file(const std::filesystem::path& file);

// Signatures are Ed25519 over the digest's text, written as base64url. `seed` and `signer` are
// nkeys of a user or account ("SU…", "UA…").
Result<std::string> sign_digest(std::string_view digest, std::string_view seed);
// kDenied where the signature is not the signer's for this digest. Whether the signer may is the
// caller's to know.
Result<> verify_digest(std::string_view digest, std::string_view signature,
                       std::string_view signer);

// True for 64 lower-case hex digits: safe in a path and a subject.
bool is_valid_digest(std::string_view digest);

// Reads the archive's digest first (kCorrupt where it differs from the one wanted), then unpacks
// into a new folder beside `target` and renames it: `target` appears whole or not at all, and must
// not exist. Refused, with the entry's name: absolute names, "..", names through a link, links that
// lead out of the bundle, hard links, devices, pipes, sockets, the same name twice (but for
// folders), names that are not UTF-8, and whatever meets a limit. Modes lose set-uid, set-gid,
// sticky and the write bits of group and others; the owner can always read files and enter folders.
Result<BundleInfo> unpack_bundle(const std::filesystem::path& archive, std::string_view digest,
                                 const std::filesystem::path& target,
                                 const BundleLimits& limits = {});

// The text of one regular file at the bundle's root (service.toml, say), read without unpacking
// the rest; kNotFound where there is none. At most size_max bytes.
Result<std::string> read_bundle_file(const std::filesystem::path& archive, std::string_view name,
                                     size_t size_max);

}  // namespace candela::service
