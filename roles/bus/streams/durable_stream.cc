#include "durable_stream.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "auth/permissions.h"
#include "base/text.h"
#include "bus/message.h"
#include "consumer.h"

namespace candela::bus_role {

DurableStream::DurableStream(JetStream& js, JsAccount& account, StreamLog& log, StreamConfig config,
                             int64_t created)
    : js_(js),
      account_(account),
      log_(log),
      config_(std::move(config)),
      created_(created),
      clock_(*this),
      sources_(*this),
      reread_timer_(js.loop().timers(), [this] { load_to_recover(reread_.first, reread_.second); }),
      age_timer_(js.loop().timers(), [this] { on_age_timer(); }) {
    log_.set_observer(this);
    if (config_.first_sequence > 1 && log_.last_given() == 0) log_.start_at(config_.first_sequence);
    configure();
    attach(account_.account());
}

// What follows from the configuration.
void DurableStream::configure() {
    transform_.reset();
    republish_.reset();
    if (config_.transform) {
        auto made =
            SubjectTransform::create(config_.transform->source, config_.transform->destination);
        if (made) transform_ = std::move(*made);
    }
    if (config_.republish) {
        auto made =
            SubjectTransform::create(config_.republish->source, config_.republish->destination);
        if (made) republish_ = std::move(*made);
    }
    apply_limits();
}

void DurableStream::start() {
    sources_.configure();
    if (!is_recovering_) clock_.start();
}

void DurableStream::stop() {
    attach(nullptr);
    clock_.stop();
    sources_.stop();
    reread_timer_.stop();
    age_timer_.stop();
    account_.set_followed(id(), {});
}

bool DurableStream::takes(std::string_view subject) const {
    return std::any_of(config_.subjects.begin(), config_.subjects.end(), [&](const auto& pattern) {
        return auth::subject_matches(pattern, subject);
    });
}

// Said to the store once; at the end of a round, since at the start it does not take anything yet.
void DurableStream::keep_states() {
    const auto keep = [&](uint64_t id) {
        if (log_.consumers().contains(id)) return;
        js_.store().put_consumer(log_, id, "{}", StreamLog::Done());
    };
    if (config_.allow_ttl || config_.allow_schedules) keep(kClockState);
    if (!config_.sources.empty()) keep(kSourcesState);
}

std::string DurableStream::state_of(uint64_t id) const {
    if (id == kSourcesState) return sources_.state();
    return id == kClockState ? clock_.state() : std::string();
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
    const bool sources_change =
        config.mirror != config_.mirror || config.sources != config_.sources;
    const bool becomes_interest =
        config.retention == Retention::kInterest && config_.retention != Retention::kInterest;
    config_ = std::move(config);
    js_.store().update(log_, encode_blob(account_.key(), created_, config_), std::move(done));
    configure();
    if (moves) attach(account_.account());
    if (sources_change) sources_.configure();
    if (becomes_interest) {
        log_.index().for_each(
            [&](const IndexEntry& entry) { appended_.push_back(entry.sequence); });
    }
    js_.wake(*this);
}

void DurableStream::apply_limits() {
    LogLimits limits;
    // Where messages may last longer, or leave a marker, the clock does it.
    if (!config_.allow_ttl) limits.age_max = Duration(config_.age_max);
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
    log_.set_packed(config_.is_compressed);
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

void DurableStream::take(Incoming& incoming) {
    const std::string_view headers = incoming.headers;
    std::optional<std::string_view> id;
    if (is_recovering_) {
        held_.push_back(std::move(incoming));
        return;
    }
    if (transform_) {
        if (std::optional<std::string> place = transform_->apply(incoming.subject))
            incoming.subject = std::move(*place);
    }
    if (!headers.empty()) {
        const auto expected = bus::find_header(headers, "Nats-Expected-Stream");
        if (expected && *expected != config_.name) {
            answer(incoming.reply, {400, 10060, "expected stream does not match"});
            return;
        }
        id = bus::find_header(headers, "Nats-Msg-Id");
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

// --- Consumers
// ------------------------------------------------------------------------------------

void DurableStream::on_appended(const IndexEntry& entry) {
    for (const auto& [name, consumer] : consumers) consumer->on_appended(entry);
    if (config_.retention == Retention::kInterest) appended_.push_back(entry.sequence);
    if (config_.age_max != 0 && !config_.allow_ttl && !age_timer_.is_active())
        age_timer_.start(Duration(config_.age_max));
    if (republish_ || config_.allow_ttl || config_.allow_schedules) note_content(entry);
    has_news_ = true;
    js_.wake(*this);
}

// What has to be looked into, and not only counted.
void DurableStream::note_content(const IndexEntry& entry) {
    RecordPtr record = log_.read(entry.sequence);
    RecordView view;
    if (record == nullptr || !decode_record(record->body, view)) return;
    clock_.on_appended(entry.sequence, view);
    if (republish_) republished_.push_back({std::move(record), entry.previous});
}

void DurableStream::on_removed(const IndexEntry& entry) {
    for (const auto& [name, consumer] : consumers) consumer->on_removed(entry);
    clock_.on_removed(entry.sequence);
}

void DurableStream::republish_all() {
    for (const Republished& item : std::exchange(republished_, {})) {
        RecordView view;
        if (!decode_record(item.record->body, view)) continue;
        const std::optional<std::string> subject = republish_->apply(view.subject);
        if (!subject) continue;
        std::string headers(view.headers.size() < 12
                                ? std::string_view("NATS/1.0\r\n")
                                : view.headers.substr(0, view.headers.size() - 2));
        headers += fmt::format(
            "Nats-Stream: {}\r\nNats-Subject: {}\r\nNats-Sequence: {}\r\nNats-Time-Stamp: {}\r\n"
            "Nats-Last-Sequence: {}\r\n",
            config_.name, view.subject, view.sequence, format_nanos(view.timestamp),
            item.last_of_subject);
        if (config_.republish->headers_only) {
            headers += fmt::format("Nats-Msg-Size: {}\r\n", view.payload.size());
            view.payload = {};
        }
        js_.send(account_, *subject, {}, headers + "\r\n", view.payload);
    }
}

// An event of candela's own: a flipped bit cost this message.
void DurableStream::on_lost(uint64_t sequence) {
    js_.advise(account_, fmt::format("$JS.EVENT.ADVISORY.STREAM.MESSAGE_LOST.{}", config_.name),
               "stream_message_lost", {{"stream", config_.name}, {"stream_seq", sequence}});
}

void DurableStream::pump() {
    keep_states();
    if (republish_) republish_all();
    clock_.run();
    if (!is_recovering_) sources_.pump();
    for (const uint64_t sequence : std::exchange(appended_, {})) {
        if (!is_needed(sequence)) done_.push_back(sequence);
    }
    std::vector<Consumer*> all;
    for (const auto& [name, consumer] : consumers) all.push_back(consumer.get());
    for (Consumer* consumer : all) consumer->pump();
    flush_done();
    if (std::exchange(has_news_, false)) account_.wake_followers(config_.name);
}

void DurableStream::flush_done() {
    if (done_.empty()) return;
    std::vector<uint64_t> done = std::exchange(done_, {});
    std::sort(done.begin(), done.end());
    log_.remove(done, StreamLog::Done());
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
    js_.advise_consumer(account_, config_.name, consumer.name(), "delete");
    auto node = consumers.extract(consumer.name());
    if (config_.retention == Retention::kInterest) {
        // Before it is written down that the consumer is gone: a crash leaves nothing behind that
        // nobody wants.
        std::vector<uint64_t> all;
        log_.index().for_each([&](const IndexEntry& entry) { all.push_back(entry.sequence); });
        for (const uint64_t sequence : all) {
            if (!is_needed(sequence)) done_.push_back(sequence);
        }
        flush_done();
    }
    if (consumer.is_durable()) {
        js_.store().drop_consumer(log_, consumer.id(), std::move(done));
    } else {
        log_.consumers().erase(consumer.id());
        js_.loop().defer([done = std::move(done)]() mutable {
            if (done) done(Result<>());
        });
    }
    js_.bury(std::move(node.mapped()));
}

}  // namespace candela::bus_role
