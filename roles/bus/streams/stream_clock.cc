#include "stream_clock.h"

#include <algorithm>
#include <array>

#include "auth/permissions.h"
#include "base/json.h"
#include "base/text.h"
#include "bus/message.h"
#include "bus/subject.h"
#include "durable_stream.h"
#include "schedule_pattern.h"

namespace candela::bus_role {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kRetry = kSecond;
// Longer waits are broken up, so that a clock that was set is noticed.
constexpr int64_t kWaitMax = 60 * kSecond;
constexpr int64_t kNotYet = INT64_MAX;
constexpr std::string_view kPurge = "purge";

bool asks_for_schedule(std::string_view headers) {
    return bus::find_header(headers, "Nats-Schedule").has_value();
}

// What stands for something deleted leaves no marker of its own.
bool is_marker(std::string_view headers) {
    if (bus::find_header(headers, "Nats-Marker-Reason")) return true;
    const auto operation = bus::find_header(headers, "KV-Operation");
    return operation && (*operation == "DEL" || *operation == "PURGE");
}

// A schedule's own headers are not for those who get what it publishes.
std::string headers_to_publish(std::string_view headers) {
    std::string out = "NATS/1.0\r\n";
    size_t at = headers.find("\r\n");
    while (at != std::string_view::npos && at + 2 < headers.size()) {
        const size_t end = headers.find("\r\n", at + 2);
        const std::string_view line = headers.substr(at + 2, end - at - 2);
        at = end;
        if (line.empty()) break;
        const std::string key = ascii_lower(line.substr(0, line.find(':')));
        static constexpr std::array<std::string_view, 4> kOthers{"nats-ttl", "nats-rollup",
                                                                 "nats-msg-id", "nats-scheduler"};
        const bool is_own = key.starts_with("nats-schedule") || key.starts_with("nats-expected-") ||
                            std::find(kOthers.begin(), kOthers.end(), key) != kOthers.end();
        if (is_own) continue;
        out += line;
        out += "\r\n";
    }
    return out;
}

}  // namespace

StreamClock::StreamClock(DurableStream& stream)
    : stream_(stream), log_(stream.log()), timer_(stream.js().loop().timers(), [this] { run(); }) {}

StreamClock::~StreamClock() { *alive_ = false; }

JsResult<void> StreamClock::check(std::string_view subject, std::string_view headers,
                                  bool& is_schedule) const {
    const StreamConfig& config = stream_.config();
    if (const auto ttl = bus::find_header(headers, "Nats-TTL")) {
        const std::optional<int64_t> parsed = parse_message_ttl(*ttl);
        if (!parsed) return js_fail({400, 10165, "invalid per-message TTL"});
        if (*parsed != 0 && !config.allow_ttl) {
            return js_fail({400, 10166, "per-message TTL is disabled"});
        }
    }
    is_schedule = asks_for_schedule(headers);
    const JsError no_target{400, 10190, "message schedules target is invalid"};
    if (!is_schedule) {
        // Only the stream itself says that a schedule has published.
        const bool is_forged =
            config.allow_schedules && bus::find_header(headers, "Nats-Scheduler");
        if (is_forged) return js_fail(no_target);
        return {};
    }
    if (!config.allow_schedules) return js_fail({400, 10188, "message schedules is disabled"});
    const auto zone = bus::find_header(headers, "Nats-Schedule-Time-Zone");
    if (!SchedulePattern::parse(*bus::find_header(headers, "Nats-Schedule")) ||
        (zone && !zone->empty() && !ascii_iequals(*zone, "UTC"))) {
        return js_fail({400, 10189, "message schedules pattern is invalid"});
    }
    const auto target = bus::find_header(headers, "Nats-Schedule-Target");
    if (!target || !bus::is_valid_subject(*target) || *target == subject ||
        !stream_.takes(*target)) {
        return js_fail(no_target);
    }
    if (const auto source = bus::find_header(headers, "Nats-Schedule-Source")) {
        if (!bus::is_valid_subject(*source) || *source == *target || *source == subject) {
            return js_fail({400, 10203, "message schedules source is invalid"});
        }
    }
    if (const auto ttl = bus::find_header(headers, "Nats-Schedule-TTL")) {
        if (!config.allow_ttl || !parse_message_ttl(*ttl)) {
            return js_fail({400, 10191, "message schedules invalid per-message TTL"});
        }
    }
    const auto rollup = bus::find_header(headers, "Nats-Rollup");
    if (rollup && !ascii_iequals(*rollup, "sub")) {
        return js_fail({400, 10192, "message schedules invalid rollup"});
    }
    return {};
}

void StreamClock::on_appended(uint64_t sequence, const RecordView& view) {
    const StreamConfig& config = stream_.config();
    if (config.allow_ttl) {
        const auto text = bus::find_header(view.headers, "Nats-TTL");
        const int64_t ttl = text ? parse_message_ttl(*text).value_or(0) : 0;
        if (ttl > 0) expiries_.put(sequence, view.timestamp + ttl);
        if (ttl < 0) lasting_.insert(sequence);
    }
    if (config.allow_schedules) {
        const auto text = bus::find_header(view.headers, "Nats-Schedule");
        const auto pattern = text ? SchedulePattern::parse(*text) : std::nullopt;
        if (pattern) {
            schedules_.put(sequence, pattern->next(view.timestamp, view.timestamp));
        } else {
            note_published_by_schedule(sequence, view);
        }
    }
    if (is_started_) arm();
}

