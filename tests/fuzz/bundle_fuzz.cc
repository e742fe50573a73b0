// Unpacking on any bytes, taken as a tar (its checksums put right and compressed here, or nothing
// would pass them) and as a whole bundle: it ends, and leaves nothing behind after a refusal.

#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "service/bundle.h"

using namespace candela;

namespace {

std::filesystem::path make_folder() {
    // Memory, where there is such a folder: a disk would set the pace.
    for (std::string pattern : {"/dev/shm/candela-fuzz-XXXXXX", "/tmp/candela-fuzz-XXXXXX"}) {
        if (mkdtemp(pattern.data()) != nullptr) return pattern;
    }
    abort();
}

// Each header's checksum (POSIX ustar: bytes 148 to 155, counted as blanks) becomes the right one.
std::string with_checksums(std::string tar) {
    for (size_t at = 0; at + 512 <= tar.size();) {
        const std::string size_field = tar.substr(at + 124, 11);
        tar.replace(at + 148, 8, 8, ' ');
        unsigned sum = 0;
        for (size_t i = at; i < at + 512; ++i) sum += static_cast<unsigned char>(tar[i]);
        char digits[8];
        snprintf(digits, sizeof digits, "%06o", sum);
        tar.replace(at + 148, 7, digits, 7);
        const size_t size = std::strtoul(size_field.c_str(), nullptr, 8);
        if (size > tar.size()) break;
        at += 512 + (size + 511) / 512 * 512;
    }
    return tar;
}

void unpack(const std::filesystem::path& work, const void* data, size_t size) {
    const auto file = work / "bundle";
    const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) abort();
    close(fd);
    service::BundleLimits limits;
    limits.files_max = 50;
    limits.size_bytes_max = 1 << 20;
    limits.ratio_free_bytes = 1 << 16;
    const auto digest = service::digest_file(file);
    if (!digest) abort();
    const auto info = service::unpack_bundle(file, *digest, work / "out", limits);
    size_t entries = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(work)) ++entries;
    if (entries != (info ? 2 : 1)) abort();
    std::filesystem::remove_all(work / "out");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const std::filesystem::path work = make_folder();
    unpack(work, data, size);
    const std::string tar = with_checksums(std::string(reinterpret_cast<const char*>(data), size));
    std::vector<char> packed(ZSTD_compressBound(tar.size()));
    const size_t packed_size =
        ZSTD_compress(packed.data(), packed.size(), tar.data(), tar.size(), 1);
    if (ZSTD_isError(packed_size) != 0) abort();
    unpack(work, packed.data(), packed_size);
    return 0;
}
