// The API's requests for single messages.

#include <algorithm>
#include <optional>

#include "auth/permissions.h"
#include "base/encoding.h"
#include "bus/subject.h"
#include "direct_get.h"
#include "durable_stream.h"
#include "js_api.h"
#include "js_members_impl.h"

namespace candela::bus_role {

namespace {

// Whether the body names a message in one way; nothing where a member is of a wrong type.
std::optional<bool> check_query(const Json& body) {
    uint64_t sequence = 0;
    std::string last;
    std::string next;
    Members members(body);
    members.number("seq", sequence);
    members.text("last_by_subj", last);
    members.text("next_by_subj", next);
    if (!members.ok()) return std::nullopt;
    if (!last.empty()) return sequence == 0 && next.empty();
    return sequence != 0 || !next.empty() || members.find("start_time") != nullptr;
}

}  // namespace

// By seq, last_by_subj, or next_by_subj from seq; 0 where there is none.
uint64_t JsApi::find_message(StreamLog& log, const Json& body) const {
    const auto sequence = static_cast<uint64_t>(std::max<int64_t>(0, json_int_or(body, "seq", 0)));
    const std::string last = json_string_or(body, "last_by_subj");
    const std::string next = json_string_or(body, "next_by_subj");
    const MessageIndex& index = log.index();
    if (!last.empty()) {
        if (const SubjectEntry* subject = index.find_subject(last)) return subject->last;
        if (!bus::has_wildcard(last)) return 0;
        uint64_t found = 0;
        for (uint32_t i = 0; i < index.subject_numbers(); ++i) {
            const SubjectEntry& subject = index.subject(i);
            if (subject.count == 0 || !auth::subject_matches(last, subject.name)) continue;
            found = std::max(found, subject.last);
        }
        return found;
    }
    if (next.empty() && !body.contains("start_time")) {
        return log.find(sequence) == nullptr ? 0 : sequence;
    }
    const IndexEntry* entry = log.at_or_after(std::max(sequence, first_since(log, body)));
    while (entry != nullptr && !next.empty() &&
           !auth::subject_matches(next, index.subject(entry->subject).name)) {
        entry = log.at_or_after(entry->sequence + 1);
    }
    return entry == nullptr ? 0 : entry->sequence;
}

void JsApi::message_get() {
    if (!parse_body()) return;
    const std::optional<bool> makes_sense = check_query(*body_);
    if (!makes_sense) {
        refuse(js_errors::invalid_json());
        return;
    }
    if (!*makes_sense) {
        refuse(js_errors::bad_request());
        return;
    }
    DurableStream* found = stream();
    if (found == nullptr) return;
    const uint64_t sequence = find_message(found->log(), *body_);
    js_.read(found->log(), sequence,
             [js = &js_, account = account_.key(), reply = request_.reply,
              type = type_](const RecordView* view) {
                 JsAccount& owner = js->account(account);
                 if (view == nullptr) {
                     js->respond(owner, reply, type, js_errors::no_message_found());
                     return;
                 }
                 Json message = {{"subject", view->subject},
                                 {"seq", view->sequence},
                                 {"time", format_nanos(view->timestamp)}};
                 if (!view->payload.empty())
                     message["data"] = base64_encode(as_bytes(view->payload));
                 if (!view->headers.empty())
                     message["hdrs"] = base64_encode(as_bytes(view->headers));
                 js->respond(owner, reply, type, Json({{"message", std::move(message)}}));
             });
}

void JsApi::message_delete() {
    if (!parse_body()) return;
    if (body_->empty()) {
        refuse(js_errors::bad_request());
        return;
    }
    DurableStream* found = stream();
    if (found == nullptr) return;
    if (found->config().sealed) {
        refuse(js_errors::sealed());
        return;
    }
    if (found->config().deny_delete) {
        refuse({500, 10057, "message delete not permitted"});
        return;
    }
    const auto sequence =
        static_cast<uint64_t>(std::max<int64_t>(0, json_int_or(*body_, "seq", 0)));
    if (found->log().find(sequence) == nullptr) {
        if (sequence > found->log().last_sequence()) {
            refuse({500, 10057, "stream store EOF"});
        } else if (sequence < found->log().first_sequence()) {
            refuse({500, 10057, "no message found"});
        } else {
            refuse({400, 10043, fmt::format("sequence {} not found", sequence)});
        }
        return;
    }
    found->log().remove({sequence}, respond_later({{"success", true}}));
}

// ADR-31: the message itself is the answer. A stream that does not answer so is as good as nobody.
void JsApi::direct_get() {
    DurableStream* found = account_.find(token(0));
    if (request_.reply.empty()) return;
    if (found == nullptr || !found->config().allow_direct) {
        send_direct_status(js_, account_, request_.reply, kNobodyThere);
        return;
    }
    if (tokens_.size() > 1) {
        const std::string_view subject(
            tokens_[1].data(), static_cast<size_t>(request_.subject.data() +
                                                   request_.subject.size() - tokens_[1].data()));
        direct_reply(*found, find_message(found->log(), Json({{"last_by_subj", subject}})));
        return;
    }
    const auto refuse_with = [this](std::string_view status) {
        send_direct_status(js_, account_, request_.reply, status);
    };
    if (request_.payload.empty()) {
        refuse_with("408 Empty Request");
        return;
    }
    const Result<Json> body = parse_json(request_.payload);
    if (!body || !body->is_object() || !check_query(*body)) {
        refuse_with("408 Malformed Request");
    } else if (body->empty()) {
        refuse_with("408 Empty Request");
    } else if (body->contains("batch") || body->contains("multi_last")) {
        answer_batch(js_, *found, request_.reply, *body);
    } else {
        direct_reply(*found, find_message(found->log(), *body));
    }
}

void JsApi::direct_reply(DurableStream& stream, uint64_t sequence) {
    js_.read(stream.log(), sequence,
             [js = &js_, account = account_.key(), reply = request_.reply,
              name = stream.config().name](const RecordView* view) {
                 JsAccount& owner = js->account(account);
                 if (view == nullptr) {
                     send_direct_status(*js, owner, reply, "404 Message Not Found");
                 } else {
                     send_direct(*js, owner, reply, name, *view, {});
                 }
             });
}

}  // namespace candela::bus_role
