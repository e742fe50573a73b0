#include "http/flow_connection_impl.h"

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace candela::http {

namespace {

// Requests sent ahead of their turn wait here; then the client waits.
constexpr size_t kHeldBytesMax = 64 * 1024;
// RFC 9112 §9.6: closing while the client still sends would destroy the answer on its way.
constexpr Duration kLingerTime = 2s;
constexpr size_t kLingerBytesMax = 1024 * 1024;

std::string_view error_code(int status) {
    switch (status) {
        case 408: return "timeout";
        case 413:
        case 414:
        case 429:
        case 431: return "exhausted";
        case 501:
        case 505: return "unsupported";
        case 503: return "unreachable";
        default: return status >= 500 ? "internal" : "invalid";
    }
}

}  // namespace

FlowServer::Connection::Connection(State& server, StreamPtr stream)
    : server_(server),
      stream_(std::move(stream)),
      parser_(server.options.limits),
      timer_(server.loop.timers(), [this] { on_timer(); }),
      self_(std::make_shared<Connection*>(this)) {}

void FlowServer::Connection::start() {
    timer_.start(server_.options.idle_timeout);
    stream_->start(*this);
}

void FlowServer::Connection::start_refusing() {
    stream_->start(*this);
    answer_error(503, "too many connections");
}

// Runs the method later, unless this is gone by then.
void FlowServer::Connection::defer(void (Connection::*method)()) {
    server_.loop.defer([self = std::weak_ptr<Connection*>(self_), method] {
        if (const auto connection = self.lock()) ((*connection)->*method)();
    });
}

void FlowServer::Connection::remove_soon() {
    if (gone_) return;
    gone_ = true;
    timer_.stop();
    defer(&Connection::remove);
}

void FlowServer::Connection::remove() {
    State& server = server_;
    server.connections.erase(this);
    server.removed.set();
}

void FlowServer::Connection::drain() {
    const bool idle = phase_ == Phase::kIdle || phase_ == Phase::kHead;
    if (idle || (request_ != nullptr && request_->open_ended_)) remove_soon();
}

void FlowServer::Connection::on_data(std::string_view bytes) {
    if (gone_) return;
    switch (phase_) {
        case Phase::kLingering:
            // Beyond this the client has to wait for the end, which costs us nothing.
            lingered_bytes_ += bytes.size();
            if (lingered_bytes_ > kLingerBytesMax) stream_->pause();
            return;
        case Phase::kFinishing: return hold(bytes);
        case Phase::kUpgraded: return;
        case Phase::kHandling:
            if (body_complete_ || body_error_) return hold(bytes);
            break;
        case Phase::kIdle:
            phase_ = Phase::kHead;
            timer_.start(server_.options.head_timeout);
            break;
        case Phase::kHead: break;
    }
    process(bytes);
}

void FlowServer::Connection::hold(std::string_view bytes) {
    held_.append(bytes);
    if (held_.size() <= kHeldBytesMax) return;
    paused_ = true;
    stream_->pause();
}

void FlowServer::Connection::process(std::string_view bytes) {
    for (bool more = true; more;) {
        switch (parser_.parse(bytes)) {
            case ParseEvent::kNeedMore: more = false; break;
            case ParseEvent::kHead:
                if (!on_head()) return;
                break;
            case ParseEvent::kBody:
                body_.append(parser_.body());
                window_bytes_ += parser_.body().size();
                continue_owed_ = false;
                break;
            case ParseEvent::kComplete:
                body_complete_ = true;
                hold(bytes);
                more = false;
                break;
            case ParseEvent::kError:
                on_body_error(parser_.error());
                more = false;
                break;
        }
        if (gone_) return;
    }
    if (body_.size() >= server_.options.body_buffer_bytes_max && !paused_) {
        paused_ = true;
        stream_->pause();
    }
    if (request_ != nullptr && !task_) return start_handler();
    changed_.set();
}

bool FlowServer::Connection::on_head() {
    phase_ = Phase::kHandling;
    timer_.stop();
    const Framing& framing = parser_.framing();
    keep_alive_ = framing.keep_alive;
    continue_owed_ = framing.expects_continue;
    request_.reset(new ServerRequest(*this));
    request_->peer_.address = stream_->peer();
    request_->peer_.uid = stream_->peer_uid();
    request_->peer_.encrypted = stream_->is_encrypted();

    const TargetParts target = split_target(head().target);
    Result<std::string> path =
        head().target == "*" ? Result<std::string>("*") : normalize_path(target.path);
    Result<QueryParams> query = parse_query(target.query);
    if (!path || !query) {
        answer_error(400, !path ? path.error().message() : query.error().message());
        return false;
    }
    request_->path_ = std::move(*path);
    request_->query_ = std::move(*query);
    return true;
}

// Of a head there is nobody but us to answer; in a body the handler learns of it when it reads.
void FlowServer::Connection::on_body_error(const ParseError& error) {
    if (request_ == nullptr) return answer_error(error.status, error.reason);
    keep_alive_ = false;
    body_error_.emplace(Code::kInvalid,
                        fmt::format("the request's body is malformed: {}", error.reason));
}

void FlowServer::Connection::answer_error(int status, std::string_view message) {
    const Json body = {
        {"error", {{"code", error_code(status)}, {"message", std::string(message)}}}};
    keep_alive_ = false;
    const Headers headers{{"Content-Type", "application/json"}};
    respond(status, headers, dump_json(body));
    linger();
}

void FlowServer::Connection::start_handler() {
    task_.emplace(server_.handler.handle(*request_));
    task_->start(&Connection::on_handler_done, this);
}

void FlowServer::Connection::on_handler_done(void* connection) {
    static_cast<Connection*>(connection)->defer(&Connection::finish_request);
}

void FlowServer::Connection::finish_request() {
    if (gone_) return;
    task_.reset();
    if (phase_ == Phase::kUpgraded) return remove_soon();
    if (!request_->response_begun_) {
        server_.log.error("http_handler_gave_no_answer",
                          {{"method", head().method}, {"path", request_->path_}});
        answer_error(500, "the request was not answered");
        return;
    }
    // An answer cut short: closing is the only way to say so (RFC 9112 §8).
    if (!request_->response_ended_) return remove_soon();
    if (!keep_alive_ || !body_complete_) return linger();
    phase_ = Phase::kFinishing;
    if (stream_->queued_bytes() == 0) return next_request();
    queued_before_ = stream_->queued_bytes();
    timer_.start(server_.options.write_timeout);
}

void FlowServer::Connection::next_request() {
    if (server_.draining || (peer_ended_ && held_.empty())) return linger();
    request_.reset();
    body_.clear();
    body_complete_ = is_chunked_ = false;
    body_error_.reset();
    response_left_.reset();
    window_bytes_ = 0;
    window_waited_ = Duration(0);
    phase_ = Phase::kIdle;
    timer_.start(server_.options.idle_timeout);
    if (paused_) {
        paused_ = false;
        stream_->resume();
    }
    if (held_.empty()) {
        body_.shrink_to_fit();
        held_.shrink_to_fit();
        return;
    }
    const std::string held = std::move(held_);
    held_.clear();
    on_data(held);
}

// Ends our direction and throws away what still comes, until the client has ended its own.
void FlowServer::Connection::linger() {
    if (gone_) return;
    phase_ = Phase::kLingering;
    stream_->end();
    if (paused_) stream_->resume();
    queued_before_ = stream_->queued_bytes();
    timer_.start(server_.options.write_timeout);
}

void FlowServer::Connection::on_end() {
    if (gone_) return;
    peer_ended_ = true;
    keep_alive_ = false;
    switch (phase_) {
        case Phase::kIdle:
        case Phase::kHead: return remove_soon();
        case Phase::kHandling:
            // Whoever waits for an answer may half-close; whoever has a stream running, or sent
            // half a request, is gone.
            if (request_->response_ended_) return;
            if (!body_complete_ || request_->response_begun_) remove_soon();
            return;
        case Phase::kFinishing:
        case Phase::kUpgraded: return;
        case Phase::kLingering:
            if (all_sent_) remove_soon();
            return;
    }
}

void FlowServer::Connection::on_error(const Error& error) {
    if (gone_) return;
    server_.log.debug("http_connection_broken", {{"error", error}});
    remove_soon();
}

void FlowServer::Connection::on_drained() {
    if (gone_) return;
    if (phase_ == Phase::kFinishing) return next_request();
    if (phase_ == Phase::kLingering) {
        all_sent_ = true;
        if (peer_ended_) return remove_soon();
        timer_.start(kLingerTime);
        return;
    }
    changed_.set();
}

void FlowServer::Connection::on_timer() {
    if (phase_ == Phase::kUpgraded) return;
    const size_t queued = stream_->queued_bytes();
    switch (phase_) {
        case Phase::kIdle: return remove_soon();
        case Phase::kHead: return answer_error(408, "the request's head took too long");
        case Phase::kHandling:
            if (waiting_body_) {
                changed_.set();  // read_chunk() looks at the rate
                return;
            }
            break;
        case Phase::kFinishing:
        case Phase::kUpgraded: break;
        case Phase::kLingering:
            if (all_sent_) return remove_soon();
            break;
    }
    if (queued >= queued_before_) {
        server_.log.debug("http_client_takes_nothing", {{"queued_bytes", queued}});
        return remove_soon();
    }
    queued_before_ = queued;
    timer_.start(server_.options.write_timeout);
}

}  // namespace candela::http
