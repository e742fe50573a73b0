#include "http/flow_server.h"

#include "base/text.h"
#include "http/flow_connection_impl.h"

namespace candela::http {

namespace {

// Connections beyond the limit that are being told so; beyond these they are closed without a word.
constexpr size_t kRefusalsMax = 32;

Error client_gone() { return Error(Code::kCancelled, "the client went away"); }
Error not_streaming() { return Error(Code::kInternal, "no streamed answer is under way"); }
Error too_large(size_t size_bytes_max) {
    return Error(Code::kExhausted,
                 fmt::format("the request's body is larger than {}", format_size(size_bytes_max)));
}

}  // namespace

// What a handler does to its connection.

void FlowServer::Connection::send_continue() {
    if (!continue_owed_) return;
    continue_owed_ = false;
    if (!request_->response_begun_) stream_->write("HTTP/1.1 100 Continue\r\n\r\n");
}

Task<Result<std::optional<std::string>>> FlowServer::Connection::read_chunk() {
    const ServerOptions& options = server_.options;
    while (true) {
        if (gone_) co_return fail(client_gone());
        if (!body_.empty()) {
            std::string chunk = std::move(body_);
            body_.clear();
            if (paused_ && held_.empty()) {
                paused_ = false;
                stream_->resume();
            }
            co_return std::optional<std::string>(std::move(chunk));
        }
        if (body_error_) co_return fail(*body_error_);
        if (body_complete_) co_return std::optional<std::string>();
        send_continue();

        const MonoTime since = server_.loop.now();
        waiting_body_ = true;
        timer_.start(options.body_rate_window - window_waited_);
        changed_.reset();
        co_await changed_.wait();
        waiting_body_ = false;
        timer_.stop();
        // Only time spent waiting counts: a slow handler is not the client's fault.
        window_waited_ += server_.loop.now() - since;
        if (window_waited_ < options.body_rate_window) continue;
        const auto seconds = static_cast<uint64_t>(
            std::chrono::duration_cast<std::chrono::seconds>(window_waited_).count());
        if (window_bytes_ < options.body_rate_bytes_min * seconds && !body_complete_) {
            keep_alive_ = false;
            body_error_.emplace(Code::kTimeout, "the request's body came too slowly");
        }
        window_waited_ = Duration(0);
        window_bytes_ = 0;
    }
}

// Completes the head with what the connection knows and sends it, with the body's first bytes.
Result<> FlowServer::Connection::send_head(ResponseHead& head, std::string_view body) {
    // A body that nobody reads would be taken for the next request.
    if (!body_complete_ || server_.draining) keep_alive_ = false;
    head.headers.remove(FieldId::kConnection);
    if (!keep_alive_) {
        head.headers.add("Connection", "close");
    } else if (parser_.head().version == Version::kHttp10) {
        head.headers.add("Connection", "keep-alive");
    }
    head.headers.set("Date", format_http_date(unix_seconds(server_.loop.wall())));
    std::string text;
    CANDELA_TRY(serialize(head, text));
    const std::string_view parts[] = {text, body};
    stream_->write(parts);
    return {};
}

void FlowServer::Connection::respond(int status, const Headers& headers, std::string_view body) {
    if (gone_) return;
    if (request_ != nullptr) {
        if (request_->response_begun_) {
            server_.log.error("http_second_answer", {{"path", request_->path_}});
            return;
        }
        request_->response_begun_ = request_->response_ended_ = true;
    }
    ResponseHead head;
    head.status = status;
    head.headers = headers;
    head.headers.remove(FieldId::kTransferEncoding);
    if (status_has_no_body(status)) {
        head.headers.remove(FieldId::kContentLength);
        body = {};
    } else {
        head.headers.set("Content-Length", fmt::format("{}", body.size()));
    }
    if (parser_.head().method == "HEAD") body = {};
    const Result<> sent = send_head(head, body);
    if (sent) return;
    server_.log.error("http_answer_not_sendable", {{"error", sent.error()}});
    keep_alive_ = false;
    ResponseHead failure;
    failure.status = 500;
    failure.headers.add("Content-Length", "0");
    const Result<> failed = send_head(failure, {});
    CANDELA_CHECK(failed.has_value());
}

Result<StreamPtr> FlowServer::Connection::upgrade(std::string_view protocol) {
    if (gone_) return fail(client_gone());
    if (request_->response_begun_) return fail(Code::kInternal, "the request is answered already");
    const auto asked = head().headers.get("upgrade");
    if (!parser_.framing().upgrade || !asked || !ascii_iequals(*asked, protocol)) {
        return fail(Code::kInvalid, "this wants the header Upgrade: {}", protocol);
    }
    if (!held_.empty()) {
        return fail(Code::kInvalid, "bytes came before the protocol was switched");
    }
    request_->response_begun_ = request_->response_ended_ = true;
    request_->open_ended_ = true;
    timer_.stop();
    phase_ = Phase::kUpgraded;
    stream_->write(fmt::format(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {}\r\n\r\n",
        protocol));
    stream_->pause();
    return std::move(stream_);
}

Result<> FlowServer::Connection::begin(ResponseHead head) {
    if (gone_) return fail(client_gone());
    if (request_->response_begun_) return fail(Code::kInternal, "the request is answered already");
    head.headers.remove(FieldId::kTransferEncoding);
    const auto length = head.headers.get(FieldId::kContentLength);
    if (status_has_no_body(head.status)) {
        response_left_ = 0;
    } else if (length) {
        CANDELA_TRY_ASSIGN(response_left_, parse_uint(*length).in("Content-Length"));
    } else if (parser_.head().version == Version::kHttp11) {
        head.headers.add("Transfer-Encoding", "chunked");
        is_chunked_ = true;
    } else {
        keep_alive_ = false;  // HTTP/1.0: the end of the connection is the end of the body
    }
    CANDELA_TRY(send_head(head, {}));
    request_->response_begun_ = true;
    return {};
}

Task<Result<>> FlowServer::Connection::write(std::string_view bytes) {
    if (gone_) co_return fail(client_gone());
    if (!request_->is_streaming()) co_return fail(not_streaming());
    if (bytes.empty()) co_return Result<>();
    if (response_left_) {
        if (bytes.size() > *response_left_) {
            remove_soon();
            co_return fail(Code::kInternal, "the answer is longer than its Content-Length");
        }
        *response_left_ -= bytes.size();
    }
    if (parser_.head().method == "HEAD") co_return Result<>();
    if (is_chunked_) {
        ChunkLine line;
        const std::string_view parts[] = {chunk_line(bytes.size(), line), bytes, "\r\n"};
        stream_->write(parts);
    } else {
        stream_->write(bytes);
    }
    while (!gone_ && stream_->queued_bytes() > server_.options.write_buffer_bytes_max) {
        queued_before_ = stream_->queued_bytes();
        timer_.start(server_.options.write_timeout);
        changed_.reset();
        co_await changed_.wait();
        timer_.stop();
    }
    if (gone_) co_return fail(client_gone());
    co_return Result<>();
}

Result<> FlowServer::Connection::end() {
    if (gone_) return fail(client_gone());
    if (!request_->is_streaming()) return fail(not_streaming());
    const bool is_head = parser_.head().method == "HEAD";
    if (response_left_.value_or(0) > 0 && !is_head) {
        remove_soon();
        return fail(Code::kInternal, "the answer is {} bytes shorter than its Content-Length",
                    *response_left_);
    }
    if (is_chunked_ && !is_head) stream_->write(kLastChunk);
    request_->response_ended_ = true;
    is_chunked_ = false;
    return {};
}

// The server.

FlowServer::FlowServer(Loop& loop, Handler& handler, ServerOptions options, Logger log)
    : state_(std::make_unique<State>(loop, handler, std::move(options), std::move(log))) {}

FlowServer::~FlowServer() = default;

void FlowServer::accept(StreamPtr stream) {
    if (state_->draining) return;
    const size_t count = state_->connections.size();
    if (count >= state_->options.connections_max + kRefusalsMax) return;
    auto connection = std::make_unique<Connection>(*state_, std::move(stream));
    Connection& added = *connection;
    state_->connections.emplace(&added, std::move(connection));
    if (count < state_->options.connections_max) return added.start();
    state_->log.warn("http_connections_exhausted",
                     {{"connections_max", state_->options.connections_max}});
    added.start_refusing();
}

Task<void> FlowServer::drain(MonoTime deadline) {
    State& state = *state_;
    state.draining = true;
    for (const auto& [connection, owner] : state.connections) connection->drain();
    bool expired = false;
    Timer timer(state.loop.timers(), [&] {
        expired = true;
        state.removed.set();
    });
    timer.start(deadline - state.loop.now());
    while (!state.connections.empty() && !expired) {
        state.removed.reset();
        co_await state.removed.wait();
    }
    // Out of the call that woke us: whoever waits for the drain may destroy the server at once.
    co_await sleep_for(state.loop, Duration(0));
    state.connections.clear();
}

size_t FlowServer::connection_count() const { return state_->connections.size(); }

// The request.

const RequestHead& ServerRequest::head() const { return connection_.head(); }

std::optional<std::string_view> ServerRequest::query(std::string_view name) const {
    for (const auto& [key, value] : query_) {
        if (key == name) return value;
    }
    return std::nullopt;
}

Task<Result<std::optional<std::string>>> ServerRequest::read_chunk() {
    return connection_.read_chunk();
}

Task<Result<std::string>> ServerRequest::read_all(size_t size_bytes_max) {
    // Refused before the client sends it, where it says how much it will be.
    if (connection_.announced_length() > size_bytes_max) co_return fail(too_large(size_bytes_max));
    std::string body;
    while (true) {
        Result<std::optional<std::string>> chunk = co_await connection_.read_chunk();
        if (!chunk) co_return fail(std::move(chunk).error());
        if (!*chunk) co_return std::move(body);
        if (body.size() + (*chunk)->size() > size_bytes_max) {
            co_return fail(too_large(size_bytes_max));
        }
        body.append(**chunk);
    }
}

Result<StreamPtr> ServerRequest::upgrade(std::string_view protocol) {
    return connection_.upgrade(protocol);
}

void ServerRequest::respond(int status, std::string_view content_type, std::string_view body) {
    const Headers headers{{"Content-Type", content_type}};
    connection_.respond(status, headers, body);
}

void ServerRequest::respond(int status, const Headers& headers, std::string_view body) {
    connection_.respond(status, headers, body);
}

Task<Result<>> ServerRequest::begin(ResponseHead head) {
    co_return connection_.begin(std::move(head));
}

Task<Result<>> ServerRequest::write(std::string_view bytes) { return connection_.write(bytes); }

Task<Result<>> ServerRequest::end() { co_return connection_.end(); }

}  // namespace candela::http
