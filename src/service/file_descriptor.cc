#include "service/file_descriptor.h"

#include <cerrno>
#include <cstdint>
#include <vector>

#include "crypto/hash.h"

namespace candela::service {

Result<std::string> digest_open_file(int fd, std::string_view name) {
    crypto::Sha256 hash;
    std::vector<uint8_t> buffer(256 * 1024);
    for (;;) {
        const ssize_t count = read(fd, buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno(name, errno);
        if (count == 0) return hash.finish_hex();
        hash.update(ByteView(buffer.data(), static_cast<size_t>(count)));
    }
}

}  // namespace candela::service
