// What is published to a stream, and what is copied into it: whether it may be kept.

#include <algorithm>

#include "base/text.h"
#include "bus/message.h"
#include "bus/subject.h"
#include "durable_stream.h"

namespace candela::bus_role {

namespace {

constexpr size_t kHeadersMax = 65535;

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
    const auto of = bus::find_header(headers, "Nats-Expected-Last-Subject-Sequence-Subject");
    std::optional<uint64_t> last_of_subject;
    const uint64_t given = of && bus::has_wildcard(*of)
                               ? log_.last_given_matching(*of)
                               : log_.last_given_of(of.value_or(incoming.subject));
    if (of && !bus::find_header(headers, "Nats-Expected-Last-Subject-Sequence")) {
        return js_fail({400, 10193, "missing sequence for expected last sequence per subject"});
    }
    if (!header_number(headers, "Nats-Expected-Last-Subject-Sequence", last_of_subject) ||
        (last_of_subject && *last_of_subject != given)) {
        return js_fail(wrong_last(given));
    }
    return {};
}

// Discard new: what waits for the disk counts.
JsResult<void> DurableStream::check_room(const Incoming& incoming) {
    if (incoming.headers.size() > kHeadersMax) {
        return js_fail({400, 10097, "header size exceeds maximum allowed of 64k"});
    }
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
            return js_fail(config_.is_file ? js_errors::storage_exceeded()
                                           : js_errors::memory_exceeded());
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
        bool is_schedule = false;
        if (JsResult<void> timed = clock_.check(incoming.subject, headers, is_schedule); !timed)
            return js_fail(timed.error());
        if (is_schedule) out.rollup = Rollup::kSubject;
        const auto rollup = bus::find_header(headers, "Nats-Rollup");
        if (rollup && !rollup->empty() && !is_schedule) {
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

JsResult<void> DurableStream::append_copy(const Incoming& copy, StreamLog::Done done) {
    const int64_t now = js_.now();
    const auto id = bus::find_header(copy.headers, "Nats-Msg-Id");
    if (id) {
        forget_old_ids(now);
        // It is here already; as if it had been copied.
        if (ids_.contains(std::string(*id))) return {};
    }
    if (JsResult<void> room = check_room(copy); !room) return room;
    if (id) remember(*id, log_.last_given() + 1, now);
    log_.append(copy.subject, copy.headers, copy.payload, Rollup::kNone, now, std::move(done));
    return {};
}

void DurableStream::append_mirrored(const Incoming& copy, uint64_t sequence, int64_t timestamp,
                                    StreamLog::Done done) {
    log_.skip_to(sequence);
    log_.append(copy.subject, copy.headers, copy.payload, Rollup::kNone, timestamp,
                std::move(done));
}

}  // namespace candela::bus_role
