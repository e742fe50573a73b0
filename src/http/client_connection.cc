#include "http/client_connection_impl.h"

#include <algorithm>

#include "base/time.h"

namespace candela::http::detail {

// A flow that waits for something to change; gone when the flow is.
struct ClientConnection::Waiting {
    explicit Waiting(ClientConnection& c) : connection(c) { connection.waiting_ = this; }
    ~Waiting() {
        if (connection.waiting_ == this) connection.waiting_ = nullptr;
    }
    ClientConnection& connection;
    Completion<bool> done;
};

ClientConnection::ClientConnection(std::weak_ptr<ClientPool> pool, const ClientOptions& options,
                                   StreamPtr stream, std::string key)
    : pool_(std::move(pool)),
      options_(options),
      key_(std::move(key)),
      stream_(std::move(stream)),
      parser_(options.limits),
      idle_timer_(stream_->loop().timers(), [this] { drop_from_pool(); }),
      peer_(stream_->peer().to_string()) {
    stream_->start(*this);
}

ClientConnection::~ClientConnection() = default;

// Waking may destroy this connection: callers return at once.
void ClientConnection::wake() {
    if (waiting_ == nullptr) return;
    Waiting* const waiting = std::exchange(waiting_, nullptr);
    waiting->done.complete(true);
}

Task<bool> ClientConnection::wait(Duration timeout) {
    Waiting waiting(*this);
    Timer timer(stream_->loop().timers(), [&waiting] { waiting.done.complete(false); });
    timer.start(timeout);
    co_return co_await waiting.done;
}

void ClientConnection::fail_with(Error error) {
    keep_alive_ = false;
    if (!error_) error_.emplace(std::move(error));
    if (is_idle_) return drop_from_pool();
    wake();
}

Error ClientConnection::timeout_error(std::string_view what, Duration timeout) const {
    return Error(Code::kTimeout,
                 fmt::format("{}: {} for {}", peer_, what, format_duration(timeout)));
}

void ClientConnection::on_data(std::string_view bytes) {
    if (is_idle_) return drop_from_pool();  // nobody asked
    answer_begun_ = true;
    while (!complete_ && !error_) {
        const ParseEvent event = parser_.parse(bytes);
        if (event == ParseEvent::kNeedMore) break;
        switch (event) {
            case ParseEvent::kHead:
                if (parser_.is_interim()) break;
                keep_alive_ = keep_alive_ && parser_.framing().keep_alive;
                head_ = std::move(parser_.head());
                head_ready_ = true;
                break;
            case ParseEvent::kBody: body_.append(parser_.body()); break;
            case ParseEvent::kComplete: complete_ = head_ready_; break;
            case ParseEvent::kError:
                return fail_with(
                    Error(Code::kCorrupt, fmt::format("{}: the answer is not valid HTTP: {}", peer_,
                                                      parser_.error().reason)));
            case ParseEvent::kNeedMore: break;
        }
    }
    if (!bytes.empty()) keep_alive_ = false;
    if (body_.size() >= options_.body_buffer_bytes_max && !paused_) {
        paused_ = true;
        stream_->pause();
    }
    wake();
}

void ClientConnection::on_end() {
    keep_alive_ = false;
    if (is_idle_) return drop_from_pool();
    if (complete_) return;
    const bool between = parser_.is_between_messages();
    if (!between && parser_.finish() == ParseEvent::kComplete) {
        complete_ = true;
        return wake();
    }
    fail_with(Error(Code::kUnreachable,
                    fmt::format("{}: the connection ended {}", peer_,
                                between ? "without an answer" : "in the middle of the answer")));
}

void ClientConnection::on_error(const Error& error) {
    if (complete_ && !is_idle_) {
        keep_alive_ = false;
        return;
    }
    fail_with(error.in(peer_));
}

Result<> ClientConnection::write_head(const ClientRequest& request) {
    RequestHead head;
    head.method = request.method;
    head.target = request.target;
    std::string host = request.host;
    if (host.empty()) {
        host =
            request.address.kind == Address::Kind::kTcp ? request.address.to_string() : "localhost";
    }
    head.headers.add("Host", host);
    is_chunked_ = false;
    if (request.body_source == nullptr) {
        // RFC 9110 §8.6: methods that mean something by a body say its length even when it is zero.
        const bool has_meaning = request.method != "GET" && request.method != "HEAD" &&
                                 request.method != "DELETE" && request.method != "OPTIONS";
        if (!request.body.empty() || has_meaning) {
            head.headers.add("Content-Length", fmt::format("{}", request.body.size()));
        }
    } else if (request.body_length_bytes) {
        head.headers.add("Content-Length", fmt::format("{}", *request.body_length_bytes));
    } else {
        head.headers.add("Transfer-Encoding", "chunked");
        is_chunked_ = true;
    }
    for (const Headers::Field field : request.headers) {
        if (field.id == FieldId::kHost || field.id == FieldId::kContentLength ||
            field.id == FieldId::kTransferEncoding) {
            continue;
        }
        head.headers.add(field.name, field.value);
    }
    if (!request.headers.first_invalid().empty()) {
        return fail(Code::kInvalid, "header field \"{}\" can't be sent",
                    request.headers.first_invalid());
    }
    std::string text;
    CANDELA_TRY(serialize(head, text));
    const std::string_view parts[] = {text,
                                      request.body_source ? std::string_view() : request.body};
    stream_->write(parts);
    return {};
}

Task<Result<ResponseHead>> ClientConnection::exchange(ClientRequest& request) {
    answer_begun_ = head_ready_ = complete_ = false;
    sent_bytes_ = progress_bytes_ = 0;
    idle_timeout_ = request.idle_timeout;
    body_.clear();
    parser_.expect(request.method == "HEAD", false);
    CO_TRY(write_head(request));
    if (request.body_source != nullptr) {
        Result<> sent = co_await send_body(request);
        if (!sent) co_return fail(std::move(sent).error());
    }
    while (!head_ready_ && !error_) {
        const size_t queued = stream_->queued_bytes();
        const Duration timeout = queued > 0 ? request.idle_timeout : request.first_byte_timeout;
        const bool woken = co_await wait(timeout);
        if (woken || stream_->queued_bytes() < queued) continue;
        co_return fail(timeout_error("no answer", timeout));
    }
    if (!head_ready_) co_return fail(*error_);
    report_progress(request);
    co_return std::move(head_);
}

// Stops early where an answer comes before the body's end: the server does not want the rest.
Task<Result<>> ClientConnection::send_body(ClientRequest& request) {
    while (!head_ready_ && !error_) {
        Result<std::optional<std::string>> piece = co_await request.body_source->next();
        if (!piece) co_return fail(std::move(piece).error());
        if (!*piece) {
            if (is_chunked_) stream_->write(kLastChunk);
            if (request.body_length_bytes.value_or(sent_bytes_) == sent_bytes_)
                co_return Result<>();
            co_return fail(Code::kInvalid, "the request's body ended after {} of {} bytes",
                           sent_bytes_, *request.body_length_bytes);
        }
        if ((*piece)->empty()) continue;
        sent_bytes_ += (*piece)->size();
        if (request.body_length_bytes && sent_bytes_ > *request.body_length_bytes) {
            co_return fail(Code::kInvalid,
                           "the request's body is longer than the {} bytes announced",
                           *request.body_length_bytes);
        }
        Result<> written = co_await write_piece(request, **piece);
        if (!written) co_return fail(std::move(written).error());
    }
    keep_alive_ = false;
    co_return Result<>();
}

Task<Result<>> ClientConnection::write_piece(ClientRequest& request, std::string_view piece) {
    if (is_chunked_) {
        ChunkLine line;
        const std::string_view parts[] = {chunk_line(piece.size(), line), piece, "\r\n"};
        stream_->write(parts);
    } else {
        stream_->write(piece);
    }
    size_t queued = stream_->queued_bytes();
    while (queued > options_.write_buffer_bytes_max && !head_ready_ && !error_) {
        const bool woken = co_await wait(request.idle_timeout);
        const size_t before = std::exchange(queued, stream_->queued_bytes());
        if (!woken && queued >= before) {
            co_return fail(timeout_error("it takes no more of the request", request.idle_timeout));
        }
    }
    report_progress(request);
    co_return Result<>();
}

void ClientConnection::report_progress(const ClientRequest& request) {
    if (!request.on_progress) return;
    // The queue holds chunk lines too, so that this is a little low at times; never does it go
    // back.
    const uint64_t total = request.body_source ? sent_bytes_ : request.body.size();
    const uint64_t arrived = total - std::min<uint64_t>(stream_->queued_bytes(), total);
    if (arrived <= progress_bytes_) return;
    progress_bytes_ = arrived;
    request.on_progress(arrived);
}

Task<Result<std::optional<std::string>>> ClientConnection::read_chunk() {
    while (body_.empty() && !complete_ && !error_) {
        const bool woken = co_await wait(idle_timeout_);
        if (!woken) co_return fail(timeout_error("nothing more of the answer", idle_timeout_));
    }
    if (body_.empty() && !complete_) co_return fail(*error_);
    if (body_.empty()) co_return std::optional<std::string>();
    std::string chunk = std::move(body_);
    body_.clear();
    if (paused_) {
        paused_ = false;
        stream_->resume();
    }
    co_return std::optional<std::string>(std::move(chunk));
}

void ClientConnection::enter_pool(Duration timeout) {
    is_idle_ = true;
    parser_.release();
    body_ = std::string();
    idle_timer_.start(timeout);
}

// Destroys this connection.
void ClientConnection::drop_from_pool() {
    if (const std::shared_ptr<ClientPool> pool = pool_.lock()) pool->drop(*this);
}

std::unique_ptr<ClientConnection> ClientPool::take(const std::string& key) {
    const auto found = std::find_if(idle_.rbegin(), idle_.rend(),
                                    [&](const auto& idle) { return idle->key() == key; });
    if (found == idle_.rend()) return nullptr;
    std::unique_ptr<ClientConnection> connection = std::move(*found);
    idle_.erase(std::prev(found.base()));
    connection->leave_pool();
    return connection;
}

void ClientPool::put(std::unique_ptr<ClientConnection> connection) {
    if (options.pooled_connections_max == 0) return;
    if (idle_.size() >= options.pooled_connections_max) idle_.pop_front();
    connection->enter_pool(options.pooled_idle_timeout);
    idle_.push_back(std::move(connection));
}

void ClientPool::drop(ClientConnection& connection) {
    idle_.remove_if([&](const auto& idle) { return idle.get() == &connection; });
}

}  // namespace candela::http::detail
