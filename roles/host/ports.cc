#include "ports.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

namespace candela::host {

Ports::Ports(uint16_t first, uint16_t last, Random& random) : first_(first), last_(last) {
    CANDELA_CHECK(first >= 1024 && first <= last);
    next_ = static_cast<uint16_t>(first + random.below(uint64_t{last} - first + 1));
}

Result<uint16_t> Ports::take() {
    const int count = last_ - first_ + 1;
    for (int i = 0; i < count; ++i) {
        const uint16_t port = next_;
        next_ = port == last_ ? first_ : static_cast<uint16_t>(port + 1);
        if (taken_.contains(port) || !is_port_free(port)) continue;
        taken_.insert(port);
        return port;
    }
    return fail(Code::kExhausted, "no free port between {} and {} ([host] ports_first, ports_last)",
                first_, last_);
}

// Listening finds out what bind() with SO_REUSEADDR, which programs set too, lets pass.
static bool can_bind(int fd, const sockaddr* address, socklen_t length) {
    const int on = 1;
    const bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                    bind(fd, address, length) == 0 && listen(fd, 1) == 0;
    close(fd);
    return ok;
}

bool is_port_free(uint16_t port) {
    // With IPV6_V6ONLY off, [::] takes the IPv4 side too.
    const int fd6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd6 >= 0) {
        const int off = 0;
        setsockopt(fd6, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        sockaddr_in6 any{};
        any.sin6_family = AF_INET6;
        any.sin6_port = htons(port);
        return can_bind(fd6, reinterpret_cast<const sockaddr*>(&any), sizeof(any));
    }
    const int fd4 = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd4 < 0) return false;
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = htons(port);
    return can_bind(fd4, reinterpret_cast<const sockaddr*>(&any), sizeof(any));
}

}  // namespace candela::host
