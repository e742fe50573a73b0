#include "durable_stream.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "auth/permissions.h"
#include "base/text.h"
#include "bus/message.h"
#include "consumer.h"

namespace candela::bus_role {

namespace {

constexpr size_t kDeletedShownMax = 100'000;
constexpr uint64_t kSubjectsShownMax = 100'000;

bool header_number(std::string_view headers, std::string_view key, std::optional<uint64_t>& out) {
    const std::optional<std::string_view> text = bus::find_header(headers, key);
    if (!text) return true;
    const Result<uint64_t> value = parse_uint(*text);
    if (value) out = *value;
    return value.has_value();
}

JsError wrong_last(uint64_t sequence) {
    return {400, 10071, fmt::format("wrong last sequence: {}", sequence)};
}

}  // namespace

DurableStream::DurableStream(JetStream& js, JsAccount& account, StreamLog& log, StreamConfig config,
                             int64_t created)
    : js_(js),
      account_(account),
      log_(log),
      config_(std::move(config)),
      created_(created),
      age_timer_(js.loop().timers(), [this] { on_age_timer(); }) {
    log_.set_observer(this);
    if (config_.first_sequence > 1 && log_.last_given() == 0) log_.start_at(config_.first_sequence);
    apply_limits();
    attach(account_.account());
}

DurableStream::~DurableStream() { attach(nullptr); }

std::string DurableStream::encode_blob(std::string_view account, int64_t created,
                                       const StreamConfig& config) {
    return dump_json({{"account", account}, {"created", created}, {"config", to_json(config)}});
}

void DurableStream::attach(Account* account) {
    if (attached_ != nullptr && attached_ == account_.account()) {
        for (const auto& subscription : subscriptions_) attached_->sublist.remove(*subscription);
        js_.server().touch(*attached_);
    }
    subscriptions_.clear();
    attached_ = account;
    if (account == nullptr) return;
    for (const std::string& subject : config_.subjects) {
        auto subscription = std::make_unique<Subscription>();
        subscription->service = this;
        subscription->subject = subject;
        account->sublist.insert(*subscription);
        subscriptions_.push_back(std::move(subscription));
    }
    js_.server().touch(*account);
}

void DurableStream::update(StreamConfig config, StreamLog::Done done) {
    const bool moves = config.subjects != config_.subjects;
    config_ = std::move(config);
    js_.store().update(log_, encode_blob(account_.key(), created_, config_), std::move(done));
    apply_limits();
    if (moves) attach(account_.account());
}

void DurableStream::apply_limits() {
    LogLimits limits;
    limits.age_max = Duration(config_.age_max);
    if (config_.discard == Discard::kOld) {
        limits.messages_max = config_.messages_max;
        limits.bytes_max = config_.bytes_max;
    }
    if (!config_.discard_new_per_subject) {
        limits.messages_per_subject_max = config_.messages_per_subject_max;
    }
    log_.set_limits(limits);
    // Opt-in: acknowledged once written, synced once a second. A power cut may take that second.
    const auto sync = config_.metadata.find("candela.sync");
    log_.set_synced(sync == config_.metadata.end() || sync->second != "interval");
    on_age_timer();
}

void DurableStream::on_age_timer() {
    age_timer_.stop();
    const int64_t now = js_.now();
    const int64_t next = log_.expire(now);
    if (next != 0) age_timer_.start(Duration(std::max<int64_t>(next - now, 1'000'000)));
}

// --- What is published
// ----------------------------------------------------------------------------

void DurableStream::on_message(const Origin&, const Message& message) {
    Incoming incoming;
    incoming.account = account_.key();
    incoming.stream = id();
    incoming.subject = std::string(message.subject);
    incoming.reply = std::string(message.reply);
    incoming.headers = std::string(message.headers());
    incoming.payload = std::string(message.payload());
    js_.enqueue(std::move(incoming));
}

JsResult<void> DurableStream::check_expected(const Incoming& incoming) {
    const std::string_view headers = incoming.headers;
    const auto last_id = bus::find_header(headers, "Nats-Expected-Last-Msg-Id");
    if (last_id && *last_id != last_id_) {
        return js_fail({400, 10070, fmt::format("wrong last msg ID: {}", last_id_)});
    }
    std::optional<uint64_t> last;
    if (!header_number(headers, "Nats-Expected-Last-Sequence", last) ||
        (last && *last != log_.last_given())) {
        return js_fail(wrong_last(log_.last_given()));
    }
    std::optional<uint64_t> last_of_subject;
    const uint64_t given = log_.last_given_of(incoming.subject);
    if (!header_number(headers, "Nats-Expected-Last-Subject-Sequence", last_of_subject) ||
        (last_of_subject && *last_of_subject != given)) {
        return js_fail(wrong_last(given));
    }
    return {};
}

// Discard new: what waits for the disk counts.
JsResult<void> DurableStream::check_room(const Incoming& incoming) {
    const auto size = static_cast<int64_t>(incoming.headers.size() + incoming.payload.size());
    if (config_.message_size_max >= 0 && size > config_.message_size_max) {
        return js_fail({400, 10054, "message size exceeds maximum allowed"});
    }
    const MessageIndex& index = log_.index();
    const uint64_t bytes = StreamLog::message_size(
        config_.is_file, incoming.subject.size(), incoming.headers.size(), incoming.payload.size());
    if (config_.discard == Discard::kNew) {
        const SubjectEntry* subject = index.find_subject(incoming.subject);
        const uint64_t of_subject =
            (subject == nullptr ? 0 : subject->count) + log_.pending_messages_of(incoming.subject);
        const auto per_subject = static_cast<uint64_t>(config_.messages_per_subject_max);
        if (config_.discard_new_per_subject && of_subject >= per_subject) {
            return js_fail(js_errors::store_failed("maximum messages per subject exceeded"));
        }
        // One that takes the place of an older one of its subject adds nothing.
        const bool replaces = config_.messages_per_subject_max > 0 && of_subject >= per_subject;
        if (config_.messages_max >= 0 && !replaces &&
            index.count() + log_.pending_messages() >=
                static_cast<uint64_t>(config_.messages_max)) {
            return js_fail(js_errors::store_failed("maximum messages exceeded"));
        }
        if (config_.bytes_max >= 0 && index.bytes() + log_.pending_bytes() + bytes >
                                          static_cast<uint64_t>(config_.bytes_max)) {
            return js_fail(js_errors::store_failed("maximum bytes exceeded"));
        }
    }
    const Account* account = account_.account();
    if (account != nullptr) {
        const auth::AccountLimits& limits = account->claims.limits;
        const int64_t max = config_.is_file ? limits.disk_storage : limits.memory_storage;
        if (max >= 0 &&
            account_.stored_bytes(config_.is_file) + bytes > static_cast<uint64_t>(max)) {
            return js_fail(js_errors::storage_exceeded());
        }
    }
    return {};
}

JsResult<DurableStream::Checked> DurableStream::check(const Incoming& incoming) {
    Checked out;
    const std::string_view headers = incoming.headers;
    if (config_.sealed) return js_fail(js_errors::sealed());
    if (!headers.empty()) {
        if (JsResult<void> expected = check_expected(incoming); !expected)
            return js_fail(expected.error());
        const auto rollup = bus::find_header(headers, "Nats-Rollup");
        if (rollup) {
            if (!config_.allow_rollup || config_.deny_purge)
                return js_fail({500, 10111, "rollup not permitted"});
            if (ascii_iequals(*rollup, "sub")) {
                out.rollup = Rollup::kSubject;
            } else if (ascii_iequals(*rollup, "all")) {
                out.rollup = Rollup::kAll;
            } else {
                return js_fail({500, 10111, fmt::format("rollup value invalid: \"{}\"", *rollup)});
            }
        }
    }
    if (JsResult<void> room = check_room(incoming); !room) return js_fail(room.error());
    if (config_.is_file) {
        if (const std::optional<Error> refusal = js_.store().refusal()) {
            return js_fail(js_errors::not_stored(*refusal));
        }
    }
    return out;
}

void DurableStream::take(Incoming& incoming) {
    const std::string_view headers = incoming.headers;
    std::optional<std::string_view> id;
    if (!headers.empty()) {
        const auto expected = bus::find_header(headers, "Nats-Expected-Stream");
        if (expected && *expected != config_.name) {
            answer(incoming.reply, {400, 10060, "expected stream does not match"});
            return;
        }
        id = bus::find_header(headers, "Nats-Msg-Id");
    }
    if (is_recovering_) {
        held_.push_back(std::move(incoming));
        return;
    }
    const int64_t now = js_.now();
    if (id) {
        forget_old_ids(now);
        const auto found = ids_.find(std::string(*id));
        if (found != ids_.end()) {
            const uint64_t sequence = found->second;
            if (sequence <= log_.last_sequence()) {
                answer(incoming.reply, sequence, true);
                return;
            }
            // The first one is on its way to the disk; this answer must not be ahead of it.
            JetStream* js = &js_;
            log_.remove({}, [js, stream = this->id(), sequence, reply = incoming.reply,
                             account = account_.key()](const Result<>& result) {
                DurableStream* found_stream = js->account(account).find(stream);
                if (found_stream == nullptr) return;
                if (result) {
                    found_stream->answer(reply, sequence, true);
                } else {
                    found_stream->answer(reply, js_errors::store_failed(result.error().message()));
                }
            });
            return;
        }
    }
    const JsResult<Checked> checked = check(incoming);
    if (!checked) {
        answer(incoming.reply, checked.error());
        return;
    }
    const uint64_t sequence = log_.last_given() + 1;
    std::string id_text = id ? std::string(*id) : std::string();
    if (id) remember(*id, sequence, now);
    std::string before = std::exchange(last_id_, id_text);
    JetStream* js = &js_;
    auto done = [js, stream = this->id(), sequence, reply = std::move(incoming.reply),
                 account = account_.key(), id_text = std::move(id_text),
                 before = std::move(before)](const Result<>& result) {
        DurableStream* self = js->account(account).find(stream);
        if (self == nullptr) return;
        if (result) {
            if (!self->config_.no_ack) self->answer(reply, sequence, false);
            return;
        }
        if (!id_text.empty()) {
            self->ids_.erase(id_text);
            self->last_id_ = before;
        }
        self->answer(reply, js_errors::not_stored(result.error()));
    };
    log_.append(incoming.subject, incoming.headers, incoming.payload, checked->rollup, now,
                std::move(done));
}

void DurableStream::answer(const std::string& reply, uint64_t sequence, bool is_duplicate) {
    if (reply.empty()) return;
    const std::string text = fmt::format("{{\"stream\":\"{}\", \"seq\":{}{}}}", config_.name,
                                         sequence, is_duplicate ? ", \"duplicate\": true" : "");
    js_.send(account_, reply, {}, {}, text);
}

void DurableStream::answer(const std::string& reply, const JsError& error) {
    if (reply.empty()) return;
    const Json body = {{"error", to_json(error)}, {"stream", config_.name}, {"seq", 0}};
    js_.send(account_, reply, {}, {}, dump_json(body));
}

void DurableStream::remember(std::string_view id, uint64_t sequence, int64_t timestamp) {
    ids_[std::string(id)] = sequence;
    ids_by_age_.emplace_back(timestamp, std::string(id));
}

void DurableStream::forget_old_ids(int64_t now) {
    while (!ids_by_age_.empty() && ids_by_age_.front().first + config_.duplicate_window < now) {
        ids_.erase(ids_by_age_.front().second);
        ids_by_age_.pop_front();
    }
}

// --- Recovery
// -------------------------------------------------------------------------------------

void DurableStream::recover() {
    for (const auto& [id, image] : log_.consumers()) {
        next_consumer_id = std::max(next_consumer_id, id + 1);
        const Result<Json> blob = parse_json(image.blob);
        if (!blob) continue;
        JsResult<ConsumerConfig> config =
            parse_consumer_config(blob->value("config", Json::object()));
        if (!config || !complete(*config, config_)) continue;
        Consumer& consumer = add_consumer(std::move(*config), json_int_or(*blob, "created", 0), id);
        consumer.recover(image.state, image.changes);
    }
    for (auto& [id, image] : log_.consumers()) {
        image.changes.clear();
        image.state.clear();
    }
    const int64_t oldest = js_.now() - config_.duplicate_window;
    const IndexEntry* entry = log_.at_or_before(log_.last_sequence());
    if (entry == nullptr || entry->timestamp < oldest) return;
    uint64_t first = entry->sequence;
    while (entry != nullptr && entry->timestamp >= oldest) {
        first = entry->sequence;
        entry = first == 0 ? nullptr : log_.at_or_before(first - 1);
    }
    is_recovering_ = true;
    recover_ids(first);
}

// Reads on from the sequence, as far as memory goes; then waits for the disk.
void DurableStream::recover_ids(uint64_t sequence) {
    const IndexEntry* entry = log_.at_or_after(sequence);
    while (entry != nullptr) {
        const uint64_t at = entry->sequence;
        const RecordPtr record = log_.read(at);
        if (record == nullptr) {
            JetStream* js = &js_;
            log_.load(at, [js, stream = id(), account = account_.key(), at] {
                if (DurableStream* self = js->account(account).find(stream)) self->recover_ids(at);
            });
            return;
        }
        RecordView view;
        if (decode_record(record->body, view)) {
            const auto id = bus::find_header(view.headers, "Nats-Msg-Id");
            last_id_ = id ? std::string(*id) : std::string();
            if (id) remember(*id, at, view.timestamp);
        }
        entry = log_.at_or_after(at + 1);
    }
    is_recovering_ = false;
    for (Incoming& incoming : std::exchange(held_, {})) take(incoming);
}

// --- Consumers
// ------------------------------------------------------------------------------------

void DurableStream::on_appended(const IndexEntry& entry) {
    for (const auto& [name, consumer] : consumers) consumer->on_appended(entry);
    if (config_.retention == Retention::kInterest) appended_.push_back(entry.sequence);
    if (config_.age_max != 0 && !age_timer_.is_active())
        age_timer_.start(Duration(config_.age_max));
    js_.wake(*this);
}

void DurableStream::on_removed(const IndexEntry& entry) {
    for (const auto& [name, consumer] : consumers) consumer->on_removed(entry);
}

// An event of candela's own: a flipped bit cost this message.
void DurableStream::on_lost(uint64_t sequence) {
    js_.advise(account_, fmt::format("$JS.EVENT.ADVISORY.STREAM.MESSAGE_LOST.{}", config_.name),
               "stream_message_lost", {{"stream", config_.name}, {"stream_seq", sequence}});
}

void DurableStream::pump() {
    for (const uint64_t sequence : std::exchange(appended_, {})) {
        if (!is_needed(sequence)) done_.push_back(sequence);
    }
    std::vector<Consumer*> all;
    for (const auto& [name, consumer] : consumers) all.push_back(consumer.get());
    for (Consumer* consumer : all) consumer->pump();
    if (!done_.empty()) {
        std::vector<uint64_t> done = std::exchange(done_, {});
        std::sort(done.begin(), done.end());
        log_.remove(done, StreamLog::Done());
    }
}

bool DurableStream::is_needed(uint64_t sequence) {
    const IndexEntry* entry = log_.find(sequence);
    if (entry == nullptr) return true;
    return std::any_of(consumers.begin(), consumers.end(),
                       [&](const auto& item) { return item.second->needs(*entry); });
}

void DurableStream::on_done(uint64_t sequence) {
    if (config_.retention == Retention::kLimits) return;
    if (config_.retention == Retention::kInterest && is_needed(sequence)) return;
    done_.push_back(sequence);
    js_.wake(*this);
}

Consumer* DurableStream::find_consumer(std::string_view name) {
    const auto found = consumers.find(name);
    return found == consumers.end() ? nullptr : found->second.get();
}

Consumer& DurableStream::add_consumer(ConsumerConfig config, int64_t created, uint64_t id) {
    std::string name = config.name;
    auto consumer = std::make_unique<Consumer>(*this, std::move(config), created, id);
    return *consumers.emplace(std::move(name), std::move(consumer)).first->second;
}

void DurableStream::remove_consumer(Consumer& consumer, StreamLog::Done done) {
    consumer.end("409 Consumer Deleted");
    if (consumer.is_durable()) {
        js_.store().drop_consumer(log_, consumer.id(), std::move(done));
    } else {
        log_.consumers().erase(consumer.id());
        js_.loop().defer([done = std::move(done)]() mutable {
            if (done) done(Result<>());
        });
    }
    auto node = consumers.extract(consumer.name());
    js_.bury(std::move(node.mapped()));
    if (config_.retention != Retention::kInterest) return;
    log_.index().for_each([&](const IndexEntry& entry) { appended_.push_back(entry.sequence); });
    js_.wake(*this);
}

// --- Telling
// --------------------------------------------------------------------------------------

Json DurableStream::info(bool with_deleted, std::string_view subjects_filter, uint64_t offset) {
    const MessageIndex& index = log_.index();
    const uint64_t first = log_.first_sequence();
    const uint64_t last = log_.last_sequence();
    const IndexEntry* first_entry = log_.at_or_after(0);
    const bool is_empty = first_entry == nullptr;
    Json state = {{"messages", index.count()},
                  {"bytes", index.bytes()},
                  {"first_seq", is_empty && last == 0 ? 0 : first},
                  {"first_ts", format_nanos(is_empty ? 0 : first_entry->timestamp)},
                  {"last_seq", last},
                  {"last_ts", format_nanos(log_.last_timestamp())},
                  {"consumer_count", consumers.size()}};
    if (index.subject_count() != 0) state["num_subjects"] = index.subject_count();
    const uint64_t deleted = is_empty ? 0 : last - first + 1 - index.count();
    if (deleted != 0) state["num_deleted"] = deleted;
    if (with_deleted && deleted != 0) {
        Json list = Json::array();
        uint64_t next = first;
        for (const SequenceRange& range : index.ranges()) {
            for (; next < range.first && list.size() < kDeletedShownMax; ++next)
                list.push_back(next);
            next = range.first + range.count;
        }
        for (; next <= last && list.size() < kDeletedShownMax; ++next) list.push_back(next);
        state["deleted"] = std::move(list);
    }
    if (!log_.lost().empty()) {
        Json lost = Json::array();
        for (const SequenceRange& range : log_.lost()) {
            for (uint64_t i = 0; i < range.count && lost.size() < kDeletedShownMax; ++i) {
                lost.push_back(range.first + i);
            }
        }
        state["lost"] = {{"msgs", std::move(lost)}, {"bytes", 0}};
    }
    Json out = {{"config", to_json(config_)}, {"created", format_nanos(created_)}};
    if (!subjects_filter.empty()) {
        std::map<std::string, uint64_t> found;
        for (uint32_t i = 0; i < index.subject_numbers(); ++i) {
            const SubjectEntry& subject = index.subject(i);
            if (subject.count == 0 || !auth::subject_matches(subjects_filter, subject.name))
                continue;
            found.emplace(subject.name, subject.count);
        }
        Json subjects = Json::object();
        uint64_t at = 0;
        for (const auto& [name, count] : found) {
            if (at++ < offset) continue;
            if (subjects.size() == kSubjectsShownMax) break;
            subjects[name] = count;
        }
        if (!subjects.empty()) state["subjects"] = std::move(subjects);
        out["total"] = found.size();
        out["offset"] = offset;
        out["limit"] = kSubjectsShownMax;
    }
    out["state"] = std::move(state);
    out["ts"] = format_nanos(js_.now());
    return out;
}

}  // namespace candela::bus_role
