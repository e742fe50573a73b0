#include "http/proxy_connection.h"

#include <algorithm>

#include "base/text.h"
#include "http/h2_connection.h"

namespace candela::http {
namespace {

// An idle connection gives its buffers back after this long; one in steady use keeps them.
constexpr Duration kReleaseMemoryAfter = 2s;
// A client that has closed its direction may still be reading, or be gone: TCP tells only once
// something is sent. It gets so long for an answer to begin, and then as long as it takes something
// now and then.
constexpr Duration kHalfClosedUntilAnswer = 30s;
constexpr Duration kHalfClosedProgress = 5s;

}  // namespace

ProxyConnection::ProxyConnection(Proxy& proxy, StreamPtr stream)
    : proxy_(proxy),
      stream_(std::move(stream)),
      timer_(proxy.loop_.timers(), [this] { on_timer(); }) {
    const Address peer = stream_->peer();
    if (peer.kind == Address::Kind::kTcp) peer_ip_ = peer.host;
    // Whoever may open our unix socket is a proxy on this machine.
    peer_is_trusted_ =
        peer.kind == Address::Kind::kUnix || proxy_.options_.trusted_peers.contains(peer_ip_);
}

ProxyConnection::~ProxyConnection() = default;

void ProxyConnection::start() {
    wait(Wait::kIdle, proxy_.options_.idle_timeout);
    stream_->start(*this);
}

void ProxyConnection::drain() {
    const bool is_between = parser_ == nullptr || parser_->is_between_messages();
    if (state_ != State::kReading || !is_between || !input_.empty()) return;
    if (proxy_.idle_grace_ == Duration(0)) {
        finish_and_close();
        return;
    }
    let_go_of_parser();
    memory_released_ = true;
    wait(Wait::kIdle, proxy_.idle_grace_);
}

void ProxyConnection::close() {
    if (state_ == State::kClosed) return;
    state_ = State::kClosed;
    if (exchange_ != nullptr) std::exchange(exchange_, nullptr)->abort();
    timer_.stop();
    stream_.reset();
    proxy_.bury(*this);
}

bool ProxyConnection::is_persistent() const {
    return parser_->framing().keep_alive && !proxy_.draining_ && !ended_;
}

bool ProxyConnection::has_taken_more() {
    const uint64_t taken = written_bytes_ - stream_->queued_bytes();
    return taken != std::exchange(taken_bytes_seen_, taken);
}

void ProxyConnection::pause_reading() {
    if (paused_) return;
    paused_ = true;
    stream_->pause();
}

void ProxyConnection::resume_reading() {
    if (!paused_) return;
    paused_ = false;
    stream_->resume();
}

void ProxyConnection::on_data(std::string_view bytes) {
    if (state_ == State::kRelay) {
        exchange_->relay_from_client(bytes);
        return;
    }
    if (state_ == State::kLinger || state_ == State::kClosed) return;
    if (parser_ == nullptr) {
        parser_ = proxy_.take_parser();
        parser_version_ = proxy_.options_version_;
    }
    if (is_new_ && may_be_http2(bytes)) return;
    if (input_.empty()) process(bytes);
    if (state_ == State::kClosed || state_ == State::kLinger) return;
    if (!bytes.empty()) {
        input_.append(bytes);
        if (input_.size() >= proxy_.options_.pipelined_bytes_max) pause_reading();
    }
    settle();
}

// HTTP/2 with prior knowledge (RFC 9113 §3.3): true where its preface has come, and another took
// over, or a beginning of it, and it is too early to say.
bool ProxyConnection::may_be_http2(std::string_view bytes) {
    const std::string_view rest = H2Connection::kPreface.substr(input_.size());
    const size_t compared = std::min(rest.size(), bytes.size());
    // With TLS, ALPN has said what it is.
    const bool matches =
        stream_->alpn().empty() && bytes.substr(0, compared) == rest.substr(0, compared);
    if (!matches) {
        is_new_ = false;
        if (input_.empty()) return false;
        input_.append(bytes);
        process_input();
        return true;
    }
    input_.append(bytes);
    if (compared < rest.size()) {
        if (wait_ != Wait::kHead) wait(Wait::kHead, proxy_.options_.head_timeout);
        return true;
    }
    state_ = State::kClosed;
    timer_.stop();
    auto other = std::make_unique<H2Connection>(proxy_, std::move(stream_), std::move(input_));
    proxy_.bury(*this);
    proxy_.add(std::move(other));
    return true;
}

bool ProxyConnection::may_parse() const {
    switch (state_) {
        // A client that sends requests without reading the answers gets no further ones.
        case State::kReading: return stream_->queued_bytes() <= proxy_.options_.buffer_bytes_max;
        case State::kBusy:
            if (request_complete_) return false;
            return !has_body_ || (exchange_->takes_body() && !exchange_->is_upstream_full());
        case State::kAnswered: return true;
        default: return false;
    }
}

void ProxyConnection::process(std::string_view& bytes) {
    processing_ = true;
    bool is_hungry = false;
    while (!is_hungry && may_parse()) {
        switch (parser_->parse(bytes)) {
            case ParseEvent::kNeedMore: is_hungry = true; break;
            case ParseEvent::kHead: on_request_head(); break;
            case ParseEvent::kBody:
                body_bytes_ += parser_->body().size();
                exchange_->send_body(parser_->body());
                if (body_bytes_ > exchange_->body_bytes_max()) exchange_->refuse_body();
                break;
            case ParseEvent::kComplete: on_request_complete(); break;
            case ParseEvent::kError: on_malformed(); break;
        }
    }
    processing_ = false;
    if (state_ == State::kBusy) exchange_->flush_upstream();
}

// Goes on with what was read before.
void ProxyConnection::process_input() {
    std::string taken = std::move(input_);
    input_.clear();
    std::string_view bytes = taken;
    process(bytes);
    if (state_ == State::kClosed || state_ == State::kLinger) return;
    input_.assign(bytes);
    settle();
}

void ProxyConnection::let_go_of_parser() {
    if (parser_ == nullptr) return;
    if (parser_version_ == proxy_.options_version_) {
        proxy_.give_back_parser(std::move(parser_));
    }
    parser_.reset();
}

// After input was processed: what to wait for, and whether to read on.
void ProxyConnection::settle() {
    const bool is_upstream_full = state_ == State::kBusy && exchange_->is_upstream_full();
    if (is_upstream_full && !request_complete_) {
        was_throttled_ = true;
        pause_reading();
    } else if (input_.size() < proxy_.options_.pipelined_bytes_max) {
        resume_reading();
    }
    if (ended_ && input_.empty()) {
        // No more will come: an unfinished request is none, and after the last there is nothing to
        // wait for.
        if (state_ == State::kReading) {
            finish_and_close();
        } else if (state_ == State::kBusy && !request_complete_) {
            close();
        }
        return;
    }
    if (state_ == State::kReading) {
        if (parser_ != nullptr && parser_->is_in_head()) {
            if (wait_ != Wait::kHead) wait(Wait::kHead, proxy_.options_.head_timeout);
        } else {
            if (input_.empty()) let_go_of_parser();
            if (wait_ != Wait::kIdle) wait(Wait::kIdle, kReleaseMemoryAfter);
        }
    } else if (state_ == State::kBusy) {
        if (request_complete_) {
            if (!ended_) wait_ = Wait::kNothing;
        } else if (wait_ != Wait::kBody) {
            body_bytes_seen_ = body_bytes_;
            wait(Wait::kBody, proxy_.options_.body_rate_window);
        }
    }
}

void ProxyConnection::on_request_head() {
    bump(proxy_.counters_.requests);
    memory_released_ = false;
    request_complete_ = false;
    body_bytes_ = 0;
    has_body_ = parser_->framing().body != BodyKind::kNone;
    route_request();
}

void ProxyConnection::route_request() {
    const RoutedRequest routed = proxy_.find_route(*this);
    if (routed.route.upstream == nullptr) {
        answer(routed.route.status, routed.route.text, routed.ends_connection, *routed.fields,
               routed.pages());
        return;
    }
    state_ = State::kBusy;
    exchange_ = &proxy_.take_exchange();
    exchange_->begin(*this, routed);
}

void ProxyConnection::on_request_complete() {
    request_complete_ = true;
    if (state_ == State::kBusy) {
        exchange_->end_body();
    } else {
        state_ = State::kReading;
    }
}

void ProxyConnection::on_malformed() {
    bump(proxy_.counters_.requests_malformed);
    const ParseError& error = parser_->error();
    if (exchange_ != nullptr) {
        const bool has_response = exchange_->has_response();
        std::exchange(exchange_, nullptr)->abort();
        if (has_response) {
            close();
            return;
        }
    }
    answer(error.status, error.reason, true);
}

// Answers by itself. A request with a body costs the connection: it is not worth reading to its
// end.
void ProxyConnection::answer(int status, std::string_view text, bool close_after,
                             const Headers& fields, const ErrorPages* pages) {
    close_after = close_after || !is_persistent() || (has_body_ && !request_complete_);
    write_answer(status, text, close_after, fields, pages);
    proxy_.router_.on_done(ProxyRecord{
        parser_->head(), nullptr, {}, status, Duration(0), 0, text.size(), client_info(), {}});
    if (close_after) {
        finish_and_close();
        return;
    }
    state_ = request_complete_ ? State::kReading : State::kAnswered;
}

void ProxyConnection::write_answer(int status, std::string_view text, bool close_after,
                                   const Headers& fields, const ErrorPages* pages) {
    const OwnAnswer own = make_own_answer(parser_->head(), status, text, fields, pages);
    auto connection = ClientConnection::kPersistent;
    if (close_after) {
        connection = ClientConnection::kSayClose;
    } else if (parser_->head().version == Version::kHttp10) {
        connection = ClientConnection::kSayKeepAlive;
    }
    std::string& out = proxy_.to_client_.begin_head(*stream_);
    append_client_response(own.head, ClientBody::kLength, connection, proxy_.date(), AnswerEdits(),
                           out);
    if (parser_->head().method != "HEAD") out += own.body;
    proxy_.to_client_.add_head(*stream_);
    flush();
}

void ProxyConnection::answer_for_exchange(int status, std::string_view text, const Headers& fields,
                                          const ErrorPages* pages) {
    exchange_ = nullptr;
    const bool close_after = !is_persistent() || (has_body_ && !request_complete_);
    write_answer(status, text, close_after, fields, pages);
    persistent_ = !close_after;
    exchange_done();
}

void ProxyConnection::exchange_done() {
    exchange_ = nullptr;
    if (!persistent_ || (has_body_ && !request_complete_)) {
        finish_and_close();
        return;
    }
    state_ = request_complete_ ? State::kReading : State::kAnswered;
    if (processing_) return;  // process() goes on by itself
    if (proxy_.draining_ && input_.empty()) {
        finish_and_close();
    } else if (!input_.empty()) {
        process_input();
    } else {
        settle();
    }
}

void ProxyConnection::on_upstream_ready() {
    if (processing_) return;
    process_input();
}

void ProxyConnection::start_relay() {
    state_ = State::kRelay;
    wait_ = Wait::kNothing;
    resume_reading();
    if (!input_.empty()) {
        const std::string early = std::move(input_);
        input_ = std::string();
        exchange_->relay_from_client(early);
    }
    if (ended_) exchange_->on_client_end();
}

// RFC 9112 §9.6: ends our direction and reads on for a while, since closing with unread bytes would
// reset the connection and might take the answer with it.
void ProxyConnection::finish_and_close() {
    state_ = State::kLinger;
    input_.clear();
    stream_->end();  // on_drained() tells when all is out
    has_taken_more();
    resume_reading();
    wait(Wait::kLinger, stream_->queued_bytes() > 0 ? proxy_.options_.send_timeout
                                                    : proxy_.options_.linger_timeout);
}

void ProxyConnection::on_end() {
    ended_ = true;
    switch (state_) {
        case State::kRelay: exchange_->on_client_end(); return;
        case State::kLinger:
            if (stream_->queued_bytes() == 0) close();
            return;
        case State::kClosed: return;
        case State::kBusy:
            if (!exchange_->is_held() && (request_complete_ || !input_.empty())) {
                has_taken_more();
                wait(Wait::kHalfClosed,
                     exchange_->has_response() ? kHalfClosedProgress : kHalfClosedUntilAnswer);
                return;
            }
            close();
            return;
        case State::kReading:
        case State::kAnswered:
            if (input_.empty() || is_new_) finish_and_close();
            return;
    }
}

void ProxyConnection::on_error(const Error&) { close(); }

void ProxyConnection::on_drained() {
    switch (state_) {
        case State::kBusy:
        case State::kRelay: exchange_->on_client_drained(); return;
        case State::kLinger:
            if (ended_) {
                close();
            } else {
                wait(Wait::kLinger, proxy_.options_.linger_timeout);
            }
            return;
        case State::kReading:
            if (!input_.empty()) process_input();
            return;
        default: return;
    }
}

void ProxyConnection::wait(Wait what, Duration duration) {
    wait_ = what;
    timer_.start(duration);
}

void ProxyConnection::on_timer() {
    switch (std::exchange(wait_, Wait::kNothing)) {
        case Wait::kNothing: return;
        case Wait::kIdle:
            if (!memory_released_ && input_.empty()) {
                memory_released_ = true;
                let_go_of_parser();
                input_ = std::string();
                wait(Wait::kIdle, proxy_.options_.idle_timeout - kReleaseMemoryAfter);
            } else if (memory_released_ || !has_taken_more()) {
                finish_and_close();
            } else {
                wait(Wait::kIdle, proxy_.options_.idle_timeout);
            }
            return;
        case Wait::kHead: answer(408, "the request's head took too long", true); return;
        case Wait::kBody: check_body_rate(); return;
        case Wait::kLinger:
            // What is queued may be much, for a slow reader: it has the time that it needs.
            if (stream_->queued_bytes() > 0 && has_taken_more()) {
                wait(Wait::kLinger, proxy_.options_.send_timeout);
            } else {
                close();
            }
            return;
        case Wait::kHalfClosed:
            if (state_ == State::kBusy && has_taken_more()) {
                wait(Wait::kHalfClosed, kHalfClosedProgress);
            } else {
                close();
            }
            return;
    }
}

void ProxyConnection::check_body_rate() {
    if (state_ != State::kBusy || request_complete_) return;
    const auto window =
        std::chrono::duration_cast<std::chrono::milliseconds>(proxy_.options_.body_rate_window);
    const uint64_t wanted =
        proxy_.options_.body_rate_bytes_min * static_cast<uint64_t>(window.count()) / 1000;
    const bool is_our_fault = std::exchange(was_throttled_, paused_) || paused_ ||
                              !exchange_->takes_body() || exchange_->is_dialogue();
    const uint64_t received = body_bytes_ - std::exchange(body_bytes_seen_, body_bytes_);
    if (is_our_fault || received >= wanted) {
        wait(Wait::kBody, proxy_.options_.body_rate_window);
        return;
    }
    const bool has_response = exchange_->has_response();
    std::exchange(exchange_, nullptr)->abort();
    if (has_response) {
        close();
        return;
    }
    answer(408, "the request's body comes too slowly", true);
}

}  // namespace candela::http
