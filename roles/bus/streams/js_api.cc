#include "js_api.h"

#include <algorithm>
#include <limits>
#include <set>

#include <nlohmann/json.hpp>

#include "auth/permissions.h"
#include "base/text.h"
#include "bus/message.h"
#include "consumer.h"

namespace candela::bus_role {

namespace {

constexpr size_t kListMax = 256;
constexpr size_t kNamesMax = 1024;
constexpr size_t kAnyTokens = std::numeric_limits<size_t>::max();

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
    Json out = {{"total", total}, {"offset", std::min(page.offset, total)}, {"limit", page.limit}};
    out[std::string(key)] = std::move(items);
    return out;
}

}  // namespace

const JsApi::Entry JsApi::kEntries[] = {
    {"INFO", &JsApi::account_info, "account_info_response"},
    {"STREAM.CREATE.", &JsApi::stream_create, "stream_create_response", 1, 1},
    {"STREAM.UPDATE.", &JsApi::stream_update, "stream_update_response", 1, 1},
    {"STREAM.INFO.", &JsApi::stream_info, "stream_info_response", 1, 1},
    {"STREAM.DELETE.", &JsApi::stream_delete, "stream_delete_response", 1, 1, false},
    {"STREAM.PURGE.", &JsApi::stream_purge, "stream_purge_response", 1, 1},
    {"STREAM.NAMES", &JsApi::stream_names, "stream_names_response"},
    {"STREAM.LIST", &JsApi::stream_list, "stream_list_response"},
    {"STREAM.MSG.GET.", &JsApi::message_get, "stream_msg_get_response", 1, 1},
    {"STREAM.MSG.DELETE.", &JsApi::message_delete, "stream_msg_delete_response", 1, 1},
    {"DIRECT.GET.", &JsApi::direct_get, "", 1, kAnyTokens},
    {"CONSUMER.CREATE.", &JsApi::consumer_create, "consumer_create_response", 1, kAnyTokens},
    {"CONSUMER.DURABLE.CREATE.", &JsApi::consumer_durable_create, "consumer_create_response", 2, 2},
    {"CONSUMER.INFO.", &JsApi::consumer_info, "consumer_info_response", 2, 2, false},
    {"CONSUMER.DELETE.", &JsApi::consumer_delete, "consumer_delete_response", 2, 2, false},
    {"CONSUMER.NAMES.", &JsApi::consumer_names, "consumer_names_response", 1, 1},
    {"CONSUMER.LIST.", &JsApi::consumer_list, "consumer_list_response", 1, 1},
    {"CONSUMER.MSG.NEXT.", &JsApi::consumer_next, "", 2, 2},
    {"CONSUMER.PAUSE.", &JsApi::consumer_pause, "consumer_pause_response", 2, 2},
    {"CONSUMER.UNPIN.", &JsApi::consumer_unpin, "consumer_unpin_response", 2, 2},
};

JsApi::JsApi(JetStream& js, JsAccount& account, const Incoming& request)
    : js_(js), account_(account), request_(request) {}

void JsApi::run(std::string_view subject) {
    ++account_.api_requests;
    for (const Entry& entry : kEntries) {
        const bool takes_more = entry.verb.back() == '.';
        if (takes_more ? !subject.starts_with(entry.verb) : subject != entry.verb) continue;
        if (takes_more) tokens_ = split(subject.substr(entry.verb.size()), '.');
        if (tokens_.size() < entry.tokens_min || tokens_.size() > entry.tokens_max) return;
        type_ = entry.type;
        if (needs_newer_api()) {
            refuse({412, 10185, "JetStream minimum api level required"});
        } else if (!entry.takes_body && !is_body_empty()) {
            refuse({400, 10038, "expected an empty request payload"});
        } else {
            (this->*entry.handler)();
        }
        return;
    }
}

// ADR-44: the request uses something that came with a level of the API.
bool JsApi::needs_newer_api() const {
    const auto needed = bus::find_header(request_.headers, "Nats-Required-Api-Level");
    if (!needed) return false;
    const Result<uint64_t> level = parse_uint(*needed);
    return !level || *level > kApiLevel;
}

// {} says as little as nothing does.
bool JsApi::is_body_empty() const {
    if (request_.payload.empty()) return true;
    const Result<Json> parsed = parse_json(request_.payload);
    return parsed && parsed->is_object() && parsed->empty();
}

