#include "keeper/link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

namespace candela::keeper {

void Link::open(int fd) {
    close();
    fd_ = fd;
}

void Link::close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    filled_ = sent_ = received_ = 0;
}

void Link::send(Message message, const void* first, size_t first_size, const void* second,
                size_t second_size) {
    if (!is_open()) return;
    FrameHead head;
    head.size = static_cast<uint32_t>(first_size + second_size);
    head.message = static_cast<uint8_t>(message);
    memcpy(out_, &head, sizeof(head));
    if (first_size > 0) memcpy(out_ + sizeof(head), first, first_size);
    if (second_size > 0) memcpy(out_ + sizeof(head) + first_size, second, second_size);
    filled_ = sizeof(head) + head.size;
    sent_ = 0;
    flush();
}

void Link::flush() {
    while (is_open() && is_sending()) {
        const ssize_t done =
            ::send(fd_, out_ + sent_, filled_ - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0 && errno == EAGAIN) return;
        if (done < 0) return close();
        sent_ += static_cast<size_t>(done);
    }
}

bool Link::fill() {
    for (;;) {
        const ssize_t got = recv(fd_, in_ + received_, sizeof(in_) - received_, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return false;
        if (got <= 0) {
            close();
            return false;
        }
        received_ += static_cast<size_t>(got);
        return true;
    }
}

bool Link::next_frame(size_t at, FrameHead& head) {
    if (received_ - at < sizeof(head)) return false;
    memcpy(&head, in_ + at, sizeof(head));
    if (head.size > kNoteSizeMax) {
        close();
        return false;
    }
    return received_ - at >= sizeof(head) + head.size;
}

void Link::drop(size_t size) {
    if (!is_open() || size == 0) return;
    received_ -= size;
    memmove(in_, in_ + size, received_);
}

bool receive_whole(int fd, void* bytes, size_t size, int timeout_ms) {
    char* to = static_cast<char*>(bytes);
    while (size > 0) {
        pollfd wait{fd, POLLIN, 0};
        if (poll(&wait, 1, timeout_ms) <= 0) return false;
        const ssize_t got = recv(fd, to, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        to += got;
        size -= static_cast<size_t>(got);
    }
    return true;
}

}  // namespace candela::keeper
