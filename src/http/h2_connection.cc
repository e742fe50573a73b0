#include "http/h2_connection.h"

#include <algorithm>

#include "base/check.h"
#include "http/h2_session_impl.h"

namespace candela::http {
namespace {

constexpr uint32_t kStreamWindow = 256 * 1024;
constexpr int32_t kConnectionWindow = 1024 * 1024;
constexpr size_t kFreeStreamsMax = 32;
constexpr Duration kTick = 1s;
constexpr Duration kLinger =
    1s;  // between the first and the last GOAWAY, and after the last answer
// Faults that a client may have: a burst, and then so many a second.
constexpr double kFaultsMax = 100;
constexpr double kFaultsPerSecond = 10;
// RST_STREAM of the client (CVE-2023-44487); beyond it nghttp2 ends the connection.
constexpr uint64_t kResetsBurst = 1000;
constexpr uint64_t kResetsPerSecond = 33;

}  // namespace

struct H2Callbacks {
    static H2Connection& of(void* user) { return *static_cast<H2Connection*>(user); }
    static H2Stream* stream_of(nghttp2_session* session, int32_t id) {
        return static_cast<H2Stream*>(nghttp2_session_get_stream_user_data(session, id));
    }

    static int on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
        H2Connection& self = of(user);
        self.begin_block();
        if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
        H2Stream& stream = self.open_stream(frame->hd.stream_id);
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, &stream);
        return 0;
    }

    static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                         size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                         void*) {
        H2Stream* const stream = stream_of(session, frame->hd.stream_id);
        if (stream != nullptr)
            stream->add_field(h2_view(name, name_size), h2_view(value, value_size));
        return 0;
    }

    static int on_frame_recv(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
        H2Connection& self = of(user);
        const bool is_head = frame->hd.type == NGHTTP2_HEADERS;
        if (is_head) self.in_block_ = false;
        if (!is_head && frame->hd.type != NGHTTP2_DATA) return 0;
        H2Stream* const stream = stream_of(session, frame->hd.stream_id);
        if (stream == nullptr) return 0;
        const bool is_last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        if (is_head && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
            stream->on_head(!is_last);
        } else if (is_head) {
            stream->on_trailers();
        }
        if (is_last) stream->on_request_end();
        return 0;
    }

    static int on_data_chunk(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* bytes,
                             size_t size, void* user) {
        if (H2Stream* const stream = stream_of(session, id)) {
            stream->on_body(h2_view(bytes, size));
        } else {
            nghttp2_session_consume(session, id, size);
            of(user).flush_soon();
        }
        return 0;
    }

    static int on_stream_close(nghttp2_session* session, int32_t id, uint32_t, void* user) {
        if (H2Stream* const stream = stream_of(session, id)) {
            nghttp2_session_set_stream_user_data(session, id, nullptr);
            stream->on_closed();
            of(user).recycle(*stream);
        }
        return 0;
    }

    static int on_frame_send(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
        const bool is_answer = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
        if (is_answer && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
            // RFC 9113 §8.1: the rest of the request is not wanted any more.
            H2Stream* const stream = stream_of(session, frame->hd.stream_id);
            if (stream != nullptr && !stream->is_request_complete()) {
                nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                          NGHTTP2_NO_ERROR);
            }
        } else if (frame->hd.type == NGHTTP2_RST_STREAM) {
            const uint32_t code = frame->rst_stream.error_code;
            const bool is_their_fault =
                code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR ||
                code == NGHTTP2_STREAM_CLOSED || code == NGHTTP2_FRAME_SIZE_ERROR;
            if (is_their_fault) of(user).note_fault();
        }
        return 0;
    }

    // The same for all sessions.
    static const nghttp2_session_callbacks* callbacks() {
        static nghttp2_session_callbacks* const made = [] {
            nghttp2_session_callbacks* const out = h2_make_callbacks<H2Callbacks>();
            nghttp2_session_callbacks_set_on_begin_headers_callback(out, on_begin_headers);
            return out;
        }();
        return made;
    }

    static const nghttp2_option* options() {
        static nghttp2_option* const made = [] {
            nghttp2_option* const out = h2_make_options();
            nghttp2_option_set_stream_reset_rate_limit(out, kResetsBurst, kResetsPerSecond);
            return out;
        }();
        return made;
    }
};

