// What clients say of what they were given, and what follows from it.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "bus/dead_letters.h"
#include "consumer.h"

namespace candela::bus_role {

int64_t Consumer::ack_wait_of(uint64_t deliveries) const {
    if (config_.backoff.empty()) return config_.ack_wait;
    return config_.backoff[std::clamp<uint64_t>(deliveries, 1, config_.backoff.size()) - 1];
}

uint64_t Consumer::deliveries_of(uint64_t sequence) const {
    const auto found = deliveries_.find(sequence);
    return found == deliveries_.end() ? 1 : found->second;
}

void Consumer::acknowledge(uint64_t sequence, uint64_t delivery, std::string_view payload,
                           const std::string& reply) {
    last_active_ = mono();
    if (config_.ack == AckPolicy::kNone) return;
    const std::string_view word = payload.substr(0, payload.find(' '));
    const std::string_view rest =
        word.size() == payload.size() ? std::string_view() : trim(payload.substr(word.size()));
    if (word == "-NAK") {
        refuse(sequence, delivery, rest);
    } else if (word == "+WPI") {
        const auto pending = pending_.find(sequence);
        if (pending != pending_.end() && pending->second.deadline != 0) {
            deadlines_.erase({pending->second.deadline, sequence});
            pending->second.deadline = mono() + ack_wait_of(deliveries_of(sequence));
            deadlines_.insert({pending->second.deadline, sequence});
        }
    } else {
        const bool is_known = pending_.contains(sequence);
        const bool is_terminated = word == "+TERM" && is_known;
        if (is_terminated) advise_terminated(sequence, delivery, rest);
        if (word != "+TERM" && is_known) measure_ack(sequence, delivery);
        const bool takes_all = config_.ack == AckPolicy::kAll && word != "+TERM";
        // Before the ack is written down: what a work queue has done with goes first, so that no
        // crash leaves it behind with nobody to take it.
        std::string change = fmt::format("{} {}", takes_all ? 'L' : 'A', sequence);
        if (takes_all) {
            while (!pending_.empty() && pending_.begin()->first <= sequence) {
                settle(pending_.begin()->first, true);
            }
        } else {
            settle(sequence, !(is_terminated && keeps_for_dead_letter()));
        }
        stream_.flush_done();
        if (is_terminated) {
            note_behind_advisory(std::move(change), reply);
            js_.wake(stream_);
            return;
        }
        note_change(change);
        if (word == "+NXT") {
            request(reply, std::string(rest));
            return;
        }
    }
    js_.wake(stream_);
    if (!reply.empty()) answer_ack(reply);
}

// An answer was asked for: it says that the ack is on the disk.
void Consumer::answer_ack(const std::string& reply) {
    JetStream* js = &js_;
    flush_changes([js, account = stream_.account().key(), reply](const Result<>& result) {
        if (result) js->send(js->account(account), reply, {}, {}, {});
    });
}

// Where a stream keeps the advisories, it is to have this one before it is written down that
// nothing more comes of the message: no crash loses a dead letter.
void Consumer::note_behind_advisory(std::string change, const std::string& reply) {
    js_.server().later([this, alive = alive_, change = std::move(change), reply] {
        if (!*alive || is_ended_) return;
        note_change(change);
        if (reply.empty()) {
            flush_changes(StreamLog::Done());
        } else {
            answer_ack(reply);
        }
    });
}

// Whoever moves dead letters takes the message out of the queue.
bool Consumer::keeps_for_dead_letter() const {
    return stream_.config().retention == Retention::kWorkQueue &&
           config_.metadata.contains(std::string(bus::kDeadLetterKey));
}

// -NAK [{"delay": nanoseconds}] or a duration: it comes again, at once or later.
void Consumer::refuse(uint64_t sequence, uint64_t delivery, std::string_view rest) {
    const auto pending = pending_.find(sequence);
    if (pending == pending_.end()) return;
    int64_t delay = 0;
    if (rest.starts_with("{")) {
        const Result<Json> body = parse_json(rest);
        if (body) delay = json_int_or(*body, "delay", 0);
    } else if (const Result<Duration> given = parse_duration(rest); given) {
        delay = given->count();
    }
    js_.advise(stream_.account(), advisory_subject("MSG_NAKED"), "nak",
               {{"stream", stream_.config().name},
                {"consumer", config_.name},
                {"consumer_seq", pending->second.consumer_sequence},
                {"stream_seq", sequence},
                {"deliveries", delivery}});
    redeliver(sequence, delay);
}

void Consumer::settle(uint64_t sequence, bool apply_to_stream) {
    const auto pending = pending_.find(sequence);
    if (pending == pending_.end()) return;
    if (pending->second.deadline != 0) deadlines_.erase({pending->second.deadline, sequence});
    pending_.erase(pending);
    again_.erase(sequence);
    deliveries_.erase(sequence);
    move_floor();
    if (apply_to_stream) stream_.on_done(sequence);
}

void Consumer::move_floor() {
    if (pending_.empty()) {
        floor_consumer_ = consumer_sequence_;
        floor_stream_ = stream_sequence_;
        return;
    }
    const auto& [sequence, first] = *pending_.begin();
    floor_stream_ = std::max(floor_stream_, sequence - 1);
    floor_consumer_ = std::max(floor_consumer_, first.consumer_sequence - 1);
}

void Consumer::redeliver(uint64_t sequence, int64_t delay) {
    const auto pending = pending_.find(sequence);
    if (pending == pending_.end()) return;
    if (pending->second.deadline != 0) deadlines_.erase({pending->second.deadline, sequence});
    pending->second.deadline = 0;
    if (delay > 0) {
        pending->second.deadline = mono() + std::min(delay, kDelayMax);
        deadlines_.insert({pending->second.deadline, sequence});
        arm();
    } else {
        again_.insert(sequence);
    }
}

// Nobody hears of it again; it stays in the stream.
void Consumer::give_up(uint64_t sequence, uint64_t deliveries) {
    again_.erase(sequence);
    js_.advise(stream_.account(), advisory_subject("MAX_DELIVERIES"), "max_deliver",
               {{"stream", stream_.config().name},
                {"consumer", config_.name},
                {"stream_seq", sequence},
                {"deliveries", deliveries}});
    settle(sequence, false);
    note_behind_advisory(fmt::format("T {}", sequence), {});
}

void Consumer::advise_terminated(uint64_t sequence, uint64_t delivery, std::string_view reason) {
    Json body = {{"stream", stream_.config().name},
                 {"consumer", config_.name},
                 {"consumer_seq", pending_[sequence].consumer_sequence},
                 {"stream_seq", sequence},
                 {"deliveries", delivery}};
    if (!reason.empty()) body["reason"] = std::string(reason);
    js_.advise(stream_.account(), advisory_subject("MSG_TERMINATED"), "terminated",
               std::move(body));
}

void Consumer::measure_ack(uint64_t sequence, uint64_t delivery) {
    if (config_.sample_percent == 0) return;
    if (config_.sample_percent < 100 && js_.loop().random().below(100) >= config_.sample_percent)
        return;
    const Pending& pending = pending_[sequence];
    js_.measure(
        stream_.account(),
        fmt::format("$JS.EVENT.METRIC.CONSUMER.ACK.{}.{}", stream_.config().name, config_.name),
        "consumer_ack",
        {{"stream", stream_.config().name},
         {"consumer", config_.name},
         {"consumer_seq", pending.consumer_sequence},
         {"stream_seq", sequence},
         {"ack_time", pending.delivered_at == 0 ? 0 : mono() - pending.delivered_at},
         {"deliveries", delivery}});
}

std::string Consumer::advisory_subject(std::string_view what) const {
    return fmt::format("$JS.EVENT.ADVISORY.CONSUMER.{}.{}.{}", what, stream_.config().name,
                       config_.name);
}

}  // namespace candela::bus_role
