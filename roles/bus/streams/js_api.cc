#include "js_api.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "auth/permissions.h"
#include "base/text.h"
#include "bus/subject.h"
#include "consumer.h"

namespace candela::bus_role {

namespace {

constexpr size_t kListMax = 256;
constexpr size_t kNamesMax = 1024;

struct Page {
    size_t offset;
    size_t limit;
};

// The page of the items of a map, each as `show` has it.
template <class Map, class Show>
Json page_of(const Map& map, Page page, std::string_view key, Show show) {
    Json items = Json::array();
    size_t total = 0;
    for (const auto& [name, item] : map) {
        Json shown = show(*item);
        if (shown.is_null()) continue;
        if (total++ >= page.offset && items.size() < page.limit) items.push_back(std::move(shown));
    }
    Json out = {{"total", total}, {"offset", page.offset}, {"limit", page.limit}};
    out[std::string(key)] = std::move(items);
    return out;
}

}  // namespace

const JsApi::Entry JsApi::kEntries[] = {
    {"INFO", &JsApi::account_info},
    {"STREAM.CREATE.", &JsApi::stream_create},
    {"STREAM.UPDATE.", &JsApi::stream_update},
    {"STREAM.INFO.", &JsApi::stream_info},
    {"STREAM.DELETE.", &JsApi::stream_delete},
    {"STREAM.PURGE.", &JsApi::stream_purge},
    {"STREAM.NAMES", &JsApi::stream_names},
    {"STREAM.LIST", &JsApi::stream_list},
    {"STREAM.MSG.GET.", &JsApi::message_get},
    {"STREAM.MSG.DELETE.", &JsApi::message_delete},
    {"DIRECT.GET.", &JsApi::direct_get},
    {"CONSUMER.CREATE.", &JsApi::consumer_create},
    {"CONSUMER.DURABLE.CREATE.", &JsApi::consumer_durable_create},
    {"CONSUMER.INFO.", &JsApi::consumer_info},
    {"CONSUMER.DELETE.", &JsApi::consumer_delete},
    {"CONSUMER.NAMES.", &JsApi::consumer_names},
    {"CONSUMER.LIST.", &JsApi::consumer_list},
    {"CONSUMER.MSG.NEXT.", &JsApi::consumer_next},
};

JsApi::JsApi(JetStream& js, JsAccount& account, const Incoming& request)
    : js_(js), account_(account), request_(request) {}

void JsApi::run(std::string_view subject) {
    ++account_.api_requests;
    for (const Entry& entry : kEntries) {
        const bool takes_more = entry.verb.back() == '.';
        if (takes_more ? !subject.starts_with(entry.verb) : subject != entry.verb) continue;
        if (takes_more) tokens_ = split(subject.substr(entry.verb.size()), '.');
        (this->*entry.handler)();
        return;
    }
}

bool JsApi::parse_body() {
    body_ = std::make_unique<Json>(Json::object());
    if (trim(request_.payload).empty()) return true;
    Result<Json> parsed = parse_json(request_.payload);
    if (!parsed || !parsed->is_object()) {
        refuse(js_errors::invalid_json());
        return false;
    }
    *body_ = std::move(*parsed);
    return true;
}

DurableStream* JsApi::stream() {
    DurableStream* found = account_.find(token(0));
    if (found == nullptr) refuse(js_errors::stream_not_found());
    return found;
}

Consumer* JsApi::consumer() {
    DurableStream* in = stream();
    if (in == nullptr) return nullptr;
    Consumer* found = in->find_consumer(token(1));
    if (found == nullptr) refuse(js_errors::consumer_not_found());
    return found;
}

uint64_t JsApi::offset() const {
    return static_cast<uint64_t>(std::max<int64_t>(0, json_int_or(*body_, "offset", 0)));
}

void JsApi::refuse(const JsError& error) { js_.respond(account_, request_.reply, type_, error); }

void JsApi::respond(Json body) { js_.respond(account_, request_.reply, type_, std::move(body)); }

StreamLog::Done JsApi::respond_later(Json body) {
    JetStream* js = &js_;
    return [js, account = account_.key(), reply = request_.reply, type = std::string(type_),
            body = std::move(body)](const Result<>& result) mutable {
        JsAccount& owner = js->account(account);
        if (result) {
            js->respond(owner, reply, type, std::move(body));
        } else {
            js->respond(owner, reply, type, js_errors::store_failed(result.error().message()));
        }
    };
}

void JsApi::account_info() {
    type_ = "account_info_response";
    size_t consumers = 0;
    for (const auto& [name, item] : account_.streams) consumers += item->consumers.size();
    const Account* account = account_.account();
    const auth::AccountLimits limits =
        account == nullptr ? auth::AccountLimits() : account->claims.limits;
    respond({{"memory", account_.stored_bytes(false)},
             {"storage", account_.stored_bytes(true)},
             {"streams", account_.streams.size()},
             {"consumers", consumers},
             {"limits",
              {{"max_memory", limits.memory_storage},
               {"max_storage", limits.disk_storage},
               {"max_streams", limits.streams},
               {"max_consumers", limits.consumers},
               {"max_ack_pending", -1},
               {"memory_max_stream_bytes", -1},
               {"storage_max_stream_bytes", -1},
               {"max_bytes_required", false}}},
             {"api", {{"total", account_.api_requests}, {"errors", account_.api_errors}}}});
}

// --- Streams
// --------------------------------------------------------------------------------------

JsResult<StreamConfig> JsApi::stream_config() {
    if (tokens_.size() != 1) return js_fail(js_errors::bad_request());
    return parse_stream_config(*body_, tokens_[0]);
}

void JsApi::stream_create() {
    type_ = "stream_create_response";
    if (!parse_body()) return;
    JsResult<StreamConfig> config = stream_config();
    if (!config) {
        refuse(config.error());
        return;
    }
    if (DurableStream* existing = account_.find(config->name)) {
        if (to_json(existing->config()) != to_json(*config)) {
            refuse(js_errors::stream_name_in_use());
            return;
        }
        Json body = existing->info(false, {}, 0);
        body["did_create"] = false;
        respond(std::move(body));
        return;
    }
    const Account* account = account_.account();
    const int64_t streams_max = account == nullptr ? 0 : account->claims.limits.streams;
    if (streams_max >= 0 && account_.streams.size() >= static_cast<size_t>(streams_max)) {
        refuse(js_errors::streams_max());
        return;
    }
    for (const std::string& subject : config->subjects) {
        if (!account_.overlaps(subject, nullptr)) continue;
        refuse(js_errors::subjects_overlap());
        return;
    }
    if (const std::optional<Error> refusal = js_.store().refusal(); refusal && config->is_file) {
        refuse(js_errors::store_failed(refusal->message()));
        return;
    }
    js_.create_stream(account_, std::move(*config), request_.reply);
}

void JsApi::stream_update() {
    type_ = "stream_update_response";
    if (!parse_body()) return;
    DurableStream* existing = stream();
    if (existing == nullptr) return;
    JsResult<StreamConfig> config = stream_config();
    JsResult<void> allowed =
        config ? check_update(existing->config(), *config) : js_fail(config.error());
    if (!allowed) {
        refuse(allowed.error());
        return;
    }
    for (const std::string& subject : config->subjects) {
        if (!account_.overlaps(subject, existing)) continue;
        refuse(js_errors::subjects_overlap());
        return;
    }
    JetStream* js = &js_;
    existing->update(std::move(*config), [js, account = account_.key(), reply = request_.reply,
                                          id = existing->id()](const Result<>& result) {
        JsAccount& owner = js->account(account);
        DurableStream* updated = owner.find(id);
        if (updated == nullptr) return;
        if (result) {
            js->respond(owner, reply, "stream_update_response", updated->info(false, {}, 0));
        } else {
            js->respond(owner, reply, "stream_update_response",
                        js_errors::store_failed(result.error().message()));
        }
    });
}

void JsApi::stream_info() {
    type_ = "stream_info_response";
    if (!parse_body()) return;
    DurableStream* found = stream();
    if (found == nullptr) return;
    respond(found->info(json_bool_or(*body_, "deleted_details", false),
                        json_string_or(*body_, "subjects_filter"), offset()));
}

void JsApi::stream_delete() {
    type_ = "stream_delete_response";
    DurableStream* found = stream();
    if (found != nullptr) js_.drop_stream(account_, *found, respond_later({{"success", true}}));
}

void JsApi::stream_purge() {
    type_ = "stream_purge_response";
    if (!parse_body()) return;
    DurableStream* found = stream();
    if (found == nullptr) return;
    if (found->config().sealed) {
        refuse(js_errors::sealed());
        return;
    }
    if (found->config().deny_purge) {
        refuse({500, 10052, "stream purge not permitted"});
        return;
    }
    const std::string filter = json_string_or(*body_, "filter");
    const int64_t before = json_int_or(*body_, "seq", 0);
    const int64_t keep = json_int_or(*body_, "keep", 0);
    if (before > 0 && keep > 0) {
        refuse(js_errors::bad_request());
        return;
    }
    const MessageIndex& index = found->log().index();
    std::vector<uint64_t> sequences;
    index.for_each([&](const IndexEntry& entry) {
        if (before > 0 && entry.sequence >= static_cast<uint64_t>(before)) return;
        if (!filter.empty() && !auth::subject_matches(filter, index.subject(entry.subject).name))
            return;
        sequences.push_back(entry.sequence);
    });
    const size_t kept = std::min(sequences.size(), static_cast<size_t>(std::max<int64_t>(keep, 0)));
    sequences.resize(sequences.size() - kept);
    found->purge(sequences, respond_later({{"success", true}, {"purged", sequences.size()}}));
}

void JsApi::stream_names() {
    type_ = "stream_names_response";
    if (!parse_body()) return;
    const std::string subject = json_string_or(*body_, "subject");
    respond(
        page_of(account_.streams, {offset(), kNamesMax}, "streams", [&](const DurableStream& item) {
            const std::vector<std::string>& subjects = item.config().subjects;
            const bool fits = subject.empty() ||
                              std::any_of(subjects.begin(), subjects.end(), [&](const auto& s) {
                                  return auth::patterns_overlap(s, subject);
                              });
            return fits ? Json(item.config().name) : Json();
        }));
}

void JsApi::stream_list() {
    type_ = "stream_list_response";
    if (!parse_body()) return;
    const std::string subject = json_string_or(*body_, "subject");
    respond(page_of(account_.streams, {offset(), kListMax}, "streams", [&](DurableStream& item) {
        const std::vector<std::string>& subjects = item.config().subjects;
        const bool fits =
            subject.empty() || std::any_of(subjects.begin(), subjects.end(), [&](const auto& s) {
                return auth::patterns_overlap(s, subject);
            });
        return fits ? item.info(false, {}, 0) : Json();
    }));
}

// --- Messages
// -------------------------------------------------------------------------------------

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
    if (next.empty()) return log.find(sequence) == nullptr ? 0 : sequence;
    const IndexEntry* entry = log.at_or_after(sequence);
    while (entry != nullptr && !auth::subject_matches(next, index.subject(entry->subject).name)) {
        entry = log.at_or_after(entry->sequence + 1);
    }
    return entry == nullptr ? 0 : entry->sequence;
}