H2Connection::H2Connection(Proxy& proxy, StreamPtr stream, std::string early)
    : proxy_(proxy),
      stream_(std::move(stream)),
      early_(std::move(early)),
      timer_(proxy.loop_.timers(), [this] { on_timer(); }) {
    const Address peer = stream_->peer();
    if (peer.kind == Address::Kind::kTcp) peer_ip_ = peer.host;
    peer_is_trusted_ =
        peer.kind == Address::Kind::kUnix || proxy_.options_.trusted_peers.contains(peer_ip_);
    nghttp2_session* session = nullptr;
    CANDELA_CHECK(nghttp2_session_server_new2(&session, H2Callbacks::callbacks(), this,
                                              H2Callbacks::options()) == 0);
    session_.reset(session);
}

H2Connection::~H2Connection() { *alive_ = false; }

void H2Connection::start() {
    const auto head_max = static_cast<uint32_t>(proxy_.options_.request_limits.head_bytes_max);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, proxy_.options_.h2_streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, head_max},
    };
    CANDELA_CHECK(nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, settings,
                                          std::size(settings)) == 0);
    nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
    last_request_at_ = proxy_.loop_.now();
    flush_soon();
    wait();
    stream_->start(*this);
    if (!early_.empty()) {
        const std::string early = std::exchange(early_, std::string());
        on_data(early);
    }
}

void H2Connection::drain() {
    if (draining_ || closed_) return;
    draining_ = true;
    // RFC 9113 §6.8: first a word that no more is wanted, then, once what was on its way has
    // come, the last stream that is served.
    nghttp2_submit_shutdown_notice(session_.get());
    flush_soon();
    timer_.start(kLinger);
}

void H2Connection::close() {
    if (closed_) return;
    closed_ = true;
    *alive_ = false;
    for (const auto& stream : streams_) stream->on_closed();
    timer_.stop();
    stream_.reset();
    proxy_.bury(*this);
}

void H2Connection::begin_block() {
    in_block_ = true;
    block_since_ = proxy_.loop_.now();
}

H2Stream& H2Connection::open_stream(int32_t id) {
    last_request_at_ = proxy_.loop_.now();
    if (streams_.empty()) timer_.start(kTick);
    if (free_.empty()) {
        streams_.push_back(std::make_unique<H2Stream>(*this));
    } else {
        streams_.push_back(std::move(free_.back()));
        free_.pop_back();
    }
    H2Stream& stream = *streams_.back();
    stream.index = streams_.size() - 1;
    stream.begin(id);
    return stream;
}

void H2Connection::recycle(H2Stream& stream) {
    std::erase(drained_, &stream);
    const size_t at = stream.index;
    std::swap(streams_[at], streams_.back());
    streams_[at]->index = at;
    if (free_.size() < kFreeStreamsMax) free_.push_back(std::move(streams_.back()));
    streams_.pop_back();
    last_request_at_ = proxy_.loop_.now();
}

void H2Connection::note_drained(H2Stream& stream) {
    if (std::find(drained_.begin(), drained_.end(), &stream) == drained_.end()) {
        drained_.push_back(&stream);
    }
}

void H2Connection::note_fault() {
    const MonoTime now = proxy_.loop_.now();
    const double passed = std::chrono::duration<double>(now - faults_at_).count();
    faults_at_ = now;
    faults_ = std::max(0.0, faults_ - passed * kFaultsPerSecond) + 1;
    if (faults_ <= kFaultsMax) return;
    nghttp2_session_terminate_session(session_.get(), NGHTTP2_ENHANCE_YOUR_CALM);
}

