#include "node/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <fmt/format.h>

namespace candela {

ServiceManager ServiceManager::from_environment() {
    const char* path = std::getenv("NOTIFY_SOCKET");
    std::string copy = path != nullptr ? path : "";
    unsetenv("NOTIFY_SOCKET");
    return ServiceManager(std::move(copy));
}

void ServiceManager::ready(std::string_view status) const {
    send(fmt::format("READY=1\nSTATUS={}", status));
}

void ServiceManager::status(std::string_view status) const {
    send(fmt::format("STATUS={}", status));
}

void ServiceManager::reloading() const {
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    // Type=notify-reload wants the time of the reload's begin (sd_notify(3)).
    const uint64_t microseconds =
        static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
    send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", microseconds));
}

void ServiceManager::stopping(std::string_view status) const {
    send(fmt::format("STOPPING=1\nSTATUS={}", status));
}

void ServiceManager::main_pid(int pid) const { send(fmt::format("MAINPID={}", pid)); }

void ServiceManager::send(const std::string& message) const {
    sockaddr_un address = {};
    if (path_.empty() || path_.size() >= sizeof address.sun_path) return;
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    if (path_.front() == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
    // A manager that does not listen is nothing that we could mend: its own timeout tells it.
    static_cast<void>(sendto(fd, message.data(), message.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address), length));
    close(fd);
}

}  // namespace candela