// Its schedule is over, or goes on from there.
void StreamClock::note_published_by_schedule(uint64_t sequence, const RecordView& view) {
    const auto scheduler = bus::find_header(view.headers, "Nats-Scheduler");
    const auto next = bus::find_header(view.headers, "Nats-Schedule-Next");
    if (!scheduler || !next) return;
    const SubjectEntry* subject = log_.index().find_subject(*scheduler);
    if (subject == nullptr || subject->last >= sequence || !schedules_.contains(subject->last)) {
        return;
    }
    if (*next == kPurge) {
        done_.push_back(subject->last);
        schedules_.erase(subject->last);
    } else if (const Result<WallTime> time = parse_rfc3339(*next)) {
        schedules_.put(subject->last, time->time_since_epoch().count());
    }
}

void StreamClock::on_removed(uint64_t sequence) {
    expiries_.erase(sequence);
    schedules_.erase(sequence);
    lasting_.erase(sequence);
    busy_.erase(sequence);
}

void StreamClock::start() {
    is_started_ = true;
    stream_.js().wake(stream_);
}

void StreamClock::stop() {
    is_started_ = false;
    *alive_ = false;
    timer_.stop();
}

void StreamClock::run() {
    if (!is_started_) return;
    const int64_t now = stream_.js().now();
    std::vector<uint64_t> gone;
    std::swap(gone, done_);
    expire_by_age(now, gone);
    while (gone.size() < kPerTurn && busy_.size() < kPerTurn) {
        const uint64_t sequence = expiries_.due(now);
        if (sequence == 0) break;
        expiries_.erase(sequence);
        expire_one(sequence, gone);
    }
    if (!gone.empty()) {
        std::sort(gone.begin(), gone.end());
        gone.erase(std::unique(gone.begin(), gone.end()), gone.end());
        log_.remove(gone, StreamLog::Done());
    }
    for (size_t count = 0; count < kPerTurn; ++count) {
        const uint64_t sequence = schedules_.due(now);
        if (sequence == 0) break;
        // Known again once what it publishes is durable.
        schedules_.put(sequence, kNotYet);
        fire(sequence);
    }
    arm();
}

// The log itself expires the messages of streams where none lasts longer than others.
void StreamClock::expire_by_age(int64_t now, std::vector<uint64_t>& gone) {
    const StreamConfig& config = stream_.config();
    if (config.age_max == 0 || !config.allow_ttl) return;
    const IndexEntry* entry = log_.at_or_after(0);
    while (entry != nullptr && entry->timestamp + config.age_max <= now) {
        const uint64_t sequence = entry->sequence;
        if (gone.size() >= kPerTurn || busy_.size() >= kPerTurn) return;
        if (!lasting_.contains(sequence) && !busy_.contains(sequence)) expire_one(sequence, gone);
        entry = log_.at_or_after(sequence + 1);
    }
}

void StreamClock::expire_one(uint64_t sequence, std::vector<uint64_t>& gone) {
    const IndexEntry* entry = log_.find(sequence);
    if (entry == nullptr) return;
    const std::string_view subject = log_.index().subject(entry->subject).name;
    const bool is_last = log_.last_given_of(subject) == sequence;
    if (stream_.config().marker_ttl != 0 && is_last) {
        place_marker(sequence);
    } else {
        gone.push_back(sequence);
    }
}

// In place of the last message of a subject: those who follow the subject hear that it is gone.
void StreamClock::place_marker(uint64_t sequence) {
    busy_.insert(sequence);
    stream_.js().read(log_, sequence, [this, alive = alive_, sequence](const RecordView* view) {
        if (!*alive || view == nullptr) return;
        const bool is_last = log_.last_given_of(view->subject) == sequence;
        if (is_last && !is_marker(view->headers)) {
            append_marker(*view);
        } else {
            log_.remove({sequence}, StreamLog::Done());
        }
    });
}

void StreamClock::append_marker(const RecordView& view) {
    const std::string headers =
        bus::HeaderBuilder()
            .add("Nats-Marker-Reason", "MaxAge")
            .add("Nats-TTL", format_duration(Duration(stream_.config().marker_ttl)))
            .add("Nats-Rollup", "sub")
            .text();
    // The record that adds the marker takes out what it stands for.
    log_.append(view.subject, headers, {}, Rollup::kSubject, stream_.js().now(),
                [this, alive = alive_, sequence = view.sequence](const Result<>& result) {
                    if (!*alive || result) return;
                    busy_.erase(sequence);
                    expiries_.put(sequence, stream_.js().now() + kRetry);
                    arm();
                });
}

// --- Schedules ---

