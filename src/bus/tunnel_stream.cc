#include "bus/tunnel_stream.h"

#include <algorithm>

namespace candela::bus {

namespace {
constexpr Duration kRetryDelay = 5ms;  // the bus client's buffer is full
constexpr size_t kQueueKeptBytes = 64 * 1024;
constexpr size_t kReasonBytesMax = 200;
}  // namespace

TunnelCore::TunnelCore(Client& client, const TunnelOptions& options, std::string_view name)
    : client_(client),
      options_(options),
      name_(name),
      timer_(client.loop().timers(), [this] { on_timer(); }),
      heard_at_(client.loop().now()) {}

TunnelCore::~TunnelCore() = default;

Result<> TunnelCore::listen() {
    inbox_ = client_.new_inbox();
    Result<Subscription> subscription =
        client_.subscribe(inbox_, [weak = weak_from_this()](const MessageView& message) {
            if (const std::shared_ptr<TunnelCore> self = weak.lock()) self->on_message(message);
        });
    if (!subscription) return fail(subscription.error());
    subscription_ = std::move(*subscription);
    return {};
}

void TunnelCore::open(std::string peer_inbox, uint64_t peer_window) {
    peer_inbox_ = std::move(peer_inbox);
    peer_window_ = peer_window;
    is_open_ = true;
    heard_at_ = client_.loop().now();
    // Tells the listener at once where the opener has gone meanwhile.
    send(TunnelFrameType::kAlive, sent_);
    timer_.start(options_.keepalive_interval);
    pump();
    grant_window();
}

void TunnelCore::offer(std::string reply, std::string peer_inbox, uint64_t peer_window) {
    offer_.emplace(Offer{std::move(reply), std::move(peer_inbox), peer_window});
}

void TunnelCore::accept() {
    answer(TunnelFrameType::kAccept, options_.window_bytes, inbox_);
    Offer taken = std::move(*offer_);
    offer_.reset();
    open(std::move(taken.peer_inbox), taken.peer_window);
}

void TunnelCore::answer(TunnelFrameType type, uint64_t number, std::string_view text) {
    encode_tunnel_frame(type, number, text, frame_);
    const Result<> published = client_.publish(offer_->reply, frame_);
    // The opener waits for it no longer than its own timeout.
    if (!published) break_off(published.error(), false);
}

void TunnelCore::start(StreamHandler& handler) {
    handler_ = &handler;
    if (offer_ && !is_closed_) accept();
    resume();
}

void TunnelCore::resume() {
    if (is_reading_ || is_closed_) return;
    is_reading_ = true;
    // Never from within the call: the user may be in the middle of something.
    client_.loop().defer([weak = weak_from_this()] {
        const std::shared_ptr<TunnelCore> self = weak.lock();
        if (self != nullptr) self->hand_on();
    });
}

void TunnelCore::on_message(const MessageView& message) {
    if (is_closed_ || error_) return;
    if (header_status(message.headers) == 503) {
        break_off(Error(Code::kUnreachable, "the other end of the tunnel is gone"), false);
        return;
    }
    const std::optional<TunnelFrame> frame = decode_tunnel_frame(message.payload);
    if (!frame) {
        break_off(Error(Code::kCorrupt, "the tunnel carried something else"), true);
        return;
    }
    heard_at_ = client_.loop().now();
    switch (frame->type) {
        case TunnelFrameType::kData: on_data(*frame); break;
        case TunnelFrameType::kEnd:
        case TunnelFrameType::kAlive:
            if (frame->number != received_) {
                break_off(Error(Code::kCorrupt, "the tunnel lost a message"), true);
                return;
            }
            got_end_ = got_end_ || frame->type == TunnelFrameType::kEnd;
            hand_on();
            break;
        case TunnelFrameType::kWindow:
            if (frame->number > sent_ || frame->number < acknowledged_) {
                break_off(Error(Code::kCorrupt, "the tunnel's window is out of order"), true);
                return;
            }
            acknowledged_ = frame->number;
            pump();
            tell_drained();
            break;
        case TunnelFrameType::kReset:
            break_off(Error(Code::kUnreachable,
                            "the other end reset the tunnel: " + std::string(frame->text)),
                      false);
            break;
        default: break;  // of the handshake: a late answer
    }
}

void TunnelCore::on_data(const TunnelFrame& frame) {
    if (frame.number != received_ || got_end_) {
        break_off(Error(Code::kCorrupt, "the tunnel lost a message"), true);
        return;
    }
    received_ += frame.text.size();
    if (received_ - passed_on_ > options_.window_bytes) {
        break_off(Error(Code::kCorrupt, "the tunnel carried more than its window"), true);
        return;
    }
    if (waiting_.empty() && is_reading_ && handler_ != nullptr) {
        passed_on_ = received_;
        const std::shared_ptr<TunnelCore> self = shared_from_this();
        handler_->on_data(frame.text);
        if (!is_closed_) grant_window();
        return;
    }
    waiting_ += frame.text;
}

// Passes on what came while nobody read.
void TunnelCore::hand_on() {
    const std::shared_ptr<TunnelCore> self = shared_from_this();
    if (is_closed_ || handler_ == nullptr || !is_reading_) return;
    if (!waiting_.empty()) {
        const std::string bytes = std::exchange(waiting_, {});
        passed_on_ += bytes.size();
        handler_->on_data(bytes);
        if (is_closed_) return;
        grant_window();
        if (!is_reading_) return;
    }
    if (got_end_ && !told_end_) {
        told_end_ = true;
        handler_->on_end();
        if (is_closed_) return;
    }
    tell_error();
}

void TunnelCore::grant_window() {
    if (!is_open_ || got_end_ || passed_on_ - granted_ < options_.window_bytes / 4) return;
    granted_ = passed_on_;
    send(TunnelFrameType::kWindow, passed_on_);
}

void TunnelCore::write(std::span<const std::string_view> parts) {
    if (is_closed_ || is_ending_ || error_) return;
    for (const std::string_view part : parts) queue_ += part;
    pump();
    if (queued_bytes() != 0) was_queued_ = true;
}

// Sends what the peer's window and the bus client's buffer let through.
void TunnelCore::pump() {
    if (!is_open_ || error_ || sent_end_) return;
    const size_t payload_max =
        client_.payload_max() - std::min(client_.payload_max(), size_t{1024});
    const size_t chunk_max = std::max<size_t>(1, std::min(options_.chunk_bytes_max, payload_max));
    while (queued_bytes() != 0) {
        const uint64_t in_flight = sent_ - acknowledged_;
        if (in_flight >= peer_window_) break;
        const size_t count = static_cast<size_t>(
            std::min<uint64_t>(std::min(chunk_max, queued_bytes()), peer_window_ - in_flight));
        encode_tunnel_frame(TunnelFrameType::kData, sent_,
                            std::string_view(queue_).substr(queue_front_, count), frame_);
        const Result<> published = client_.publish(peer_inbox_, frame_);
        if (!published && published.error().code() == Code::kExhausted) {
            timer_.start(kRetryDelay);
            break;
        }
        if (!published) {
            break_off(published.error(), false);
            return;
        }
        sent_ += count;
        queue_front_ += count;
    }
    if (queue_front_ == queue_.size()) {
        queue_.clear();
        if (queue_.capacity() > kQueueKeptBytes) queue_.shrink_to_fit();
        queue_front_ = 0;
        if (is_ending_) {
            sent_end_ = true;
            send(TunnelFrameType::kEnd, sent_);
        }
    } else if (queue_front_ > queue_.size() / 2) {
        queue_.erase(0, queue_front_);
        queue_front_ = 0;
    }
}

void TunnelCore::send(TunnelFrameType type, uint64_t number, std::string_view text) {
    if (peer_inbox_.empty()) return;
    encode_tunnel_frame(type, number, text, frame_);
    PublishOptions options;
    // With somewhere to answer to, the bus itself says when nobody listens any more.
    if (type == TunnelFrameType::kAlive) options.reply = inbox_;
    const Result<> published = client_.publish(peer_inbox_, frame_, options);
    // What could not be sent would be missed by the peer: the next ALIVE shows it, or its silence.
    if (!published && type == TunnelFrameType::kEnd) break_off(published.error(), false);
}

void TunnelCore::end() {
    if (is_closed_ || is_ending_ || error_) return;
    is_ending_ = true;
    pump();
    // We may be within the handler's own work: it is told later.
    client_.loop().defer([weak = weak_from_this()] {
        const std::shared_ptr<TunnelCore> self = weak.lock();
        if (self != nullptr) self->tell_drained();
    });
}

void TunnelCore::on_timer() {
    const std::shared_ptr<TunnelCore> self = shared_from_this();
    if (is_closed_ || error_) return;
    if (is_over()) return;
    const MonoTime now = client_.loop().now();
    if (now - heard_at_ > options_.dead_after) {
        break_off(Error(Code::kTimeout, "the other end of the tunnel is silent"), true);
        return;
    }
    // After END too: the other direction may go on for long.
    send(TunnelFrameType::kAlive, sent_);
    timer_.start(options_.keepalive_interval);
    pump();
    tell_drained();
}

// A queue that has emptied is told of, and so is, once, that everything before an end() is with the
// peer.
void TunnelCore::tell_drained() {
    if (queued_bytes() != 0 || handler_ == nullptr || is_closed_) return;
    const bool is_news = was_queued_ || (is_ending_ && !told_sent_);
    was_queued_ = false;
    told_sent_ = told_sent_ || is_ending_;
    if (is_news) handler_->on_drained();
}

void TunnelCore::break_off(Error error, bool tell_peer) {
    if (error_ || is_closed_) return;
    if (tell_peer) send(TunnelFrameType::kReset, 0, error.message().substr(0, kReasonBytesMax));
    error_ = std::move(error);
    timer_.stop();
    // Perhaps we are within write() or end(), where nothing may be told.
    client_.loop().defer([weak = weak_from_this()] {
        const std::shared_ptr<TunnelCore> self = weak.lock();
        if (self != nullptr && !self->is_closed_) self->tell_error();
    });
}

void TunnelCore::tell_error() {
    if (!error_ || told_error_ || handler_ == nullptr) return;
    told_error_ = true;
    handler_->on_error(*error_);
}

void TunnelCore::close() {
    if (is_closed_) return;
    if (offer_) {
        answer(TunnelFrameType::kRefuse, 0, "the target can't be reached");
        offer_.reset();
    } else if (!error_ && !(sent_end_ && got_end_)) {
        send(TunnelFrameType::kReset, 0, "closed");
    }
    is_closed_ = true;
    handler_ = nullptr;
    timer_.stop();
    subscription_.unsubscribe();
    if (on_gone_) std::exchange(on_gone_, {})();
}

}  // namespace candela::bus
