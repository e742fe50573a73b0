#include "http/upstream_connection.h"

#include <algorithm>

#include "base/text.h"
#include "http/exchange.h"

namespace candela::http {

UpstreamConnection::UpstreamConnection(Endpoint& endpoint, StreamPtr stream,
                                       const ParserLimits& limits, Cork& cork,
                                       std::string announcement)
    : endpoint_(endpoint),
      stream_(std::move(stream)),
      parser_(limits),
      cork_(cork),
      announcement_(std::move(announcement)) {
    ++endpoint_.connections_;
    stream_->start(*this);
}

UpstreamConnection::~UpstreamConnection() { --endpoint_.connections_; }

void UpstreamConnection::begin(Exchange& exchange, const ResponderRequest& request) {
    user_ = &exchange;
    is_chunked_ = request.is_chunked;
    parser_.expect(request.is_head, request.offers_upgrade);
    if (!was_used_) cork_.borrow(*stream_, announcement_);
    cork_.borrow(*stream_, request.head);
}

void UpstreamConnection::send_body(std::string_view bytes) {
    if (!is_chunked_) {
        cork_.borrow(*stream_, bytes);
        return;
    }
    ChunkLine line;
    cork_.copy(*stream_, chunk_line(bytes.size(), line));
    cork_.borrow(*stream_, bytes);
    cork_.copy(*stream_, "\r\n");
}

void UpstreamConnection::send_end(const Headers& trailers) {
    if (!is_chunked_) return;
    if (trailers.empty()) {
        cork_.borrow(*stream_, kLastChunk);
        return;
    }
    append_last_chunk(trailers, cork_.begin_head(*stream_));
    cork_.add_head(*stream_);
}

void UpstreamConnection::pause() {
    is_paused_ = true;
    stream_->pause();
}

void UpstreamConnection::resume() {
    is_paused_ = false;
    stream_->resume();
}

void UpstreamConnection::give_back(Outcome outcome) {
    UpstreamConnectionPtr self(this);
    user_ = nullptr;
    if (outcome != Outcome::kReusable) {
        cork_.clear();
        return;
    }
    if (is_paused_) resume();
    const Duration idle = idle_max();
    endpoint_.put_idle(std::move(self), idle);
}

Duration UpstreamConnection::idle_max() const {
    const Duration pool_max = endpoint_.upstream().options().idle_timeout;
    // "Keep-Alive: timeout=5": a second earlier than the endpoint closes it.
    const auto hint = parser_.head().headers.get(FieldId::kKeepAlive);
    if (!hint) return pool_max;
    Duration idle_max = pool_max;
    for_each_list_element(*hint, [&](std::string_view parameter) {
        if (!parameter.starts_with("timeout=")) return;
        const auto seconds = parse_uint(parameter.substr(8));
        if (!seconds || *seconds > 3600) return;
        const auto theirs = std::chrono::seconds(*seconds) - 1s;
        idle_max = std::max<Duration>(std::min<Duration>(idle_max, theirs), Duration(0));
    });
    return idle_max;
}

void UpstreamConnection::on_data(std::string_view bytes) {
    if (user_ == nullptr) {
        endpoint_.drop_idle(*this);
    } else if (is_relay_) {
        user_->on_relay_data(bytes);
    } else {
        read_answer(bytes);
    }
}

// Whatever ends the exchange gives this back, and may destroy it.
void UpstreamConnection::read_answer(std::string_view bytes) {
    user_->on_answer_heard();
    const std::string_view all = bytes;
    for (;;) {
        switch (parser_.parse(bytes)) {
            case ParseEvent::kNeedMore: user_->flush_client(); return;
            case ParseEvent::kHead:
                if (!parser_.is_interim()) {
                    user_->on_answer_head(parser_.head(), parser_.framing());
                } else if (!user_->on_interim(parser_.head())) {
                    return;
                }
                break;
            case ParseEvent::kBody: user_->on_answer_body(parser_.body()); break;
            case ParseEvent::kComplete:
                if (parser_.is_interim()) break;
                if (parser_.framing().upgrade) {
                    is_relay_ = true;
                    user_->start_relay(bytes);
                } else {
                    user_->on_answer_end(parser_.trailers(),
                                         bytes.empty() && parser_.framing().keep_alive);
                }
                return;
            case ParseEvent::kError: user_->on_failed({describe_failure(all)}); return;
        }
    }
}

std::string_view UpstreamConnection::describe_failure(std::string_view bytes) const {
    // A SETTINGS frame of stream 0 (RFC 9113 §6.5): what an HTTP/2 server says first.
    const bool is_http2 = bytes.size() >= 9 && bytes.substr(0, 2) == std::string_view("\0\0", 2) &&
                          bytes[3] == 4 && bytes.substr(5, 4) == std::string_view("\0\0\0\0", 4);
    if (is_http2) return "answers in HTTP/2, but its service.toml does not say protocol = \"h2c\"";
    return parser_.error().reason;
}

void UpstreamConnection::on_end() {
    if (user_ == nullptr) {
        endpoint_.drop_idle(*this);
        return;
    }
    if (is_relay_) {
        user_->on_relay_end();
        return;
    }
    // The end is what ends some bodies (RFC 9112 §6.3); in all other places it is a failure.
    if (parser_.finish() == ParseEvent::kComplete && !parser_.is_interim()) {
        user_->on_answer_end(kNoHeaders, false);
        return;
    }
    user_->on_failed({"closed the connection before it had answered"});
}

void UpstreamConnection::on_error(const Error& error) {
    if (user_ == nullptr) {
        endpoint_.drop_idle(*this);
    } else {
        user_->on_failed({error.message()});
    }
}

void UpstreamConnection::on_drained() {
    if (user_ != nullptr) user_->on_upstream_drained();
}

}  // namespace candela::http
