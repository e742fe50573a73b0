#include "keeper_image.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace candela::host {

Result<int> open_keeper_image() {
    const int fd = memfd_create("candela-keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return fail_errno("making a file in memory", errno);
    std::string_view rest = keeper_image();
    while (!rest.empty()) {
        const ssize_t done = write(fd, rest.data(), rest.size());
        if (done <= 0) {
            const int error = errno;
            close(fd);
            return fail_errno("writing the keeper", error);
        }
        rest.remove_prefix(static_cast<size_t>(done));
    }
    constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (fcntl(fd, F_ADD_SEALS, kSeals) != 0) {
        const int error = errno;
        close(fd);
        return fail_errno("sealing the keeper", error);
    }
    return fd;
}

}  // namespace candela::host
