#include "keeper/doors.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper/wire.h"

namespace candela::keeper {

namespace {

constexpr int kBacklog = 1024;

sockaddr_in loopback(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

int make_socket() { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

// One small message to a socket that nobody has written to: it is taken at once.
void answer(int connection, int32_t error, uint8_t which, const int* descriptors, size_t count) {
    struct {
        FrameHead head;
        int32_t error;
        uint8_t which;
        uint8_t reserved[3];
    } frame{};
    frame.head.size = sizeof(frame) - sizeof(FrameHead);
    frame.head.message = static_cast<uint8_t>(Message::kDescriptors);
    frame.error = error;
    frame.which = which;
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
    iovec part{&frame, sizeof(frame)};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        cmsghdr* const goes = CMSG_FIRSTHDR(&message);
        goes->cmsg_level = SOL_SOCKET;
        goes->cmsg_type = SCM_RIGHTS;
        goes->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(goes), descriptors, count * sizeof(int));
    }
    // Who does not hear it asks again, or has gone.
    if (sendmsg(connection, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) errno = 0;
    close(connection);
}

}  // namespace

void Doors::close_all() {
    if (outer >= 0) close(outer);
    if (inner >= 0) close(inner);
    outer = inner = -1;
}

bool listen_on_loopback(uint32_t port, int& fd, Failure& failure) {
    if (port == 0) return true;
    const sockaddr_in address = loopback(static_cast<uint16_t>(port));
    const int on = 1;
    fd = make_socket();
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
        listen(fd, kBacklog) == 0) {
        return true;
    }
    failure = {"listening in its stead", errno};
    return false;
}

void hand_out_doors(const Doors& doors, int connection) {
    int descriptors[2];
    size_t count = 0;
    uint8_t which = 0;
    if (doors.outer >= 0) {
        descriptors[count++] = doors.outer;
        which |= 1;
    }
    if (doors.inner >= 0) {
        descriptors[count++] = doors.inner;
        which |= 2;
    }
    answer(connection, 0, which, descriptors, count);
}

void hand_out_connection(const Doors& doors, int connection) {
    if (doors.port == 0) return answer(connection, ENOTCONN, 0, nullptr, 0);
    const sockaddr_in address = loopback(doors.port);
    const int fd = make_socket();
    if (fd < 0) return answer(connection, errno, 0, nullptr, 0);
    int error = 0;
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        error = errno;
    // Of a loopback the answer is there already, unless the queue is full of whoever listens.
    pollfd wait{fd, POLLOUT, 0};
    socklen_t size = sizeof(error);
    if (error == EINPROGRESS &&
        (poll(&wait, 1, 0) == 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)) {
        error = 0;
    }
    if (error == 0)
        answer(connection, 0, 4, &fd, 1);
    else
        answer(connection, error, 0, nullptr, 0);
    close(fd);
}

}  // namespace candela::keeper
