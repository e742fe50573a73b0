#include "http/h2_upstream_session.h"

#include <algorithm>

#include "base/check.h"
#include "http/h2_session_impl.h"
#include "http/upstream.h"

namespace candela::http {
namespace {

constexpr uint32_t kStreamWindow = 256 * 1024;
constexpr int32_t kConnectionWindow = 1024 * 1024;
constexpr size_t kFreeCallsMax = 64;
constexpr int32_t kStreamIdMax = INT32_MAX - 1024;
// A peer that has said nothing for so long is asked whether it lives. More often would be taken for
// an attack by gRPC's servers, which want five minutes in between.
constexpr Duration kPingAfter = 5min + 10s;
constexpr Duration kPingTimeout = 20s;
constexpr Duration kSilence = 10s;    // of a peer that an exchange has waited for in vain
constexpr Duration kEndTimeout = 5s;  // for our last words to be taken

}  // namespace

struct H2UpstreamCallbacks {
    static H2UpstreamSession& of(void* user) { return *static_cast<H2UpstreamSession*>(user); }
    // Null where nobody waits for the stream any more.
    static H2Call* call_of(nghttp2_session* session, int32_t id) {
        auto* const call = static_cast<H2Call*>(nghttp2_session_get_stream_user_data(session, id));
        return call != nullptr && call->has_exchange() ? call : nullptr;
    }
    // What ends the session meanwhile makes nghttp2 stop.
    static int verdict(void* user) { return of(user).closed_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0; }

    static int on_begin_frame(nghttp2_session* session, const nghttp2_frame_hd* head, void*) {
        // RFC 9113 §8.4: our SETTINGS, which came first, have forbidden it.
        if (head->type == NGHTTP2_PUSH_PROMISE) {
            nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
        }
        return 0;
    }

    static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                         size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                         void*) {
        H2Call* const call = call_of(session, frame->hd.stream_id);
        if (call != nullptr) call->add_field(h2_view(name, name_size), h2_view(value, value_size));
        return 0;
    }

    static int on_frame_recv(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
        H2UpstreamSession& self = of(user);
        const bool is_last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        switch (frame->hd.type) {
            case NGHTTP2_SETTINGS:
                if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) self.has_new_settings_ = true;
                break;
            case NGHTTP2_GOAWAY: self.draining_ = true; break;
            case NGHTTP2_HEADERS:
                if (H2Call* const call = call_of(session, frame->hd.stream_id)) {
                    call->on_block(is_last);
                }
                break;
            case NGHTTP2_DATA:
                if (!is_last) break;
                if (H2Call* const call = call_of(session, frame->hd.stream_id)) {
                    call->on_last_data();
                }
                break;
            default: break;
        }
        return verdict(user);
    }

    static int on_data_chunk(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* bytes,
                             size_t size, void* user) {
        nghttp2_session_consume_connection(session, size);
        if (H2Call* const call = call_of(session, id)) call->on_data(h2_view(bytes, size));
        return verdict(user);
    }

    static int on_stream_close(nghttp2_session* session, int32_t id, uint32_t code, void* user) {
        auto* const call = static_cast<H2Call*>(nghttp2_session_get_stream_user_data(session, id));
        if (call != nullptr) call->on_closed(code);
        return verdict(user);
    }

    static int on_frame_send(nghttp2_session* session, const nghttp2_frame* frame, void*) {
        const bool is_message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
        if (!is_message || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
        if (H2Call* const call = call_of(session, frame->hd.stream_id)) call->on_request_sent();
        return 0;
    }

    // The same for all sessions.
    static const nghttp2_session_callbacks* callbacks() {
        static nghttp2_session_callbacks* const made = [] {
            nghttp2_session_callbacks* const out = h2_make_callbacks<H2UpstreamCallbacks>();
            nghttp2_session_callbacks_set_on_begin_frame_callback(out, on_begin_frame);
            return out;
        }();
        return made;
    }

    static const nghttp2_option* options() {
        static nghttp2_option* const made = h2_make_options();
        return made;
    }
};