void JsApi::message_get() {
    type_ = "stream_msg_get_response";
    if (!parse_body()) return;
    DurableStream* found = stream();
    if (found == nullptr) return;
    const bool by_subject = body_->contains("last_by_subj") || body_->contains("next_by_subj");
    if (!by_subject && json_int_or(*body_, "seq", 0) <= 0) {
        refuse(js_errors::bad_request());
        return;
    }
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
    type_ = "stream_msg_delete_response";
    if (!parse_body()) return;
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
        refuse({400, 10043, fmt::format("sequence {} not found", sequence)});
        return;
    }
    found->log().remove({sequence}, respond_later({{"success", true}}));
}

// ADR-31: the message itself is the answer.
void JsApi::direct_get() {
    DurableStream* found = account_.find(token(0));
    if (found == nullptr || !found->config().allow_direct || request_.reply.empty()) return;
    if (tokens_.size() > 1) {
        const std::string_view subject(
            tokens_[1].data(),
            request_.subject.data() + request_.subject.size() - tokens_[1].data());
        direct_reply(*found, find_message(found->log(), Json({{"last_by_subj", subject}})));
        return;
    }
    const Result<Json> body = parse_json(request_.payload);
    if (!body || !body->is_object() || body->empty()) {
        js_.send(account_, request_.reply, {},
                 body ? "NATS/1.0 408 Empty Request\r\n\r\n" : "NATS/1.0 408 Bad Request\r\n\r\n",
                 {});
        return;
    }
    direct_reply(*found, find_message(found->log(), *body));
}

void JsApi::direct_reply(DurableStream& stream, uint64_t sequence) {
    js_.read(
        stream.log(), sequence,
        [js = &js_, account = account_.key(), reply = request_.reply,
         name = stream.config().name](const RecordView* view) {
            JsAccount& owner = js->account(account);
            if (view == nullptr) {
                js->send(owner, reply, {}, "NATS/1.0 404 Message Not Found\r\n\r\n", {});
                return;
            }
            std::string headers =
                view->headers.size() < 12
                    ? std::string("NATS/1.0\r\n")
                    : std::string(view->headers.substr(0, view->headers.size() - 2));
            headers += fmt::format(
                "Nats-Stream: {}\r\nNats-Subject: {}\r\nNats-Sequence: {}\r\nNats-Time-Stamp: {}\r\n\r\n",
                name, view->subject, view->sequence, format_nanos(view->timestamp));
            js->send(owner, reply, {}, headers, view->payload);
        });
}

}  // namespace candela::bus_role