bool JsApi::parse_body(Body body) {
    body_ = std::make_unique<Json>(Json::object());
    if (request_.payload.empty() && body == Body::kOptional) return true;
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

size_t JsApi::offset() const {
    return static_cast<size_t>(std::max<int64_t>(0, json_int_or(*body_, "offset", 0)));
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
    size_t consumers = 0;
    for (const auto& [name, item] : account_.streams) consumers += item->consumers.size();
    const Account* account = account_.account();
    const auth::AccountLimits limits =
        account == nullptr ? auth::AccountLimits() : account->claims.limits;
    respond({{"memory", account_.stored_bytes(false)},
             {"storage", account_.stored_bytes(true)},
             {"reserved_memory", account_.reserved_bytes(false)},
             {"reserved_storage", account_.reserved_bytes(true)},
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
             {"api",
              {{"level", kApiLevel},
               {"total", account_.api_requests},
               {"errors", account_.api_errors}}}});
}

// --- Streams
// --------------------------------------------------------------------------------------

JsResult<StreamConfig> JsApi::stream_config() { return parse_stream_config(*body_, tokens_[0]); }

// What depends on the account's other streams.
JsResult<void> JsApi::check_among_others(const StreamConfig& config,
                                         const DurableStream* existing) const {
    for (const std::string& subject : config.subjects) {
        if (account_.overlaps(subject, existing)) return js_fail(js_errors::subjects_overlap());
    }
    const Account* account = account_.account();
    const auth::AccountLimits limits =
        account == nullptr ? auth::AccountLimits() : account->claims.limits;
    const int64_t storage = config.is_file ? limits.disk_storage : limits.memory_storage;
    if (storage == 0 || (storage > 0 && config.bytes_max > storage)) {
        return js_fail(config.is_file ? js_errors::storage_exceeded()
                                      : js_errors::memory_exceeded());
    }
    // Unfiltered sources that lead back here would copy for ever.
    std::vector<std::string> next;
    std::set<std::string> seen;
    const auto follow = [&](const StreamConfig& from) {
        for (const SourceConfig& source : from.sources) {
            if (source.filter.empty() && source.transforms.empty()) next.push_back(source.name);
        }
        if (from.mirror) next.push_back(from.mirror->name);
    };
    follow(config);
    while (!next.empty()) {
        const std::string name = std::move(next.back());
        next.pop_back();
        if (name == config.name) {
            return js_fail(js_errors::stream_config("detected a cycle of sources"));
        }
        if (!seen.insert(name).second) continue;
        if (const DurableStream* stream = account_.find(name)) follow(stream->config());
    }
    return {};
}

void JsApi::stream_create() {
    if (!parse_body(Body::kNeeded)) return;
    JsResult<StreamConfig> config = stream_config();
    if (!config) {
        refuse(config.error());
        return;
    }
    if (config->sealed) {
        refuse(js_errors::stream_config("stream configuration for create can not be sealed"));
        return;
    }
    if (DurableStream* existing = account_.find(config->name)) {
        if (to_json(existing->config()) != to_json(*config)) {
            refuse(js_errors::stream_name_in_use());
            return;
        }
        // To whoever asked for it, it has been made.
        Json body = existing->info(false, {}, 0);
        body["did_create"] = true;
        respond(std::move(body));
        return;
    }
    const Account* account = account_.account();
    const int64_t streams_max = account == nullptr ? 0 : account->claims.limits.streams;
    if (streams_max >= 0 && account_.streams.size() >= static_cast<size_t>(streams_max)) {
        refuse(js_errors::streams_max());
        return;
    }
    if (JsResult<void> fits = check_among_others(*config, nullptr); !fits) {
        refuse(fits.error());
        return;
    }
    if (const std::optional<Error> refusal = js_.store().refusal(); refusal && config->is_file) {
        refuse(js_errors::store_failed(refusal->message()));
        return;
    }
    js_.create_stream(account_, std::move(*config), request_.reply);
}

void JsApi::stream_update() {
    if (!parse_body(Body::kNeeded)) return;
    if (json_string_or(*body_, "name").empty()) {
        refuse(js_errors::stream_name_invalid());
        return;
    }
    JsResult<StreamConfig> config = stream_config();
    if (!config) {
        refuse(config.error());
        return;
    }
    DurableStream* existing = stream();
    if (existing == nullptr) return;
    if (JsResult<void> allowed = check_update(existing->config(), *config); !allowed) {
        refuse(allowed.error());
        return;
    }
    if (JsResult<void> fits = check_among_others(*config, existing); !fits) {
        refuse(fits.error());
        return;
    }
    JetStream* js = &js_;
    existing->update(std::move(*config), [js, account = account_.key(), reply = request_.reply,
                                          id = existing->id()](const Result<>& result) {
        JsAccount& owner = js->account(account);
        DurableStream* updated = owner.find(id);
        if (updated == nullptr) return;
        if (result) {
            js->advise_stream(owner, updated->config().name, "update");
            js->respond(owner, reply, "stream_update_response", updated->info(false, {}, 0));
        } else {
            js->respond(owner, reply, "stream_update_response",
                        js_errors::store_failed(result.error().message()));
        }
    });
}

void JsApi::stream_info() {
    if (!parse_body()) return;
    DurableStream* found = stream();
    if (found == nullptr) return;
    respond(found->info(json_bool_or(*body_, "deleted_details", false),
                        json_string_or(*body_, "subjects_filter"), offset()));
}

void JsApi::stream_delete() {
    DurableStream* found = stream();
    if (found != nullptr) js_.drop_stream(account_, *found, respond_later({{"success", true}}));
}

void JsApi::stream_purge() {
    if (!parse_body()) return;
    DurableStream* found = stream();
    if (found == nullptr) return;
    if (found->config().sealed) {
        refuse(js_errors::sealed());
        return;
    }
    if (found->config().deny_purge) {
        refuse({500, 10110, "stream purge not permitted"});
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

bool JsApi::has_subject(const DurableStream& stream, const std::string& subject) {
    const std::vector<std::string>& subjects = stream.config().subjects;
    return subject.empty() || std::any_of(subjects.begin(), subjects.end(), [&](const auto& s) {
               return auth::patterns_overlap(s, subject);
           });
}

// No names at all are null, as nats-server has it.
void JsApi::stream_names() {
    if (!parse_body()) return;
    const std::string subject = json_string_or(*body_, "subject");
    Json body =
        page_of(account_.streams, {offset(), kNamesMax}, "streams", [&](const DurableStream& item) {
            return has_subject(item, subject) ? Json(item.config().name) : Json();
        });
    if (body["streams"].empty()) body["streams"] = Json();
    respond(std::move(body));
}

void JsApi::stream_list() {
    if (!parse_body()) return;
    const std::string subject = json_string_or(*body_, "subject");
    respond(page_of(account_.streams, {offset(), kListMax}, "streams", [&](DurableStream& item) {
        return has_subject(item, subject) ? item.info(false, {}, 0) : Json();
    }));
}

}  // namespace candela::bus_role
