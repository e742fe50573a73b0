#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <utility>

#include "base/check.h"
#include "loop/uv_stream_impl.h"

namespace candela {

Error uv_failure(std::string_view what, int uv_status) {
    // On unix libuv's codes are negated errno values, but for its own range of address errors.
    if (uv_status > -4000 && uv_status > -1000) return Error::system(what, -uv_status);
    return Error(Code::kUnreachable, fmt::format("{}: {}", what, uv_strerror(uv_status)));
}

Address address_of(const sockaddr* address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (address->sa_family == AF_INET) {
        const auto* in = reinterpret_cast<const sockaddr_in*>(address);
        uv_ip4_name(in, text.data(), text.size());
        return Address::tcp(text.data(), ntohs(in->sin_port));
    }
    if (address->sa_family == AF_INET6) {
        const auto* in6 = reinterpret_cast<const sockaddr_in6*>(address);
        uv_ip6_name(in6, text.data(), text.size());
        return Address::tcp(text.data(), ntohs(in6->sin6_port));
    }
    if (address->sa_family == AF_UNIX) {
        const auto* un = reinterpret_cast<const sockaddr_un*>(address);
        return Address::unix_socket(un->sun_path);
    }
    return Address();
}

UvStreamBlock* UvStreamBlock::make(uv_loop_t* loop, bool tcp) {
    auto* block = new UvStreamBlock;
    block->is_tcp = tcp;
    CANDELA_CHECK((tcp ? uv_tcp_init(loop, &block->handle.tcp)
                       : uv_pipe_init(loop, &block->handle.pipe, 0)) == 0);
    block->handle.any.data = block;
    return block;
}

void UvStreamBlock::close() {
    owner = nullptr;
    uv_close(&handle.any,
             [](uv_handle_t* closed) { static_cast<UvStreamBlock*>(closed->data)->unpin(); });
}

struct UvStream::PendingWrite {
    uv_write_t request{};
    std::string bytes;
    UvStreamBlock* block = nullptr;
};

UvStream::UvStream(UvLoop& loop, UvStreamBlock* block) : loop_(loop), block_(block) {
    block_->owner = this;
    if (block_->is_tcp) uv_tcp_nodelay(&block_->handle.tcp, 1);
}

// What the peer was to get is cut off: it hears of a reset, not of an end that looks like the
// whole. The kernel, too, drops what it holds for a reader that would never take it.
static void reset_on_close(const UvStreamBlock& block) {
    uv_os_fd_t fd = -1;
    if (!block.is_tcp || uv_fileno(&block.handle.any, &fd) != 0) return;
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

// Sockets are read and written (send_now) by syscall(2): glibc's recv(2) and send(2) are points of
// cancellation, which in a process with threads costs two atomic operations each, and nobody
// cancels a thread of ours.

// Into the loop's buffer: the number of bytes, zero at the end, or a negated errno.
static ssize_t receive_now(const UvStreamBlock& block, char* buffer) {
    uv_os_fd_t fd = -1;
    if (const int status = uv_fileno(&block.handle.any, &fd); status != 0) return status;
    ssize_t count = 0;
    do {
        count = ::syscall(SYS_recvfrom, fd, buffer, UvLoop::kReadBufferSize, MSG_DONTWAIT, nullptr,
                          nullptr);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

UvStream::~UvStream() {
    if (queued_bytes_ > 0) reset_on_close(*block_);
    block_->close();
}

void UvStream::start(StreamHandler& handler) {
    handler_ = &handler;
    resume();
}

void UvStream::pause() {
    if (!reading_) return;
    reading_ = false;
    uv_read_stop(&block_->handle.stream);
}

void UvStream::resume() {
    if (reading_ || ended_ || broken_) return;
    // The writing end of a pipe: there is nothing to read, and that is no error.
    if (uv_is_readable(&block_->handle.stream) == 0) return;
    reading_ = true;
    start_reading();
}

// Without a buffer libuv calls back instead of reading: a socket is received from, which costs
// less than the read(2) that libuv would do.
void UvStream::start_reading() {
    const int status = uv_read_start(
        &block_->handle.stream,
        [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
            if (static_cast<UvStreamBlock*>(handle->data)->is_tcp) {
                *buffer = uv_buf_init(nullptr, 0);
                return;
            }
            auto* loop = static_cast<UvLoop*>(handle->loop->data);
            *buffer = uv_buf_init(loop->read_buffer(), UvLoop::kReadBufferSize);
        },
        [](uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
            UvStream* owner = static_cast<UvStreamBlock*>(stream->data)->owner;
            if (owner == nullptr) return;
            if (count == UV_ENOBUFS && owner->block_->is_tcp)
                owner->receive();
            else
                owner->on_read(count, buffer->base);
        });
    if (status != 0) fail_soon(status);
}

// The handler may pause or destroy the stream.
void UvStream::receive() {
    constexpr int kReadsMax = 8;  // then the other streams have their turn
    const UvStreamPin pin(block_);
    for (int reads = 0; reads < kReadsMax; ++reads) {
        char* const buffer = loop_.read_buffer();
        const ssize_t count = receive_now(*block_, buffer);
        if (count == UV_EAGAIN) return;
        on_read(count == 0 ? static_cast<ssize_t>(UV_EOF) : count, buffer);
        if (std::cmp_less(count, UvLoop::kReadBufferSize)) return;
        if (pin.owner() == nullptr || !reading_) return;
    }
}

void UvStream::on_read(ssize_t count, const char* bytes) {
    if (count > 0) {
        handler_->on_data(std::string_view(bytes, static_cast<size_t>(count)));
    } else if (count == UV_EOF) {
        ended_ = true;
        pause();
        handler_->on_end();
    } else if (count < 0) {
        pause();
        if (broken_) return;
        broken_ = true;
        handler_->on_error(uv_failure("read", static_cast<int>(count)));
    }
}

// What the kernel takes of the parts at once, or a negated errno. send(2) spares a socket what
// write(2) does for files; and a few hundred bytes are copied in less time than the kernel takes to
// read a list of two.
ssize_t UvStream::send_now(std::span<uv_buf_t> parts, size_t total) {
    constexpr size_t kGatherMax = 1024;
    std::array<char, kGatherMax> gathered;
    if (!block_->is_tcp) {
        return uv_try_write(&block_->handle.stream, parts.data(),
                            static_cast<unsigned>(parts.size()));
    }
    const char* bytes = parts.front().base;
    if (parts.size() > 1) {
        if (total > kGatherMax) {
            return uv_try_write(&block_->handle.stream, parts.data(),
                                static_cast<unsigned>(parts.size()));
        }
        char* end = gathered.data();
        for (const uv_buf_t& part : parts) end = std::copy_n(part.base, part.len, end);
        bytes = gathered.data();
    }
    uv_os_fd_t fd = -1;
    if (const int status = uv_fileno(&block_->handle.any, &fd); status != 0) return status;
    ssize_t sent = 0;
    do {
        sent = ::syscall(SYS_sendto, fd, bytes, total, MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

void UvStream::write(std::span<const std::string_view> parts) {
    if (broken_ || ending_) return;
    if (queued_bytes_ > 0) {
        queue(parts, 0);
        return;
    }
    constexpr size_t kPartsMax = 16;
    std::array<uv_buf_t, kPartsMax> buffers;
    size_t total = 0;
    size_t used = 0;
    for (const std::string_view part : parts) {
        if (part.empty()) continue;
        if (used == kPartsMax) break;
        buffers[used++] =
            uv_buf_init(const_cast<char*>(part.data()), static_cast<unsigned>(part.size()));
        total += part.size();
    }
    if (used == 0) return;
    ssize_t sent = send_now(std::span(buffers).first(used), total);
    if (sent == UV_EAGAIN) sent = 0;
    if (sent < 0) {
        fail_soon(static_cast<int>(sent));
        return;
    }
    const bool all_tried = parts.size() <= kPartsMax;
    if (static_cast<size_t>(sent) == total && all_tried) return;
    queue(parts, static_cast<size_t>(sent));
}

void UvStream::queue(std::span<const std::string_view> parts, size_t skip) {
    for (std::string_view part : parts) {
        const size_t skipped = std::min(skip, part.size());
        skip -= skipped;
        part.remove_prefix(skipped);
        pending_ += part;
        queued_bytes_ += part.size();
    }
    if (in_flight_ == nullptr && !pending_.empty()) submit();
}

void UvStream::submit() {
    auto* pending = new PendingWrite;
    pending->bytes.swap(pending_);
    pending->block = block_;
    pending->request.data = pending;
    ++block_->pins;
    uv_buf_t buffer =
        uv_buf_init(pending->bytes.data(), static_cast<unsigned>(pending->bytes.size()));
    in_flight_ = pending;
    const int status = uv_write(
        &pending->request, &block_->handle.stream, &buffer, 1, [](uv_write_t* request, int result) {
            const std::unique_ptr<PendingWrite> done(static_cast<PendingWrite*>(request->data));
            UvStreamBlock* block = done->block;
            if (block->owner != nullptr) block->owner->on_written(result);
            block->unpin();
        });
    if (status == 0) return;
    in_flight_ = nullptr;
    delete pending;
    block_->unpin();
    fail_soon(status);
}

void UvStream::on_written(int status) {
    const size_t sent = in_flight_->bytes.size();
    in_flight_ = nullptr;
    if (status < 0) {
        if (status != UV_ECANCELED) fail_soon(status);
        return;
    }
    queued_bytes_ -= sent;
    if (!pending_.empty()) {
        submit();
        return;
    }
    if (ending_)
        shut_down();
    else if (handler_ != nullptr)
        handler_->on_drained();
}

void UvStream::end() {
    if (ending_ || broken_) return;
    ending_ = true;
    if (queued_bytes_ == 0) shut_down();
}

void UvStream::shut_down() {
    if (shut_down_) return;
    shut_down_ = true;
    auto* request = new uv_shutdown_t;
    const int status =
        uv_shutdown(request, &block_->handle.stream, [](uv_shutdown_t* done, int) { delete done; });
    // ENOTCONN: the peer has gone already; reading will say so.
    if (status != 0) delete request;
    if (handler_ == nullptr) return;
    loop_.defer([pin = UvStreamPin(block_)] {
        if (pin.owner() != nullptr) pin.owner()->handler_->on_drained();
    });
}

// The caller is in the middle of its own work: it hears of the failure in the next step of the
// loop.
void UvStream::fail_soon(int uv_status) {
    if (broken_) return;
    broken_ = true;
    const bool was_reading = reading_;
    pause();
    pending_.clear();
    loop_.defer([pin = UvStreamPin(block_), uv_status, was_reading] {
        if (was_reading && pin.owner() != nullptr) pin.owner()->hand_on_received(pin);
        UvStream* self = pin.owner();
        if (self != nullptr && self->handler_ != nullptr) {
            self->handler_->on_error(uv_failure("write", uv_status));
        }
    });
}

// A peer that answers and closes while we still write, as servers do that refuse a body, resets the
// connection; its answer has come before and is read before the failure is told. The handler may
// destroy the stream.
void UvStream::hand_on_received(const UvStreamPin& pin) {
    reading_ = true;
    while (pin.owner() != nullptr && reading_) {
        char* const buffer = loop_.read_buffer();
        const ssize_t count = receive_now(*block_, buffer);
        if (count <= 0) break;
        handler_->on_data(std::string_view(buffer, static_cast<size_t>(count)));
    }
    if (pin.owner() != nullptr) reading_ = false;
}

int UvStream::duplicate_fd() const {
    CANDELA_CHECK(handler_ == nullptr);
    uv_os_fd_t fd = -1;
    if (uv_fileno(&block_->handle.any, &fd) != 0) return -1;
    return ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

// The kernel forgets it with the connection, which may be reset before anybody asks again.
Address UvStream::peer() const {
    if (!block_->is_tcp) return Address::unix_socket("");
    if (peer_.has_value()) return *peer_;
    sockaddr_storage storage{};
    int length = sizeof storage;
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    if (uv_tcp_getpeername(&block_->handle.tcp, address, &length) != 0) return Address();
    return peer_.emplace(address_of(address));
}

Address UvStream::local() const {
    sockaddr_storage storage{};
    int length = sizeof storage;
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    if (!block_->is_tcp) return Address::unix_socket("");
    if (uv_tcp_getsockname(&block_->handle.tcp, address, &length) != 0) return Address();
    return address_of(address);
}

std::optional<uint32_t> UvStream::peer_uid() const {
    if (block_->is_tcp) return std::nullopt;
    uv_os_fd_t fd = -1;
    if (uv_fileno(&block_->handle.any, &fd) != 0) return std::nullopt;
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return std::nullopt;
    return credentials.uid;
}

}  // namespace candela
