// Handing out: which message is next, whether it may go now, and to whom.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "consumer.h"

namespace candela::bus_role {

namespace {

// Other streams and clients get their turn after so many messages.
constexpr int kMessagesPerTurn = 256;
constexpr size_t kBacklogMax = 8 * 1024 * 1024;
constexpr uint64_t kFlowWindowMax = 32 * 1024 * 1024;
constexpr int64_t kReadRetry = 200'000'000;

}  // namespace

bool Consumer::can_deliver() {
    if (config_.ack == AckPolicy::kNone || config_.ack_pending_max <= 0 || !again_.empty())
        return true;
    return pending_.size() < static_cast<size_t>(config_.ack_pending_max);
}

Consumer::Next Consumer::find_next(uint64_t& sequence, bool& is_redelivery) {
    while (!again_.empty()) {
        sequence = *again_.begin();
        const auto pending = pending_.find(sequence);
        if (pending == pending_.end() || stream_.log().find(sequence) == nullptr) {
            again_.erase(again_.begin());
            continue;
        }
        is_redelivery = true;
        return Next::kFound;
    }
    is_redelivery = false;
    if (!can_deliver()) return Next::kNone;
    while (!first_ones_.empty()) {
        sequence = *first_ones_.begin();
        if (stream_.log().find(sequence) != nullptr) return Next::kFound;
        first_ones_.erase(first_ones_.begin());
    }
    if (waiting_messages_ == 0) return Next::kNone;
    const IndexEntry* entry = next_match(next_);
    if (entry == nullptr) {
        waiting_messages_ = 0;
        return Next::kNone;
    }
    sequence = entry->sequence;
    return Next::kFound;
}

void Consumer::pump() {
    if (is_ended_ || is_loading_) return;
    if (config_.is_push()) {
        has_listener_ = js_.has_interest(stream_.account(), config_.deliver_subject);
        if (has_listener_) last_active_ = mono();
    }
    int count = 0;
    Server& server = js_.server();
    while (!is_ended_ && count < kMessagesPerTurn && !server.is_congested() && deliver_one())
        ++count;
    flush_changes(StreamLog::Done());
    if (is_ended_) return;
    if (server.is_congested()) {
        wait_for_relief();
    } else if (count == kMessagesPerTurn) {
        // The rest in the next round, so that others get their turn.
        js_.loop().post([this, alive = alive_] {
            if (*alive) js_.wake(stream_);
        });
    } else if (!is_loading_) {
        finish_no_wait();
    }
    arm();
}

// Readers on other loops get no more until those loops have taken what is on its way to them.
void Consumer::wait_for_relief() {
    if (waits_for_relief_) return;
    waits_for_relief_ = true;
    js_.server().on_relief([this, alive = alive_] {
        if (!*alive) return;
        waits_for_relief_ = false;
        js_.wake(stream_);
    });
}

// What holds a consumer back whatever comes next; where that ends by itself, arm() knows when.
bool Consumer::is_held_back(int64_t now) {
    if (is_paused() || unreadable_until_ > now) return true;
    if (!config_.is_push()) return next_request() == nullptr;
    if (!has_listener_) return true;
    if (config_.flow_control && flow_bytes_ >= flow_window_) return true;
    if (last_sent_ < 0) return true;  // a slow reader
    return config_.rate_limit_bits != 0 && rate_free_at_ > now + kRateBurst;
}

bool Consumer::deliver_one() {
    const int64_t now = mono();
    if (is_held_back(now)) return false;
    uint64_t sequence = 0;
    bool is_redelivery = false;
    if (find_next(sequence, is_redelivery) != Next::kFound) return false;
    if (is_replaying_ && !is_redelivery && !is_due(sequence, now)) return false;
    const RecordPtr record = stream_.log().read(sequence);
    RecordView view;
    if (record != nullptr && decode_record(record->body, view))
        return deliver(view, sequence, is_redelivery);
    is_loading_ = true;
    stream_.log().load(sequence, [this, alive = alive_, sequence] {
        if (!*alive) return;
        is_loading_ = false;
        // A disk that does not read now may do so later.
        StreamLog& log = stream_.log();
        if (log.read(sequence) == nullptr && log.find(sequence) != nullptr) {
            unreadable_until_ = mono() + kReadRetry;
            arm();
            return;
        }
        js_.wake(stream_);
    });
    return false;
}

// Replay as it came: with the pauses that lay between the messages.
bool Consumer::is_due(uint64_t sequence, int64_t now) {
    const IndexEntry* entry = stream_.log().find(sequence);
    replay_due_ = 0;
    if (entry == nullptr || replayed_at_ == 0) return true;
    const int64_t due = replayed_at_ + std::max<int64_t>(0, entry->timestamp - replayed_timestamp_);
    if (due <= now) return true;
    replay_due_ = due;
    return false;
}

bool Consumer::deliver(const RecordView& view, uint64_t sequence, bool is_redelivery) {
    uint64_t deliveries = 1;
    if (is_redelivery) {
        deliveries = deliveries_of(sequence) + 1;
        if (config_.deliver_max > 0 && deliveries > static_cast<uint64_t>(config_.deliver_max)) {
            give_up(sequence, deliveries - 1);
            return true;
        }
    }
    std::string headers;
    std::string_view shown_headers = view.headers;
    std::string_view payload = view.payload;
    if (config_.headers_only) {
        headers = with_header(view.headers, "Nats-Msg-Size", std::to_string(view.payload.size()));
        shown_headers = headers;
        payload = {};
    }
    const uint64_t waiting_after =
        waiting_messages_ - (is_redelivery || waiting_messages_ == 0 ? 0 : 1);
    const std::string ack =
        fmt::format("$JS.ACK.{}.{}.{}.{}.{}.{}.{}", stream_.config().name, config_.name, deliveries,
                    sequence, consumer_sequence_ + 1, view.timestamp, waiting_after);
    const bool is_sent = config_.is_push()
                             ? deliver_push(view.subject, ack, shown_headers, payload)
                             : deliver_pull(view.subject, ack, shown_headers, payload);
    // Where it did not fit into one request, the next one may take it.
    if (!is_sent) return !config_.is_push() && next_request() != nullptr;
    if (is_redelivery) deliveries_[sequence] = deliveries;
    note_delivered(sequence, view, is_redelivery);
    return true;
}

void Consumer::note_delivered(uint64_t sequence, const RecordView& view, bool is_redelivery) {
    ++consumer_sequence_;
    stream_sequence_ = std::max(stream_sequence_, sequence);
    delivered_at_ = mono();
    if (is_redelivery) {
        again_.erase(sequence);
    } else {
        if (first_ones_.erase(sequence) == 0) next_ = sequence + 1;
        if (waiting_messages_ != 0) --waiting_messages_;
        replayed_at_ = delivered_at_;
        replayed_timestamp_ = view.timestamp;
        // It has caught up; what comes now comes at its own time.
        if (waiting_messages_ == 0) is_replaying_ = false;
    }
    if (config_.ack == AckPolicy::kNone) {
        floor_consumer_ = consumer_sequence_;
        floor_stream_ = stream_sequence_;
        note_change(fmt::format("N {} {}", sequence, consumer_sequence_));
        stream_.on_done(sequence);
        return;
    }
    Pending& pending = pending_[sequence];
    const uint64_t times = deliveries_of(sequence);
    pending.consumer_sequence = consumer_sequence_;
    pending.delivered_at = delivered_at_;
    pending.deadline = delivered_at_ + ack_wait_of(times);
    deadlines_.insert({pending.deadline, sequence});
    note_change(fmt::format("D {} {} {}", sequence, consumer_sequence_, times));
}

bool Consumer::deliver_push(std::string_view subject, const std::string& ack,
                            std::string_view headers, std::string_view payload) {
    size_t backlog = 0;
    if (!js_.send(stream_.account(), subject, ack, headers, payload, config_.deliver_subject,
                  &backlog)) {
        has_listener_ = false;
        return false;
    }
    last_sent_ = mono();
    const size_t size = subject.size() + ack.size() + headers.size() + payload.size();
    if (config_.rate_limit_bits != 0) {
        const auto bits = static_cast<double>(size * 8);
        const auto takes =
            static_cast<int64_t>(bits * 1e9 / static_cast<double>(config_.rate_limit_bits));
        rate_free_at_ = std::max(rate_free_at_, last_sent_) + takes;
    }
    if (config_.flow_control) {
        flow_bytes_ += size;
        if (flow_subject_.empty() && flow_bytes_ > flow_window_ / 2) send_flow_request();
    } else if (backlog > kBacklogMax) {
        last_sent_ = -1;
    }
    return true;
}

void Consumer::send_flow_request() {
    flow_subject_ =
        fmt::format("$JS.FC.{}.{}.{}", stream_.config().name, config_.name, js_.random_name(6));
    flow_requested_bytes_ = flow_bytes_;
    send_status(config_.deliver_subject, "100 FlowControl Request", {}, flow_subject_);
}

void Consumer::on_flow(std::string_view subject) {
    if (flow_subject_.empty() || subject != flow_subject_) return;
    flow_subject_.clear();
    flow_window_ = std::min(flow_window_ * 2, kFlowWindowMax);
    flow_bytes_ -= std::min(flow_bytes_, flow_requested_bytes_);
    js_.wake(stream_);
}

void Consumer::send_status(const std::string& to, std::string_view status, std::string_view extra,
                           std::string_view reply) {
    const std::string headers = fmt::format("NATS/1.0 {}\r\n{}\r\n", status, extra);
    js_.send(stream_.account(), to, reply, headers, {});
}

std::string Consumer::heartbeat_headers() const {
    return fmt::format("Nats-Last-Consumer: {}\r\nNats-Last-Stream: {}\r\n", consumer_sequence_,
                       stream_sequence_);
}

}  // namespace candela::bus_role
