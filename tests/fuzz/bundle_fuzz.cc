// Unpacking on any bytes, taken as a tar (compressed here) and as a whole bundle: it ends, and writes
// nothing outside of its folder, where nothing may be left after a refusal.

#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "service/bundle.h"

using namespace candela;

namespace {

std::filesystem::path make_folder() {
    std::string pattern = "/tmp/candela-fuzz-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) abort();
    return pattern;
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
    std::vector<char> packed(ZSTD_compressBound(size));
    const size_t packed_size = ZSTD_compress(packed.data(), packed.size(), data, size, 1);
    if (ZSTD_isError(packed_size) != 0) abort();
    unpack(work, packed.data(), packed_size);
    return 0;
}
