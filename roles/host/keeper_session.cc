#include "keeper_session.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "base/text.h"
#include "keeper/wire.h"
#include "keeper_folder.h"

namespace candela::host {

namespace {

constexpr timeval kTimeout{5, 0};

Result<Fd> connect_to(const std::string& path) {
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd.get() < 0) return fail_errno("making a socket", errno);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) return fail_errno(path, ENAMETOOLONG);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kTimeout, sizeof(kTimeout)) != 0 ||
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kTimeout, sizeof(kTimeout)) != 0 ||
        connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        return fail_errno("the instance's keeper", errno);
    }
    return fd;
}

// The head of the frame, with which the descriptors go.
Result<> send_head(int socket, const keeper::FrameHead& head, const SessionFds& fds) {
    const int numbers[3] = {fds.input.get(), fds.output.get(), fds.errors.get()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(numbers))] = {};
    iovec part{const_cast<keeper::FrameHead*>(&head), sizeof(head)};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* const goes = CMSG_FIRSTHDR(&message);
    goes->cmsg_level = SOL_SOCKET;
    goes->cmsg_type = SCM_RIGHTS;
    goes->cmsg_len = CMSG_LEN(sizeof(numbers));
    std::memcpy(CMSG_DATA(goes), numbers, sizeof(numbers));
    if (sendmsg(socket, &message, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof(head)))
        return fail_errno("the instance's keeper", errno);
    return {};
}

Result<> send_all(int socket, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return fail_errno("the instance's keeper", errno);
        bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return {};
}

}  // namespace

Result<Fd> connect_to_keeper(const std::filesystem::path& folder) {
    CANDELA_TRY_ASSIGN(const KeeperSocket socket, KeeperSocket::find(folder));
    return connect_to(socket.path());
}

Result<Fd> send_session(const std::filesystem::path& folder, const std::string& plan,
                        const SessionFds& fds) {
    CANDELA_TRY_ASSIGN(Fd connection, connect_to_keeper(folder));
    keeper::FrameHead head;
    head.size = static_cast<uint32_t>(plan.size());
    head.message = static_cast<uint8_t>(keeper::Message::kSession);
    CANDELA_TRY(send_head(connection.get(), head, fds));
    CANDELA_TRY(send_all(connection.get(), plan));
    return connection;
}

}  // namespace candela::host
