#include "consumer.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "auth/permissions.h"
#include "base/text.h"
#include "bus/subject.h"

namespace candela::bus_role {

namespace {

constexpr int64_t kMillisecond = 1'000'000;
// Other streams and clients get their turn after so many messages.
constexpr int kMessagesPerTurn = 256;
// Messages looked at for one that passes the filters, per turn.
constexpr int kLooksPerTurn = 20'000;
constexpr size_t kBacklogMax = 8 * 1024 * 1024;
constexpr int64_t kBacklogPause = 5 * kMillisecond;
constexpr int64_t kListenerPoll = 250 * kMillisecond;
constexpr uint64_t kFlowWindowMax = 32 * 1024 * 1024;

}  // namespace

Consumer::Consumer(DurableStream& stream, ConsumerConfig config, int64_t created, uint64_t id)
    : stream_(stream),
      js_(stream.js()),
      config_(std::move(config)),
      created_(created),
      id_(id),
      timer_(stream.js().loop().timers(), [this] { on_timer(); }) {
    last_active_ = last_sent_ = mono();
    arm();
}

Consumer::~Consumer() { *alive_ = false; }

int64_t Consumer::mono() { return js_.loop().now().time_since_epoch().count(); }

std::string Consumer::encode_blob() const {
    return dump_json({{"created", created_}, {"config", to_json(config_)}});
}

// --- Where it is
// ----------------------------------------------------------------------------------

bool Consumer::matches_subject(std::string_view subject) const {
    if (config_.filters.empty()) return true;
    return std::any_of(
        config_.filters.begin(), config_.filters.end(),
        [&](const std::string& filter) { return auth::subject_matches(filter, subject); });
}

bool Consumer::matches(const IndexEntry& entry) const {
    return config_.filters.empty() ||
           matches_subject(stream_.log().index().subject(entry.subject).name);
}

void Consumer::begin() {
    StreamLog& log = stream_.log();
    const MessageIndex& index = log.index();
    next_ = log.first_sequence();
    switch (config_.deliver) {
        case DeliverPolicy::kAll: break;
        case DeliverPolicy::kNew: next_ = log.last_sequence() + 1; break;
        case DeliverPolicy::kBySequence: next_ = std::max(next_, config_.start_sequence); break;
        case DeliverPolicy::kByTime: {
            const IndexEntry* entry = log.index().at_time(config_.start_time);
            next_ = entry != nullptr ? entry->sequence : log.last_sequence() + 1;
            break;
        }
        case DeliverPolicy::kLast: {
            uint64_t last = 0;
            if (config_.filters.empty()) {
                last = index.last();
            } else {
                for (uint32_t i = 0; i < index.subject_numbers(); ++i) {
                    const SubjectEntry& subject = index.subject(i);
                    if (subject.count != 0 && matches_subject(subject.name))
                        last = std::max(last, subject.last);
                }
            }
            next_ = last != 0 ? last : log.last_sequence() + 1;
            break;
        }
        case DeliverPolicy::kLastPerSubject:
            for (uint32_t i = 0; i < index.subject_numbers(); ++i) {
                const SubjectEntry& subject = index.subject(i);
                if (subject.count != 0 && matches_subject(subject.name))
                    first_ones_.insert(subject.last);
            }
            next_ = log.last_sequence() + 1;
            break;
    }
    stream_sequence_ = floor_stream_ = (first_ones_.empty() ? next_ : *first_ones_.begin()) - 1;
    recount();
    // Where it begins depends on when: written down with it.
    note_change("S " + state());
    flush_changes(StreamLog::Done());
}

void Consumer::recount() {
    waiting_messages_ = first_ones_.size();
    const MessageIndex& index = stream_.log().index();
    if (config_.filters.empty()) {
        waiting_messages_ += index.count_from(next_);
        return;
    }
    if (next_ <= index.first()) {
        // All of them: subjects know how many they have.
        for (uint32_t i = 0; i < index.subject_numbers(); ++i) {
            const SubjectEntry& subject = index.subject(i);
            if (subject.count != 0 && matches_subject(subject.name))
                waiting_messages_ += subject.count;
        }
        return;
    }
    for (const IndexEntry* entry = next_match(next_); entry != nullptr;
         entry = next_match(entry->sequence + 1)) {
        ++waiting_messages_;
    }
}

const IndexEntry* Consumer::next_match(uint64_t sequence) {
    StreamLog& log = stream_.log();
    if (config_.filters.size() == 1 && !bus::has_wildcard(config_.filters.front())) {
        const std::optional<uint32_t> subject = log.index().subject_number(config_.filters.front());
        if (!subject) return nullptr;
        const uint64_t next = log.index().next_of(*subject, sequence);
        return next == 0 ? nullptr : log.find(next);
    }
    const IndexEntry* entry = log.at_or_after(sequence);
    while (entry != nullptr && !matches(*entry)) entry = log.at_or_after(entry->sequence + 1);
    return entry;
}

void Consumer::on_appended(const IndexEntry& entry) {
    if (entry.sequence >= next_ && matches(entry)) ++waiting_messages_;
}

void Consumer::on_removed(const IndexEntry& entry) {
    if (first_ones_.erase(entry.sequence) != 0) {
        --waiting_messages_;
    } else if (entry.sequence >= next_ && matches(entry) && waiting_messages_ != 0) {
        --waiting_messages_;
    }
    const auto pending = pending_.find(entry.sequence);
    if (pending == pending_.end()) return;
    if (pending->second.deadline != 0) deadlines_.erase({pending->second.deadline, entry.sequence});
    pending_.erase(pending);
    again_.erase(entry.sequence);
    deliveries_.erase(entry.sequence);
    move_floor();
}

bool Consumer::needs(const IndexEntry& entry) const {
    if (pending_.contains(entry.sequence) || first_ones_.contains(entry.sequence)) return true;
    return entry.sequence >= next_ && matches(entry);
}

// --- Handing out
// ----------------------------------------------------------------------------------

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

bool Consumer::deliver_one() {
    if (config_.is_push()) {
        if (!has_listener_) return false;
        if (config_.flow_control && flow_bytes_ >= flow_window_) return false;
        if (last_sent_ < 0) return false;  // pauses for a slow reader; the timer ends it
    } else if (next_request() == nullptr) {
        return false;
    }
    uint64_t sequence = 0;
    bool is_redelivery = false;
    if (find_next(sequence, is_redelivery) != Next::kFound) return false;
    const RecordPtr record = stream_.log().read(sequence);
    RecordView view;
    if (record != nullptr && decode_record(record->body, view))
        return deliver(view, sequence, is_redelivery);
    is_loading_ = true;
    stream_.log().load(sequence, [this, alive = alive_] {
        if (!*alive) return;
        is_loading_ = false;
        js_.wake(stream_);
    });
    return false;
}

bool Consumer::deliver(const RecordView& view, uint64_t sequence, bool is_redelivery) {
    uint64_t deliveries = 1;
    if (is_redelivery) {
        const auto found = deliveries_.find(sequence);
        deliveries = (found == deliveries_.end() ? 1 : found->second) + 1;
        if (config_.deliver_max > 0 && deliveries > static_cast<uint64_t>(config_.deliver_max)) {
            again_.erase(sequence);
            advise_max_deliveries(sequence, deliveries - 1);
            // Nobody hears of it again; it stays in the stream.
            settle(sequence, false);
            note_change(fmt::format("T {}", sequence));
            return true;
        }
    }
    std::string headers;
    std::string_view shown_headers = view.headers;
    std::string_view payload = view.payload;
    if (config_.headers_only) {
        headers = view.headers.empty()
                      ? std::string("NATS/1.0\r\n")
                      : std::string(view.headers.substr(0, view.headers.size() - 2));
        headers += fmt::format("Nats-Msg-Size: {}\r\n\r\n", view.payload.size());
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
    if (is_redelivery) {
        again_.erase(sequence);
    } else {
        if (first_ones_.erase(sequence) == 0) next_ = sequence + 1;
        if (waiting_messages_ != 0) --waiting_messages_;
    }
    if (config_.ack == AckPolicy::kNone) {
        floor_consumer_ = consumer_sequence_;
        floor_stream_ = stream_sequence_;
        note_change(fmt::format("N {} {}", sequence, consumer_sequence_));
        stream_.on_done(sequence);
        return;
    }
    Pending& pending = pending_[sequence];
    const auto deliveries = deliveries_.find(sequence);
    const uint64_t times = deliveries == deliveries_.end() ? 1 : deliveries->second;
    pending.consumer_sequence = consumer_sequence_;
    pending.timestamp = view.timestamp;
    pending.deadline = mono() + ack_wait_of(times);
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
    if (config_.flow_control) {
        flow_bytes_ += subject.size() + ack.size() + headers.size() + payload.size();
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

// --- Acknowledging
// --------------------------------------------------------------------------------

int64_t Consumer::ack_wait_of(uint64_t deliveries) const {
    if (config_.backoff.empty()) return config_.ack_wait;
    return config_.backoff[std::min<uint64_t>(deliveries, config_.backoff.size()) - 1];
}

void Consumer::acknowledge(uint64_t sequence, uint64_t delivery, std::string_view payload,
                           const std::string& reply) {
    last_active_ = mono();
    if (config_.ack == AckPolicy::kNone) return;
    const std::string_view word = payload.substr(0, payload.find(' '));
    const std::string_view rest =
        word.size() == payload.size() ? std::string_view() : trim(payload.substr(word.size()));
    if (word == "-NAK") {
        int64_t delay = 0;
        if (rest.starts_with("{")) {
            const Result<Json> body = parse_json(rest);
            if (body) delay = json_int_or(*body, "delay", 0);
        } else if (const Result<Duration> given = parse_duration(rest); given) {
            delay = given->count();
        }
        redeliver(sequence, delay);
    } else if (word == "+WPI") {
        const auto pending = pending_.find(sequence);
        if (pending != pending_.end() && pending->second.deadline != 0) {
            deadlines_.erase({pending->second.deadline, sequence});
            pending->second.deadline = mono() + config_.ack_wait;
            deadlines_.insert({pending->second.deadline, sequence});
        }
    } else {
        if (word == "+TERM" && pending_.contains(sequence)) {
            Json body = {{"stream", stream_.config().name},
                         {"consumer", config_.name},
                         {"consumer_seq", pending_[sequence].consumer_sequence},
                         {"stream_seq", sequence},
                         {"deliveries", delivery}};
            if (!rest.empty()) body["reason"] = std::string(rest);
            js_.advise(stream_.account(),
                       fmt::format("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{}.{}",
                                   stream_.config().name, config_.name),
                       "terminated", std::move(body));
        }
        const bool takes_all = config_.ack == AckPolicy::kAll && word != "+TERM";
        note_change(fmt::format("{} {}", takes_all ? 'L' : 'A', sequence));
        if (takes_all) {
            while (!pending_.empty() && pending_.begin()->first <= sequence) {
                settle(pending_.begin()->first, true);
            }
        } else {
            settle(sequence, true);
        }
        if (word == "+NXT") {
            request(reply, std::string(rest));
            return;
        }
    }
    js_.wake(stream_);
    if (reply.empty()) return;
    // An answer was asked for: it says that the ack is on the disk.
    JetStream* js = &js_;
    flush_changes([js, account = stream_.account().key(), reply](const Result<>& result) {
        if (result) js->send(js->account(account), reply, {}, {}, {});
    });
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
        pending->second.deadline = mono() + delay;
        deadlines_.insert({pending->second.deadline, sequence});
        arm();
    } else {
        again_.insert(sequence);
    }
}

void Consumer::advise_max_deliveries(uint64_t sequence, uint64_t deliveries) {
    js_.advise(stream_.account(),
               fmt::format("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{}.{}",
                           stream_.config().name, config_.name),
               "max_deliver",
               {{"stream", stream_.config().name},
                {"consumer", config_.name},
                {"stream_seq", sequence},
                {"deliveries", deliveries}});
}

// --- Time
// -----------------------------------------------------------------------------------------

void Consumer::arm() {
    if (is_ended_) return;
    const int64_t now = mono();
    int64_t next = INT64_MAX;
    if (!deadlines_.empty()) next = std::min(next, deadlines_.begin()->first);
    for (const Request& request : requests_) {
        if (request.expires != 0) next = std::min(next, request.expires);
        if (request.heartbeat != 0) next = std::min(next, request.next_heartbeat);
    }
    if (config_.is_push()) {
        if (last_sent_ < 0) next = std::min(next, now + kBacklogPause);
        if (config_.heartbeat != 0) next = std::min(next, last_sent_ + config_.heartbeat);
        const bool wants_listener = !has_listener_ && (waiting_messages_ != 0 || !again_.empty());
        if (wants_listener) next = std::min(next, now + kListenerPoll);
    }
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
        const auto found = deliveries_.find(sequence);
        const uint64_t deliveries = found == deliveries_.end() ? 1 : found->second;
        if (deliveries < static_cast<uint64_t>(config_.deliver_max)) continue;
        advise_max_deliveries(sequence, deliveries);
        settle(sequence, false);
        note_change(fmt::format("T {}", sequence));
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

bool Consumer::is_active() {
    return config_.is_push() ? js_.has_interest(stream_.account(), config_.deliver_subject)
                             : !requests_.empty();
}

void Consumer::end(std::string_view status) {
    if (is_ended_) return;
    is_ended_ = true;
    timer_.stop();
    for (const Request& request : requests_)
        send_status(request.reply, status, pending_headers(request));
    requests_.clear();
    if (config_.is_push() && config_.heartbeat != 0) send_status(config_.deliver_subject, status);
}

void Consumer::update(ConsumerConfig config) {
    const bool filters_change = config.filters != config_.filters;
    config_ = std::move(config);
    if (filters_change) recount();
    arm();
    js_.wake(stream_);
}

Json Consumer::info() {
    uint64_t redelivered = 0;
    for (const auto& [sequence, deliveries] : deliveries_) redelivered += deliveries > 1 ? 1 : 0;
    drop_requests_without_interest();
    Json out = {
        {"stream_name", stream_.config().name},
        {"name", config_.name},
        {"created", format_nanos(created_)},
        {"config", to_json(config_)},
        {"delivered", {{"consumer_seq", consumer_sequence_}, {"stream_seq", stream_sequence_}}},
        {"ack_floor", {{"consumer_seq", floor_consumer_}, {"stream_seq", floor_stream_}}},
        {"num_ack_pending", pending_.size()},
        {"num_redelivered", redelivered},
        {"num_waiting", requests_.size()},
        {"num_pending", waiting_messages_},
        {"ts", format_nanos(js_.now())}};
    if (config_.is_push() && is_active()) out["push_bound"] = true;
    return out;
}

}  // namespace candela::bus_role