void H2Connection::on_data(std::string_view bytes) {
    if (closed_ || lingers_) return;
    const ssize_t used = nghttp2_session_mem_recv(
        session_.get(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    if (closed_) return;
    if (used < 0) {
        bump(proxy_.counters_.requests_malformed);
        proxy_.log_.debug(
            "h2_connection_failed",
            {{"client", peer_ip_}, {"error", nghttp2_strerror(static_cast<int>(used))}});
        const uint32_t code =
            used == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR;
        nghttp2_session_terminate_session(session_.get(), code);
        flush();
        if (!closed_ && !lingers_) close();
        return;
    }
    flush_soon();
}

void H2Connection::on_end() { close(); }

void H2Connection::on_error(const Error&) { close(); }

void H2Connection::on_drained() {
    full_since_ = MonoTime();
    if (paused_) {
        paused_ = false;
        stream_->resume();
    }
    if (lingers_) return;
    flush();
}

void H2Connection::flush_soon() {
    if (flush_scheduled_ || closed_) return;
    flush_scheduled_ = true;
    proxy_.loop_.defer([this, alive = alive_] {
        if (*alive) flush();
    });
}

void H2Connection::flush() {
    flush_scheduled_ = false;
    if (lingers_) return;
    if (!h2_write(session_.get(), *stream_, written_bytes_)) {
        close();
        return;
    }
    if (stream_->queued_bytes() > 0) {
        if (full_since_ == MonoTime()) full_since_ = proxy_.loop_.now();
        // Who does not read our answers is not read either.
        if (stream_->queued_bytes() > kH2QueuedBytesMax && !paused_) {
            paused_ = true;
            stream_->pause();
        }
    }
    while (!drained_.empty()) {
        H2Stream* const stream = drained_.back();
        drained_.pop_back();
        stream->tell_drained();
    }
    finish_if_over();
}

void H2Connection::finish_if_over() {
    const bool is_over = nghttp2_session_want_read(session_.get()) == 0 &&
                         nghttp2_session_want_write(session_.get()) == 0;
    if (closed_ || lingers_ || !is_over) return;
    lingers_ = true;
    stream_->end();
    timer_.start(proxy_.options_.linger_timeout);
}

// Connections on which nothing goes on cost no wake-ups.
void H2Connection::wait() {
    const bool is_idle =
        streams_.empty() && !draining_ && !in_block_ && stream_->queued_bytes() == 0;
    if (!is_idle) {
        timer_.start(kTick);
        return;
    }
    const Duration idle = proxy_.loop_.now() - last_request_at_;
    timer_.start(std::max(proxy_.options_.idle_timeout - idle, kTick));
}

bool H2Connection::is_stuck() {
    if (stream_->queued_bytes() == 0) return false;
    const uint64_t taken = written_bytes_ - stream_->queued_bytes();
    if (taken != std::exchange(taken_bytes_seen_, taken)) full_since_ = proxy_.loop_.now();
    return proxy_.loop_.now() - full_since_ >= proxy_.options_.send_timeout;
}

void H2Connection::on_timer() {
    if (lingers_ || is_stuck()) {
        close();
        return;
    }
    const MonoTime now = proxy_.loop_.now();
    if (draining_ && !is_last_told_) {
        is_last_told_ = true;
        nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(session_.get()),
                              NGHTTP2_NO_ERROR, nullptr, 0);
        flush_soon();
    } else if (in_block_ && now - block_since_ >= proxy_.options_.head_timeout) {
        nghttp2_session_terminate_session(session_.get(), NGHTTP2_PROTOCOL_ERROR);
        flush_soon();
    } else if (streams_.empty() && now - last_request_at_ >= proxy_.options_.idle_timeout) {
        nghttp2_session_terminate_session(session_.get(), NGHTTP2_NO_ERROR);
        flush_soon();
    }
    // A stream that is reset here leaves the list in a later step.
    for (size_t i = 0; i < streams_.size(); ++i) {
        if (!streams_[i]->check_progress(now)) streams_[i]->close();
    }
    wait();
}

}  // namespace candela::http
