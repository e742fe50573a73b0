#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <vector>

#include "base/check.h"
#include "loop/fd.h"
#include "loop/listener_book.h"
#include "loop/move_stream.h"
#include "loop/uv_stream_impl.h"

namespace candela {

namespace {

class UvListener final : public Listener, public BookedListener {
public:
    UvListener(UvLoop& loop, UvStreamBlock* block, Loop::AcceptHandler on_accept, Address address)
        : loop_(loop),
          blocks_{block},
          on_accept_(std::move(on_accept)),
          address_(std::move(address)) {}

    ~UvListener() override {
        const bool is_unix = address_.kind == Address::Kind::kUnix;
        // One that never came to accept leaves the file to the process that does.
        const bool is_given_away = is_held_ || (book_ != nullptr && book_->is_given_away());
        if (id_ != 0) book_->remove(id_);
        for (UvStreamBlock* block : blocks_) {
            block->handle.any.data = block;
            block->close();
        }
        if (is_unix && !is_given_away) ::unlink(address_.host.c_str());
    }

    void note_in(ListenerBook* book, int fd, const Address& wanted, bool is_held) {
        book_ = book;
        is_held_ = is_held;
        if (book == nullptr) return;
        id_ = book->add(loop_, *this, fd, wanted.to_string(), address_.to_string(), is_held);
    }

    Result<> open(UvStreamBlock* block, int backlog) {
        backlog_ = backlog;
        block->handle.any.data = this;
        const int status =
            uv_listen(&block->handle.stream, backlog, [](uv_stream_t* server, int result) {
                if (result == 0) static_cast<UvListener*>(server->data)->accept(*server);
            });
        if (status != 0) {
            return fail(uv_failure(fmt::format("listening on {}", address_.to_string()), status));
        }
        return {};
    }

    void set_backlog(int backlog) { backlog_ = backlog; }
    const Address& address() const override { return address_; }

private:
    // The socket listens already: what libuv may say is a defect of ours.
    void start_accepting() override {
        is_held_ = false;
        CANDELA_CHECK(open(blocks_.front(), backlog_).has_value());
    }
    void adopt(Fd socket) override {
        const int fd = socket.get();
        UvStreamBlock* block = UvStreamBlock::make(loop_.uv(), blocks_.front()->is_tcp);
        const int status = block->is_tcp ? uv_tcp_open(&block->handle.tcp, fd)
                                         : uv_pipe_open(&block->handle.pipe, fd);
        CANDELA_CHECK(status == 0);
        socket.release();
        blocks_.push_back(block);
        book_->add_socket(id_, fd);
        CANDELA_CHECK(open(block, backlog_).has_value());
    }

    void accept(uv_stream_t& server) {
        UvStreamBlock* accepted = UvStreamBlock::make(loop_.uv(), blocks_.front()->is_tcp);
        if (uv_accept(&server, &accepted->handle.stream) != 0) {
            accepted->close();  // the peer has gone already
            return;
        }
        on_accept_(std::make_unique<UvStream>(loop_, accepted));
    }

    UvLoop& loop_;
    std::vector<UvStreamBlock*> blocks_;  // one, or more where sockets were left over
    Loop::AcceptHandler on_accept_;
    Address address_;
    ListenerBook* book_ = nullptr;
    uint64_t id_ = 0;  // in the book
    int backlog_ = 0;
    bool is_held_ = false;  // inherited, and not accepting yet
};

Result<int> bind_tcp(const Address& address, const ListenOptions& options) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    const std::string service = std::to_string(address.port);
    const std::string host = address.host == "*" ? "" : address.host;
    const std::string where = fmt::format("listening on {}", address.to_string());
    addrinfo* found = nullptr;
    // Names here come from the operator's profile and are resolved once, at start.
    const int status =
        getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &found);
    if (status != 0) {
        return fail(Code::kInvalid, "{}: {}", where, gai_strerror(status));
    }
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, &freeaddrinfo);
    Fd fd(::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd.get() < 0) return fail_errno(where, errno);
    const int on = 1;
    if (setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (options.reuse_port &&
         setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        ::bind(fd.get(), found->ai_addr, found->ai_addrlen) != 0) {
        return fail_errno(where, errno);
    }
    return fd.release();
}

// A socket file that nobody listens on is left over from a process that was killed.
void remove_stale_socket(const sockaddr_un& name) {
    struct stat info{};
    if (::lstat(name.sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) return;
    const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 &&
        errno == ECONNREFUSED) {
        ::unlink(name.sun_path);
    }
}

Result<int> bind_unix(const Address& address, const ListenOptions& options) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    const std::string where = fmt::format("listening on {}", address.to_string());
    if (address.host.size() >= sizeof name.sun_path) {
        return fail(Code::kInvalid, "{}: the path is longer than {} bytes", where,
                    sizeof name.sun_path - 1);
    }
    std::memcpy(name.sun_path, address.host.c_str(), address.host.size());
    remove_stale_socket(name);
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    // The mode set before bind() is the one the file gets: there is no moment when it is wider.
    if (fd.get() < 0 || ::fchmod(fd.get(), options.unix_mode) != 0 ||
        ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
        return fail_errno(where, errno);
    }
    return fd.release();
}

Address bound_address(int fd, const Address& wanted) {
    if (wanted.kind != Address::Kind::kTcp) return wanted;
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    if (getsockname(fd, address, &length) != 0) return wanted;
    return address_of(address);
}

}  // namespace

Result<std::unique_ptr<Listener>> adopt_listener(Loop& loop, Fd fd, Loop::AcceptHandler on_accept) {
    auto* uv = dynamic_cast<UvLoop*>(&loop);
    if (uv == nullptr) return fail(Code::kUnsupported, "only a libuv loop has sockets");
    UvStreamBlock* block = UvStreamBlock::make(uv->uv(), true);
    auto listener = std::make_unique<UvListener>(
        *uv, block, std::move(on_accept), bound_address(fd.get(), Address::tcp("127.0.0.1", 0)));
    const int status = uv_tcp_open(&block->handle.tcp, fd.get());
    if (status != 0) return fail(uv_failure("opening a listener", status));
    fd.release();
    CANDELA_TRY(listener->open(block, ListenOptions().backlog));
    return std::unique_ptr<Listener>(std::move(listener));
}

Result<std::unique_ptr<Listener>> uv_listen_on(UvLoop& loop, const Address& address,
                                               const ListenOptions& options,
                                               Loop::AcceptHandler on_accept) {
    const bool tcp = address.kind == Address::Kind::kTcp;
    ListenerBook* const book = loop.listener_book();
    std::optional<Fd> fd;
    if (book != nullptr) fd = book->claim(address.to_string());
    const bool is_inherited = fd.has_value();
    if (!is_inherited) {
        CANDELA_TRY_ASSIGN(const int bound,
                           tcp ? bind_tcp(address, options) : bind_unix(address, options));
        fd.emplace(bound);
    }
    UvStreamBlock* block = UvStreamBlock::make(loop.uv(), tcp);
    auto listener = std::make_unique<UvListener>(loop, block, std::move(on_accept),
                                                 bound_address(fd->get(), address));
    const int status = tcp ? uv_tcp_open(&block->handle.tcp, fd->get())
                           : uv_pipe_open(&block->handle.pipe, fd->get());
    if (status != 0) return fail(uv_failure("opening a listener", status));
    listener->note_in(book, fd->release(), address, is_inherited);
    listener->set_backlog(options.backlog);
    if (!is_inherited) CANDELA_TRY(listener->open(block, options.backlog));
    return std::unique_ptr<Listener>(std::move(listener));
}

}  // namespace candela
