// What happens by itself, in time: acks that did not come, requests that expire, heartbeats, pauses
// that end, and the end of a consumer that nobody uses.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "consumer.h"

namespace candela::bus_role {

namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kBacklogPause = 5 * kMillisecond;
constexpr int64_t kListenerPoll = 250 * kMillisecond;
// A clock that was set is noticed after so long.
constexpr int64_t kPausePoll = 60'000 * kMillisecond;

}  // namespace

void Consumer::arm() {
    if (is_ended_) return;
    const int64_t now = mono();
    int64_t next = INT64_MAX;
    if (!deadlines_.empty()) next = std::min(next, deadlines_.begin()->first);
    for (const Request& request : requests_) {
        if (request.expires != 0) next = std::min(next, request.expires);
        if (request.heartbeat != 0) next = std::min(next, request.next_heartbeat);
    }
    const bool has_work = waiting_messages_ != 0 || !again_.empty();
    if (config_.is_push()) {
        if (last_sent_ < 0) next = std::min(next, now + kBacklogPause);
        if (config_.heartbeat != 0) next = std::min(next, last_sent_ + config_.heartbeat);
        if (!has_listener_ && has_work) next = std::min(next, now + kListenerPoll);
        if (has_work && rate_free_at_ > now + kRateBurst)
            next = std::min(next, rate_free_at_ - kRateBurst);
    }
    if (unreadable_until_ > now) next = std::min(next, unreadable_until_);
    if (replay_due_ > now) next = std::min(next, replay_due_);
    if (config_.pause_until != 0) {
        next = std::min(
            next, now + std::clamp(config_.pause_until - js_.now(), kMillisecond, kPausePoll));
    }
    if (!pin_.empty()) next = std::min(next, pin_used_at_ + config_.priority_timeout);
    if (config_.inactive_threshold != 0)
        next = std::min(next, last_active_ + config_.inactive_threshold);
    if (next == INT64_MAX) {
        timer_.stop();
    } else {
        timer_.start(Duration(std::max<int64_t>(next - now, kMillisecond)));
    }
}

void Consumer::on_timer() {
    const int64_t now = mono();
    check_deadlines(now);
    check_requests(now);
    check_pin(now);
    check_pause();
    check_idle(now);
    if (!is_ended_) {
        js_.wake(stream_);
        arm();
    }
}

void Consumer::check_deadlines(int64_t now) {
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
        const uint64_t sequence = deadlines_.begin()->second;
        deadlines_.erase(deadlines_.begin());
        const auto pending = pending_.find(sequence);
        if (pending == pending_.end()) continue;
        pending->second.deadline = 0;
        again_.insert(sequence);
    }
    // Without anybody to hand it to, one that was delivered as often as it may is given up all the
    // same.
    if (config_.deliver_max <= 0) return;
    for (auto it = again_.begin(); it != again_.end();) {
        const uint64_t sequence = *it++;
        const uint64_t deliveries = deliveries_of(sequence);
        if (deliveries < static_cast<uint64_t>(config_.deliver_max)) continue;
        give_up(sequence, deliveries);
    }
}

void Consumer::check_idle(int64_t now) {
    if (config_.is_push()) {
        if (last_sent_ < 0) last_sent_ = now;
        has_listener_ = js_.has_interest(stream_.account(), config_.deliver_subject);
        if (config_.heartbeat != 0 && now - last_sent_ >= config_.heartbeat) {
            std::string extra = heartbeat_headers();
            if (!flow_subject_.empty())
                extra += fmt::format("Nats-Consumer-Stalled: {}\r\n", flow_subject_);
            if (has_listener_) send_status(config_.deliver_subject, "100 Idle Heartbeat", extra);
            last_sent_ = now;
        }
        if (has_listener_) last_active_ = now;
    } else if (!requests_.empty()) {
        drop_requests_without_interest();
        if (!requests_.empty()) last_active_ = now;
    }
    if (config_.inactive_threshold != 0 && now - last_active_ >= config_.inactive_threshold) {
        stream_.remove_consumer(*this, StreamLog::Done());
    }
}

// --- Pauses ---

bool Consumer::is_paused() const {
    return config_.pause_until != 0 && config_.pause_until > js_.now();
}

void Consumer::pause(int64_t until, std::string text) {
    config_.pause_until = until;
    config_.pause_until_text = std::move(text);
    was_paused_ = is_paused();
    advise_pause();
    arm();
    js_.wake(stream_);
}

void Consumer::check_pause() {
    if (!was_paused_ || is_paused()) return;
    was_paused_ = false;
    config_.pause_until = 0;
    config_.pause_until_text.clear();
    advise_pause();
}

void Consumer::advise_pause() {
    Json body = {
        {"stream", stream_.config().name}, {"consumer", config_.name}, {"paused", is_paused()}};
    if (is_paused()) body["pause_until"] = format_nanos(config_.pause_until);
    js_.advise(stream_.account(), advisory_subject("PAUSE"), "consumer_pause", std::move(body));
}

}  // namespace candela::bus_role