H2UpstreamSession::H2UpstreamSession(H2Upstream& owner, StreamPtr stream)
    : loop_(stream->loop()), owner_(&owner), stream_(std::move(stream)) {
    nghttp2_session* session = nullptr;
    CANDELA_CHECK(nghttp2_session_client_new2(&session, H2UpstreamCallbacks::callbacks(), this,
                                              H2UpstreamCallbacks::options()) == 0);
    session_.reset(session);
    timer_.emplace(loop_.timers(), [this] { on_timer(); });
}

H2UpstreamSession::~H2UpstreamSession() { *alive_ = false; }

void H2UpstreamSession::start() {
    const auto head_max = static_cast<uint32_t>(owner_->options_.response_limits.head_bytes_max);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0},  // of pushes
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, head_max},
    };
    CANDELA_CHECK(nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, settings,
                                          std::size(settings)) == 0);
    nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
    heard_at_ = idle_since_ = now();
    timer_->start(owner_->options_.connect_timeout);
    flush_soon();
    stream_->start(*this);
}

bool H2UpstreamSession::has_room() const {
    if (!is_open_ || is_closing()) return false;
    const size_t theirs = nghttp2_session_get_remote_settings(
        session_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    const size_t ours = owner_->endpoint_.upstream().options().h2_streams_max;
    return calls_.size() < std::min(theirs, ours) &&
           nghttp2_session_check_request_allowed(session_.get()) != 0;
}

H2Call& H2UpstreamSession::open_call() {
    if (free_.empty()) {
        calls_.push_back(std::make_unique<H2Call>(*this));
    } else {
        calls_.push_back(std::move(free_.back()));
        free_.pop_back();
    }
    H2Call& call = *calls_.back();
    call.index = calls_.size() - 1;
    call.prepare(std::exchange(was_used_, true));
    // RFC 9113 §5.1.1: when its numbers are used up, another session takes over.
    if (nghttp2_session_get_next_stream_id(session_.get()) >= kStreamIdMax) drain();
    return call;
}

void H2UpstreamSession::let_go(H2Call& call) {
    if (gathered_ == &call) gathered_ = nullptr;
    std::erase(drained_, &call);
    if (!call.has_stream()) recycle(call);
}

void H2UpstreamSession::recycle(H2Call& call) {
    const size_t at = call.index;
    std::swap(calls_[at], calls_.back());
    calls_[at]->index = at;
    if (free_.size() < kFreeCallsMax) free_.push_back(std::move(calls_.back()));
    calls_.pop_back();
    if (closed_ || ended_) return;
    if (calls_.empty()) {
        idle_since_ = now();
        wait();
        if (draining_) flush_soon();
    }
    if (owner_ != nullptr) owner_->on_room();
}

void H2UpstreamSession::drain() {
    if (is_opening() || is_closing()) return;
    draining_ = true;
    flush_soon();
}

void H2UpstreamSession::note_timeout() {
    if (now() - heard_at_ >= kSilence) drain();
}

void H2UpstreamSession::turn_to(H2Call* call) {
    if (gathered_ != nullptr && gathered_ != call)
        std::exchange(gathered_, nullptr)->flush_client();
    gathered_ = call;
}

void H2UpstreamSession::note_drained(H2Call& call) {
    if (std::ranges::find(drained_, &call) == drained_.end()) drained_.push_back(&call);
}

void H2UpstreamSession::on_data(std::string_view bytes) {
    if (ended_) return;
    if (!is_open_ && bytes.starts_with("HTTP/")) {
        fail(Code::kUnsupported, "answers in HTTP/1, but its service.toml says protocol = \"h2c\"");
        return;
    }
    heard_at_ = now();
    is_in_session_ = true;
    const ssize_t used = nghttp2_session_mem_recv(
        session_.get(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    turn_to(nullptr);
    if (!leave_session()) return;
    if (used < 0) {
        fail(is_open_ ? Code::kUnreachable : Code::kUnsupported,
             fmt::format("breaks HTTP/2: {}", nghttp2_strerror(static_cast<int>(used))));
        return;
    }
    if (std::exchange(has_new_settings_, false)) {
        if (std::exchange(is_open_, true)) {
            owner_->on_room();
        } else {
            wait();
            owner_->on_open(*this);  // may end this
        }
    }
    flush_soon();
}

bool H2UpstreamSession::leave_session() {
    is_in_session_ = false;
    if (closed_) stream_.reset();
    return !closed_;
}

void H2UpstreamSession::on_end() {
    if (ended_) return be_gone();
    fail(Code::kUnreachable, is_open_ ? "closed the connection before it had answered"
                                      : "closed the connection without a word of HTTP/2");
}

void H2UpstreamSession::on_error(const Error& error) {
    if (ended_) return be_gone();
    fail(error.code(), error.message());
}

void H2UpstreamSession::on_drained() {
    if (ended_) return be_gone();
    flush();
}

void H2UpstreamSession::flush_soon() {
    if (flush_scheduled_ || closed_) return;
    flush_scheduled_ = true;
    loop_.defer([this, alive = alive_] {
        if (*alive) flush();
    });
}

void H2UpstreamSession::flush() {
    flush_scheduled_ = false;
    if (closed_ || ended_) return;
    is_in_session_ = true;
    const bool goes_on = h2_write(session_.get(), *stream_, written_bytes_);
    turn_to(nullptr);
    if (!leave_session()) return;
    if (!goes_on) {
        fail(Code::kInternal, "the HTTP/2 session can't go on");
        return;
    }
    while (!drained_.empty()) {
        H2Call* const call = drained_.back();
        drained_.pop_back();
        call->tell_drained();
        if (closed_) return;
    }
    finish_if_over();
}

void H2UpstreamSession::finish_if_over() {
    const bool is_over = nghttp2_session_want_read(session_.get()) == 0 &&
                         nghttp2_session_want_write(session_.get()) == 0;
    if (draining_ && calls_.empty()) {
        nghttp2_session_terminate_session(session_.get(), NGHTTP2_NO_ERROR);
        h2_write(session_.get(), *stream_, written_bytes_);
        end();
    } else if (is_over) {
        fail(is_open_ ? Code::kUnreachable : Code::kUnsupported, "does not keep to HTTP/2", true);
    }
}

void H2UpstreamSession::end() {
    ended_ = true;
    timer_->start(kEndTimeout);
    stream_->end();
}

void H2UpstreamSession::be_gone() {
    close();
    owner_->on_gone(*this);
}

void H2UpstreamSession::shut() {
    owner_ = nullptr;
    if (!closed_) close();
}

void H2UpstreamSession::close() {
    closed_ = true;
    *alive_ = false;
    timer_.reset();
    // A step that is under way still looks at it.
    if (!is_in_session_) stream_.reset();
}

void H2UpstreamSession::fail(Code code, std::string_view what, bool has_last_words) {
    const Error error(code, std::string(what));
    draining_ = true;
    if (has_last_words) {
        end();
    } else {
        close();
    }
    while (!calls_.empty()) {
        H2Call& call = *calls_.back();
        call.forget_stream();
        if (call.has_exchange()) {
            call.on_broken({error.message()});  // gives it back
        } else {
            recycle(call);
        }
    }
    // The last of them may have been what kept the owner here; and those who wait may be, too.
    H2Upstream* const owner = owner_;
    if (owner != nullptr && closed_) owner->on_gone(*this);
    if (owner != nullptr && !is_open_) owner->on_not_open(error);
}

void H2UpstreamSession::wait() {
    if (calls_.empty()) {
        const Duration idle_max = owner_->endpoint_.upstream().options().h2_idle_timeout;
        timer_->start(std::max<Duration>(idle_since_ + idle_max - now(), Duration(0)));
    } else if (has_pinged_) {
        timer_->start(kPingTimeout);
    } else {
        timer_->start(std::max<Duration>(heard_at_ + kPingAfter - now(), Duration(0)));
    }
}

void H2UpstreamSession::on_timer() {
    if (ended_) return be_gone();
    if (!is_open_) {
        fail(Code::kTimeout, "has not said a word of HTTP/2 in time");
        return;
    }
    if (calls_.empty()) {
        drain();
        return;
    }
    if (has_pinged_ && heard_at_ < pinged_at_) {
        fail(Code::kTimeout, "does not answer a PING");
        return;
    }
    has_pinged_ = now() - heard_at_ >= kPingAfter;
    if (has_pinged_) {
        pinged_at_ = now();
        nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr);
        flush_soon();
    }
    wait();
}

}  // namespace candela::http
