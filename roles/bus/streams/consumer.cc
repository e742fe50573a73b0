#include "consumer.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "auth/permissions.h"
#include "base/text.h"
#include "bus/subject.h"

namespace candela::bus_role {

namespace {
constexpr std::string_view kEmptyHeaders = "NATS/1.0\r\n\r\n";
}

Consumer::Consumer(DurableStream& stream, ConsumerConfig config, int64_t created, uint64_t id)
    : stream_(stream),
      js_(stream.js()),
      config_(std::move(config)),
      created_(created),
      id_(id),
      timer_(stream.js().loop().timers(), [this] { on_timer(); }) {
    last_active_ = last_sent_ = mono();
    is_replaying_ = config_.replay_original;
    was_paused_ = is_paused();
    arm();
}

Consumer::~Consumer() { *alive_ = false; }

int64_t Consumer::mono() const { return js_.loop().now().time_since_epoch().count(); }

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
    stream_sequence_ = (first_ones_.empty() ? next_ : *first_ones_.begin()) - 1;
    // Until something is acknowledged there is no floor.
    floor_stream_ = 0;
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
    was_paused_ = is_paused();
    if (config_.priority != PriorityPolicy::kPinned) pin_.clear();
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
    if (delivered_at_ != 0)
        out["delivered"]["last_active"] = format_nanos(js_.now() - (mono() - delivered_at_));
    if (is_paused()) {
        out["paused"] = true;
        out["pause_remaining"] = config_.pause_until - js_.now();
    }
    if (config_.priority != PriorityPolicy::kNone) out["priority_groups"] = group_info();
    return out;
}

std::string with_header(std::string_view headers, std::string_view key, std::string_view value) {
    std::string out = headers.size() < kEmptyHeaders.size()
                          ? std::string("NATS/1.0\r\n")
                          : std::string(headers.substr(0, headers.size() - 2));
    out += fmt::format("{}: {}\r\n\r\n", key, value);
    return out;
}

}  // namespace candela::bus_role
