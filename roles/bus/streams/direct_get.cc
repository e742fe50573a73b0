#include "direct_get.h"

#include <algorithm>
#include <memory>
#include <set>

#include <nlohmann/json.hpp>

#include "auth/permissions.h"
#include "durable_stream.h"

namespace candela::bus_role {

namespace {

constexpr size_t kBatchMax = 1024;

struct Batch {
    std::string account;
    uint64_t stream = 0;
    std::string reply;
    std::vector<uint64_t> sequences;
    size_t at = 0;
    uint64_t pending = 0;  // behind the last one sent
    uint64_t last = 0;     // sent last
    uint64_t up_to = 0;    // of a "multi_last"; 0: none
    int64_t bytes_left = INT64_MAX;
    bool is_looping = false;
};

bool is_wanted(std::string_view filter, std::string_view subject) {
    return filter.empty() || auth::subject_matches(filter, subject);
}

// Those from a place on, of a filter.
void choose_next(StreamLog& log, const Json& request, Batch& batch) {
    const std::string filter = json_string_or(request, "next_by_subj");
    const auto limit =
        static_cast<size_t>(std::clamp<int64_t>(json_int_or(request, "batch", 1), 1, kBatchMax));
    const auto from = static_cast<uint64_t>(std::max<int64_t>(0, json_int_or(request, "seq", 0)));
    const MessageIndex& index = log.index();
    const IndexEntry* entry = log.at_or_after(std::max(from, first_since(log, request)));
    while (entry != nullptr) {
        if (is_wanted(filter, index.subject(entry->subject).name)) {
            if (batch.sequences.size() < limit) batch.sequences.push_back(entry->sequence);
            ++batch.pending;
        }
        entry = log.at_or_after(entry->sequence + 1);
    }
}

// The subject's last message as it was then; 0: it had none.
uint64_t last_up_to(StreamLog& log, uint32_t subject, uint64_t up_to, int64_t before) {
    const auto fits = [&](uint64_t sequence) {
        const IndexEntry* entry = log.find(sequence);
        return entry != nullptr && sequence <= up_to && entry->timestamp <= before;
    };
    MessageIndex& index = log.index();
    const uint64_t last = index.subject(subject).last;
    if (fits(last)) return last;
    uint64_t found = 0;
    for (uint64_t next = index.first_of(subject); next != 0 && fits(next);
         next = index.next_of(subject, next + 1)) {
        found = next;
    }
    return found;
}

// The last of each subject, as it was up to a moment; false where there are too many.
bool choose_last(StreamLog& log, const Json& request, Batch& batch) {
    const auto limit = json_int_or(request, "batch", 0);
    const auto up_to =
        static_cast<uint64_t>(std::max<int64_t>(0, json_int_or(request, "up_to_seq", 0)));
    int64_t before = INT64_MAX;
    if (const Result<WallTime> time = parse_rfc3339(json_string_or(request, "up_to_time"))) {
        before = time->time_since_epoch().count();
    }
    batch.up_to = up_to != 0 ? up_to : log.last_sequence();
    const MessageIndex& index = log.index();
    std::set<uint64_t> found;
    for (uint32_t i = 0; i < index.subject_numbers(); ++i) {
        const SubjectEntry& subject = index.subject(i);
        const bool fits =
            subject.count != 0 &&
            std::any_of(request["multi_last"].begin(), request["multi_last"].end(),
                        [&](const Json& filter) {
                            return filter.is_string() &&
                                   auth::subject_matches(filter.get<std::string>(), subject.name);
                        });
        if (!fits) continue;
        const uint64_t last = last_up_to(log, i, batch.up_to, before);
        if (last != 0) found.insert(last);
        if (found.size() > kBatchMax) return false;
    }
    batch.pending = found.size();
    batch.sequences.assign(found.begin(), found.end());
    if (limit > 0 && batch.sequences.size() > static_cast<size_t>(limit)) {
        batch.sequences.resize(static_cast<size_t>(limit));
    }
    return true;
}

std::string places_of(const Batch& batch) {
    std::string out = fmt::format("Nats-Num-Pending: {}\r\nNats-Last-Sequence: {}\r\n",
                                  batch.pending, batch.last);
    if (batch.up_to != 0) out += fmt::format("Nats-UpTo-Sequence: {}\r\n", batch.up_to);
    return out;
}

void go_on(JetStream& js, const std::shared_ptr<Batch>& batch);

void send_one(JetStream& js, DurableStream& stream, Batch& batch, const RecordView* view) {
    if (batch.pending != 0) --batch.pending;
    if (view == nullptr) return;  // gone meanwhile
    batch.bytes_left -=
        static_cast<int64_t>(view->subject.size() + view->headers.size() + view->payload.size());
    send_direct(js, stream.account(), batch.reply, stream.config().name, *view, places_of(batch));
    batch.last = view->sequence;
}

// As far as memory goes; then it waits for the disk.
void go_on(JetStream& js, const std::shared_ptr<Batch>& batch) {
    while (batch->at < batch->sequences.size() && batch->bytes_left > 0) {
        DurableStream* stream = js.find(batch->stream);
        if (stream == nullptr) return;
        const uint64_t sequence = batch->sequences[batch->at++];
        bool is_done = false;
        batch->is_looping = true;
        js.read(stream->log(), sequence, [&js, batch, done = &is_done](const RecordView* view) {
            DurableStream* in = js.find(batch->stream);
            if (in == nullptr) return;
            send_one(js, *in, *batch, view);
            // Later, what it points to is no more.
            if (batch->is_looping) {
                *done = true;
            } else {
                go_on(js, batch);
            }
        });
        batch->is_looping = false;
        if (!is_done) return;
    }
    send_direct_status(js, js.account(batch->account), batch->reply, "204 EOB", places_of(*batch));
}

}  // namespace

void send_direct_status(JetStream& js, JsAccount& account, const std::string& reply,
                        std::string_view status, std::string_view extra) {
    js.send(account, reply, {}, fmt::format("NATS/1.0 {}\r\n{}\r\n", status, extra), {});
}

void send_direct(JetStream& js, JsAccount& account, const std::string& reply,
                 std::string_view stream, const RecordView& view, std::string_view extra) {
    std::string headers(view.headers.size() < 12 ? std::string_view("NATS/1.0\r\n")
                                                 : view.headers.substr(0, view.headers.size() - 2));
    headers += fmt::format(
        "Nats-Stream: {}\r\nNats-Subject: {}\r\nNats-Sequence: {}\r\nNats-Time-Stamp: {}\r\n{}\r\n",
        stream, view.subject, view.sequence, format_nanos(view.timestamp), extra);
    js.send(account, reply, {}, headers, view.payload);
}

uint64_t first_since(StreamLog& log, const Json& body) {
    const Result<WallTime> time = parse_rfc3339(json_string_or(body, "start_time"));
    if (!time) return 0;
    const int64_t since = time->time_since_epoch().count();
    const IndexEntry* found = log.index().at_time(since);
    return found != nullptr ? found->sequence : log.last_sequence() + 1;
}

void answer_batch(JetStream& js, DurableStream& stream, const std::string& reply,
                  const Json& request) {
    auto batch = std::make_shared<Batch>();
    batch->account = stream.account().key();
    batch->stream = stream.id();
    batch->reply = reply;
    const int64_t bytes = json_int_or(request, "max_bytes", 0);
    if (bytes > 0) batch->bytes_left = bytes;
    if (request.contains("multi_last")) {
        if (!request["multi_last"].is_array() || request["multi_last"].empty()) {
            send_direct_status(js, stream.account(), reply, "408 Bad Request");
            return;
        }
        if (!choose_last(stream.log(), request, *batch)) {
            send_direct_status(js, stream.account(), reply, "413 Too Many Results");
            return;
        }
    } else {
        choose_next(stream.log(), request, *batch);
    }
    if (batch->sequences.empty()) {
        send_direct_status(js, stream.account(), reply, "404 No Results");
        return;
    }
    go_on(js, batch);
}

}  // namespace candela::bus_role
