// What a stream takes up again at the start: its consumers, the ids of recent messages, and
// whatever the messages say that is not kept elsewhere.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "bus/message.h"
#include "consumer.h"

namespace candela::bus_role {

namespace {
constexpr Duration kReadRetry = 200ms;
}

void DurableStream::recover() {
    bool is_all_known = true;
    for (const auto& [id, image] : log_.consumers()) {
        if (id >= kReservedIds) continue;
        next_consumer_id = std::max(next_consumer_id, id + 1);
        const Result<Json> blob = parse_json(image.blob);
        is_all_known = is_all_known && blob;
        if (!blob) continue;
        JsResult<ConsumerConfig> config =
            parse_consumer_config(blob->value("config", Json::object()));
        const JsResult<void> completed = config ? complete(*config, config_) : JsResult<void>();
        if (!config || !completed) {
            is_all_known = false;
            js_.server().log().error(
                "consumer_config_unreadable",
                {{"stream", config_.name},
                 {"consumer", id},
                 {"error", config ? completed.error().text : config.error().text}});
            continue;
        }
        Consumer& consumer = add_consumer(std::move(*config), json_int_or(*blob, "created", 0), id);
        consumer.recover(image.state, image.changes);
    }
    uint64_t told_to = log_.recovered_to();
    for (auto& [id, image] : log_.consumers()) {
        if (id == kSourcesState) sources_.load(image.state, image.changes);
        if (id == kClockState) told_to = std::min(told_to, clock_.load(image.state));
        image.changes.clear();
        image.state.clear();
    }
    // What a crash left behind that no consumer would ever take.
    if (config_.retention == Retention::kInterest && is_all_known) {
        log_.index().for_each([&](const IndexEntry& entry) {
            const bool is_wanted =
                std::any_of(consumers.begin(), consumers.end(),
                            [&](const auto& item) { return item.second->matches(entry); });
            if (!is_wanted) done_.push_back(entry.sequence);
        });
    }
    const int64_t ids_since = js_.now() - config_.duplicate_window;
    uint64_t first = log_.last_sequence() + 1;
    for (const IndexEntry* entry = log_.at_or_before(log_.last_sequence());
         entry != nullptr && entry->timestamp >= ids_since;
         entry = first == 0 ? nullptr : log_.at_or_before(first - 1)) {
        first = entry->sequence;
    }
    const bool has_more = config_.allow_ttl || config_.allow_schedules || !config_.sources.empty();
    if (has_more) first = std::min(first, told_to + 1);
    is_recovering_ = true;
    recover_messages(first, ids_since);
    js_.wake(*this);
}

void DurableStream::load_to_recover(uint64_t sequence, int64_t ids_since) {
    JetStream* js = &js_;
    log_.load(sequence, [js, stream = id(), account = account_.key(), sequence, ids_since] {
        DurableStream* self = js->account(account).find(stream);
        if (self == nullptr) return;
        StreamLog& log = self->log_;
        if (log.read(sequence) != nullptr || log.find(sequence) == nullptr) {
            self->recover_messages(sequence, ids_since);
            return;
        }
        // A disk that does not read now may do so later; until then nothing is taken.
        self->reread_ = {sequence, ids_since};
        self->reread_timer_.start(kReadRetry);
    });
}

// Reads on from the sequence, as far as memory goes; then waits for the disk.
void DurableStream::recover_messages(uint64_t sequence, int64_t ids_since) {
    const IndexEntry* entry = log_.at_or_after(sequence);
    while (entry != nullptr) {
        const uint64_t at = entry->sequence;
        const RecordPtr record = log_.read(at);
        if (record == nullptr) {
            load_to_recover(at, ids_since);
            return;
        }
        RecordView view;
        if (decode_record(record->body, view)) {
            if (view.timestamp >= ids_since) {
                const auto id = bus::find_header(view.headers, "Nats-Msg-Id");
                last_id_ = id ? std::string(*id) : std::string();
                if (id) remember(*id, at, view.timestamp);
            }
            clock_.on_appended(at, view);
            if (!config_.sources.empty() && at > log_.recovered_to()) sources_.on_found(view);
        }
        entry = log_.at_or_after(at + 1);
    }
    is_recovering_ = false;
    start();
    for (Incoming& incoming : std::exchange(held_, {})) take(incoming);
}

}  // namespace candela::bus_role
