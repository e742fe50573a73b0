#include <netdb.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "loop/uv_stream_impl.h"

namespace candela {

namespace {

// Resolves, then tries the addresses one after another. The requests of libuv live in a shared
// state of their own; the attempt that the caller holds only points to it.
struct ConnectState {
    UvLoop* loop = nullptr;
    Address address;
    Loop::ConnectHandler on_connect;  // empty once called or cancelled
    uv_connect_t request{};
    std::vector<sockaddr_storage> candidates;
    size_t next = 0;
    UvStreamBlock* block = nullptr;
    unsigned references = 1;

    void release() {
        if (--references == 0) delete this;
    }

    void finish(Result<StreamPtr> result) {
        auto handler = std::move(on_connect);
        on_connect = nullptr;
        if (handler) handler(std::move(result));
    }
    void finish_later(Error error) {
        ++references;
        loop->defer([this, error = std::move(error)]() mutable {
            finish(fail(std::move(error)));
            release();
        });
    }

    void start();
    void resolve();
    void on_resolved(const addrinfo* found);
    void try_next(int last_status);
    void on_result(int status);
    std::string what() const { return fmt::format("connecting to {}", address.to_string()); }
};

void ConnectState::start() {
    if (address.kind == Address::Kind::kUnix) {
        block = UvStreamBlock::make(loop->uv(), false);
        request.data = this;
        ++references;
        uv_pipe_connect(&request, &block->handle.pipe, address.host.c_str(),
                        [](uv_connect_t* done, int status) {
                            static_cast<ConnectState*>(done->data)->on_result(status);
                        });
        return;
    }
    sockaddr_storage literal{};
    if (uv_ip4_addr(address.host.c_str(), address.port, reinterpret_cast<sockaddr_in*>(&literal)) ==
            0 ||
        uv_ip6_addr(address.host.c_str(), address.port,
                    reinterpret_cast<sockaddr_in6*>(&literal)) == 0) {
        candidates.push_back(literal);
        try_next(UV_EADDRNOTAVAIL);
        return;
    }
    resolve();
}

// Cancelled or not, the question is asked to its end: nothing can call getaddrinfo(3) back.
void ConnectState::resolve() {
    struct Answer {
        int status = 0;
        int system_error = 0;
        addrinfo* found = nullptr;
        ~Answer() {
            if (found != nullptr) ::freeaddrinfo(found);
        }
    };
    auto answer = std::make_shared<Answer>();
    ++references;
    loop->offload_slow(
        [answer, host = address.host, port = std::to_string(address.port)] {
            addrinfo hints{};
            hints.ai_socktype = SOCK_STREAM;
            hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
            answer->status = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &answer->found);
            answer->system_error = errno;
        },
        [this, answer] {
            if (on_connect && answer->status == EAI_SYSTEM)
                finish(fail(Error::system(what(), answer->system_error)));
            else if (on_connect && answer->status != 0)
                finish(fail(Code::kUnreachable, "{}: {}", what(), ::gai_strerror(answer->status)));
            else if (on_connect)
                on_resolved(answer->found);
            release();
        });
}

void ConnectState::on_resolved(const addrinfo* found) {
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
        sockaddr_storage storage{};
        std::memcpy(&storage, each->ai_addr, each->ai_addrlen);
        candidates.push_back(storage);
    }
    try_next(UV_EADDRNOTAVAIL);
}

void ConnectState::try_next(int last_status) {
    while (next < candidates.size()) {
        const auto* target = reinterpret_cast<const sockaddr*>(&candidates[next++]);
        block = UvStreamBlock::make(loop->uv(), true);
        request.data = this;
        last_status = uv_tcp_connect(&request, &block->handle.tcp, target,
                                     [](uv_connect_t* done, int status) {
                                         static_cast<ConnectState*>(done->data)->on_result(status);
                                     });
        if (last_status == 0) {
            ++references;
            return;
        }
        std::exchange(block, nullptr)->close();
    }
    finish_later(uv_failure(what(), last_status));
}

void ConnectState::on_result(int status) {
    if (UvStreamBlock* connected = std::exchange(block, nullptr)) {
        if (status == 0) {
            finish(StreamPtr(std::make_unique<UvStream>(*loop, connected)));
        } else {
            connected->close();
            if (on_connect) try_next(status);
        }
    }
    release();
}

class UvConnectAttempt final : public ConnectAttempt {
public:
    explicit UvConnectAttempt(ConnectState* state) : state_(state) {}
    ~UvConnectAttempt() override {
        state_->on_connect = nullptr;
        if (UvStreamBlock* block = std::exchange(state_->block, nullptr)) block->close();
        state_->release();
    }

private:
    ConnectState* state_;
};

}  // namespace

std::unique_ptr<ConnectAttempt> uv_connect_to(UvLoop& loop, const Address& address,
                                              Loop::ConnectHandler on_connect) {
    auto* state = new ConnectState;
    state->loop = &loop;
    state->address = address;
    state->on_connect = std::move(on_connect);
    auto attempt = std::make_unique<UvConnectAttempt>(state);
    state->start();
    return attempt;
}

}  // namespace candela
