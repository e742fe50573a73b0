#pragma once

// What the bus's load programs share: connections over plain TCP that block, and waiting for
// several of them. What goes wrong ends the program.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "auth/creds_file.h"
#include "base/text.h"
#include "bus/protocol.h"
#include "loop/address.h"

namespace candela::bench {

using Clock = std::chrono::steady_clock;

[[noreturn]] inline void die(std::string_view what) {
    std::fprintf(stderr, "bench-bus-load: %.*s\n", static_cast<int>(what.size()), what.data());
    std::exit(1);
}

class Peer {
public:
    Peer(const Address& address, const auth::Credentials& credentials) {
        fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(address.port);
        ::inet_pton(AF_INET, address.host.c_str(), &to.sin_addr);
        if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) die("can't connect");
        const int on = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        log_in(credentials);
    }
    ~Peer() { ::close(fd_); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    int fd() const { return fd_; }
    void send(std::string_view text) {
        while (!text.empty()) {
            const ssize_t count = ::write(fd_, text.data(), text.size());
            if (count <= 0) die("the server closed the connection");
            text.remove_prefix(static_cast<size_t>(count));
        }
    }
    // What came, in a buffer that the thread's next call uses again, for whichever peer.
    std::string_view receive() {
        thread_local std::vector<char> buffer(256 * 1024);
        const ssize_t count = ::read(fd_, buffer.data(), buffer.size());
        if (count <= 0) die("the server closed the connection: " + seen_);
        return {buffer.data(), static_cast<size_t>(count)};
    }
    // Everything before has been processed.
    void flush() {
        send("PING\r\n");
        wait_for("PONG\r\n");
    }
    void wait_for(std::string_view text) {
        seen_.clear();
        while (seen_.find(text) == std::string::npos) seen_ += receive();
    }

private:
    void log_in(const auth::Credentials& credentials) {
        wait_for("\r\n");
        const size_t at = seen_.find("\"nonce\":\"") + 9;
        const std::string nonce = seen_.substr(at, seen_.find('"', at) - at);
        const crypto::Signature signature = credentials.key.sign(nonce);
        send(
            fmt::format("CONNECT {{\"jwt\":\"{}\",\"sig\":\"{}\",\"verbose\":false,\"protocol\":1,"
                        "\"headers\":true,\"no_responders\":true}}\r\n",
                        credentials.jwt, base64url_encode(signature)));
        flush();
    }

    int fd_ = -1;
    std::string seen_;
};

// Waits for several peers at once.
class Poller {
public:
    Poller() : fd_(::epoll_create1(0)) {}
    ~Poller() { ::close(fd_); }
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;

    void add(const Peer& peer, size_t index) const {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = index;
        if (::epoll_ctl(fd_, EPOLL_CTL_ADD, peer.fd(), &event) != 0) die("epoll");
    }
    // Calls `on_ready(index)` for each peer that has something to read.
    template <class OnReady>
    void wait(OnReady on_ready) {
        const int count = ::epoll_wait(fd_, events_, 64, 30'000);
        if (count <= 0) die("nothing came for 30 s");
        for (int i = 0; i < count; ++i) on_ready(static_cast<size_t>(events_[i].data.u64));
    }

private:
    int fd_;
    epoll_event events_[64]{};
};

inline size_t number(const char* text) {
    const Result<uint64_t> value = parse_uint(text);
    if (!value) die("a number is wrong");
    return *value;
}

}  // namespace candela::bench