void StreamClock::fire(uint64_t sequence) {
    if (stream_.js().store().refusal() && stream_.config().is_file) {
        retry_schedule(sequence);
        return;
    }
    stream_.js().read(log_, sequence, [this, alive = alive_, sequence](const RecordView* view) {
        if (*alive && view != nullptr) publish(sequence, *view);
    });
}

void StreamClock::publish(uint64_t schedule, const RecordView& view) {
    const auto text = bus::find_header(view.headers, "Nats-Schedule");
    const auto target = bus::find_header(view.headers, "Nats-Schedule-Target");
    const auto pattern = text ? SchedulePattern::parse(*text) : std::nullopt;
    if (!pattern || !target) return;
    const int64_t next = pattern->is_once() ? 0 : pattern->next(view.timestamp, stream_.js().now());
    std::string headers = headers_to_publish(view.headers);
    headers += fmt::format("Nats-Scheduler: {}\r\nNats-Schedule-Next: {}\r\n", view.subject,
                           next == 0 ? std::string(kPurge) : format_nanos(next));
    if (const auto ttl = bus::find_header(view.headers, "Nats-Schedule-TTL")) {
        headers += fmt::format("Nats-TTL: {}\r\n", *ttl);
    }
    const auto source = bus::find_header(view.headers, "Nats-Schedule-Source");
    if (!source) {
        append(schedule, std::string(*target), headers + "\r\n", std::string(view.payload));
        return;
    }
    publish_from(schedule, std::string(*target), std::move(headers), std::string(view.payload),
                 *source);
}

// What is published is the latest of another subject, where there is one.
void StreamClock::publish_from(uint64_t schedule, std::string subject, std::string headers,
                               std::string payload, std::string_view source) {
    const SubjectEntry* found = log_.index().find_subject(source);
    if (found == nullptr) {
        append(schedule, subject, headers + "\r\n", payload);
        return;
    }
    stream_.js().read(
        log_, found->last,
        [this, alive = alive_, schedule, subject = std::move(subject), headers = std::move(headers),
         payload = std::move(payload)](const RecordView* view) {
            if (!*alive) return;
            append(schedule, subject, headers + "\r\n",
                   view == nullptr ? payload : std::string(view->payload));
        });
}

void StreamClock::append(uint64_t schedule, const std::string& subject, const std::string& headers,
                         const std::string& payload) {
    log_.append(subject, headers, payload, Rollup::kNone, stream_.js().now(),
                [this, alive = alive_, schedule](const Result<>& result) {
                    if (*alive && !result) retry_schedule(schedule);
                });
}

void StreamClock::retry_schedule(uint64_t sequence) {
    if (!schedules_.contains(sequence)) return;
    schedules_.put(sequence, stream_.js().now() + kRetry);
    arm();
}

// --- Time and state ---

void StreamClock::arm() {
    const StreamConfig& config = stream_.config();
    const int64_t now = stream_.js().now();
    int64_t next = kNotYet;
    if (expiries_.size() != 0) next = std::min(next, expiries_.next());
    if (schedules_.size() != 0) next = std::min(next, schedules_.next());
    if (!done_.empty()) next = now;
    if (config.allow_ttl && config.age_max != 0) {
        const IndexEntry* entry = log_.at_or_after(0);
        while (entry != nullptr &&
               (lasting_.contains(entry->sequence) || busy_.contains(entry->sequence))) {
            entry = log_.at_or_after(entry->sequence + 1);
        }
        if (entry != nullptr) next = std::min(next, entry->timestamp + config.age_max);
    }
    if (next == kNotYet) {
        timer_.stop();
    } else {
        timer_.start(Duration(std::clamp(next - now, int64_t{1'000'000}, kWaitMax)));
    }
}

std::string StreamClock::state() const {
    std::string out;
    append_number(out, log_.last_sequence());
    // What is being done is done again, unless the messages say that it was.
    MessageTimes expiries = expiries_;
    for (const uint64_t sequence : busy_) expiries.put(sequence, 1);
    expiries.encode(out);
    schedules_.encode(out);
    append_number(out, lasting_.size());
    for (const uint64_t sequence : lasting_) append_number(out, sequence);
    append_number(out, done_.size());
    for (const uint64_t sequence : done_) append_number(out, sequence);
    return out;
}

uint64_t StreamClock::load(std::string_view state) {
    uint64_t known_to = 0;
    if (!take_number(state, known_to) || !expiries_.decode(state) || !schedules_.decode(state)) {
        expiries_ = MessageTimes();
        schedules_ = MessageTimes();
        return 0;
    }
    uint64_t count = 0;
    uint64_t sequence = 0;
    if (take_number(state, count)) {
        for (; count != 0 && take_number(state, sequence); --count) lasting_.insert(sequence);
    }
    if (take_number(state, count)) {
        for (; count != 0 && take_number(state, sequence); --count) done_.push_back(sequence);
    }
    while (schedules_.size() != 0 && schedules_.last() == kNotYet) {
        schedules_.put(schedules_.last_sequence(), 1);
    }
    return known_to;
}

}  // namespace candela::bus_role
