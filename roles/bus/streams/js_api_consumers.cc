// The CONSUMER part of the JetStream API.

#include <algorithm>

#include "auth/permissions.h"
#include "base/text.h"
#include "consumer.h"
#include "direct_get.h"
#include "js_api.h"
#include "js_members_impl.h"

namespace candela::bus_role {

namespace {

constexpr size_t kListMax = 256;
constexpr size_t kNamesMax = 1024;
constexpr size_t kNameLength = 8;
constexpr size_t kNameMax = 255;

template <class Show>
Json page_of(const DurableStream& stream, size_t offset, size_t limit, Show show) {
    Json items = Json::array();
    size_t at = 0;
    for (const auto& [name, item] : stream.consumers) {
        if (at++ < offset) continue;
        if (items.size() == limit) break;
        items.push_back(show(*item));
    }
    return {{"total", stream.consumers.size()},
            {"offset", std::min(offset, stream.consumers.size())},
            {"limit", limit},
            {"consumers", std::move(items)}};
}

}  // namespace

// CONSUMER.CREATE.<stream>, …<consumer>, …<filter>
void JsApi::consumer_create() {
    std::string filter;
    if (tokens_.size() > 2) {
        filter = std::string(tokens_[2].data(),
                             request_.subject.data() + request_.subject.size() - tokens_[2].data());
    }
    make_consumer(tokens_.size() > 1 ? Naming::kName : Naming::kNone, filter);
}

void JsApi::consumer_durable_create() { make_consumer(Naming::kDurable, {}); }

// What the body asks for has to agree with the subject, which names the consumer where it can.
JsResult<void> JsApi::check_consumer_subject(Naming naming, const std::string& filter,
                                             ConsumerConfig& config) const {
    const bool is_durable = !config.durable.empty();
    if (naming == Naming::kDurable && !is_durable) {
        return js_fail(
            {400, 10018, "consumer expected to be durable but a durable name was not set"});
    }
    if (naming == Naming::kNone && is_durable) {
        return js_fail({400, 10020,
                        "consumer expected to be ephemeral but a durable name was set in request"});
    }
    if (is_durable && config.durable != token(1)) {
        return js_fail(
            {400, 10017, "consumer name in subject does not match durable name in request"});
    }
    if (naming == Naming::kName) config.name = token(1);
    if (filter.empty()) return {};
    if (config.has_filter_list) {
        return js_fail(
            {400, 10137, "consumer with multiple subject filters cannot use subject based API"});
    }
    if (config.filters.empty() || config.filters.front() != filter) {
        return js_fail(
            {400, 10131,
             "Consumer create request did not match filtered subject from create subject"});
    }
    return {};
}

JsResult<void> JsApi::check_consumer_name(ConsumerConfig& config) {
    if (config.name.empty()) config.name = config.durable;
    if (config.name.empty()) config.name = js_.random_name(kNameLength);
    if (config.name.size() > kNameMax) {
        return js_fail({400, 10102, "consumer name is too long, maximum allowed is 255"});
    }
    if (config.name.find_first_of("/\\") != std::string::npos) {
        return js_fail({400, 10127, "Consumer name can not contain path separators"});
    }
    if (!is_valid_js_name(config.name)) {
        return js_fail({400, 10103, "durable name can not contain '.', '*', '>'"});
    }
    return {};
}

void JsApi::make_consumer(Naming naming, const std::string& filter) {
    if (!parse_body(Body::kNeeded)) return;
    std::string stream_name;
    std::string action;
    Members members(*body_);
    members.text("stream_name", stream_name);
    members.choice("action", action, {{"create", "create"}, {"update", "update"}});
    const Json* given = members.find("config");
    JsResult<ConsumerConfig> config = parse_consumer_config(given ? *given : Json::object());
    if (!members.ok() || !config) {
        refuse(js_errors::invalid_json());
        return;
    }
    if (stream_name != token(0)) {
        refuse(js_errors::stream_mismatch());
        return;
    }
    if (JsResult<void> agrees = check_consumer_subject(naming, filter, *config); !agrees) {
        refuse(agrees.error());
        return;
    }
    DurableStream* in = stream();
    if (in == nullptr) return;
    JsResult<void> checked = check_consumer_name(*config);
    if (checked) checked = complete(*config, in->config());
    if (!checked) {
        refuse(checked.error());
        return;
    }
    Consumer* existing = in->find_consumer(config->name);
    if (existing == nullptr && action == "update") {
        refuse(js_errors::consumer_missing());
    } else if (existing == nullptr) {
        add_consumer(*in, std::move(*config));
    } else if (to_json(existing->config()) == to_json(*config)) {
        respond(existing->info());
    } else if (action == "create") {
        refuse(js_errors::consumer_exists());
    } else {
        change_consumer(*in, *existing, std::move(*config));
    }
}

JsResult<void> JsApi::check_new(DurableStream& stream, const ConsumerConfig& config) {
    const Account* account = account_.account();
    const int64_t limit = account == nullptr ? 0 : account->claims.limits.consumers;
    size_t total = 0;
    for (const auto& [name, item] : account_.streams) total += item->consumers.size();
    const int64_t of_stream = stream.config().consumers_max;
    if ((limit >= 0 && total >= static_cast<size_t>(limit)) ||
        (of_stream >= 0 && stream.consumers.size() >= static_cast<size_t>(of_stream))) {
        return js_fail(js_errors::consumers_max());
    }
    if (stream.config().retention != Retention::kWorkQueue) return {};
    // Of a work queue each message goes to one consumer.
    for (const auto& [name, item] : stream.consumers) {
        const std::vector<std::string>& others = item->config().filters;
        if (others.empty() || config.filters.empty()) {
            return js_fail(
                {400, 10099, "multiple non-filtered consumers not allowed on workqueue stream"});
        }
        for (const std::string& mine : config.filters) {
            for (const std::string& theirs : others) {
                if (!auth::patterns_overlap(mine, theirs)) continue;
                return js_fail({400, 10100, "filtered consumer not unique on workqueue stream"});
            }
        }
    }
    return {};
}

void JsApi::add_consumer(DurableStream& stream, ConsumerConfig config) {
    if (JsResult<void> allowed = check_new(stream, config); !allowed) {
        refuse(allowed.error());
        return;
    }
    Consumer& made = stream.add_consumer(std::move(config), js_.now(), stream.next_consumer_id++);
    js_.advise_consumer(account_, stream.config().name, made.name(), "create");
    if (!made.is_durable()) {
        made.begin();
        respond(made.info());
        js_.wake(stream);
        return;
    }
    if (const std::optional<Error> refusal = js_.store().refusal()) {
        stream.remove_consumer(made, StreamLog::Done());
        refuse(js_errors::store_failed(refusal->message()));
        return;
    }
    const auto put = [js = &js_, account = account_.key(), reply = request_.reply, id = stream.id(),
                      name = made.name()](const Result<>& result) {
        JsAccount& owner = js->account(account);
        DurableStream* in = owner.find(id);
        Consumer* consumer = in == nullptr ? nullptr : in->find_consumer(name);
        if (consumer == nullptr) return;
        if (result) {
            js->respond(owner, reply, "consumer_create_response", consumer->info());
            js->wake(*in);
            return;
        }
        in->remove_consumer(*consumer, StreamLog::Done());
        js->respond(owner, reply, "consumer_create_response",
                    js_errors::store_failed(result.error().message()));
    };
    js_.store().put_consumer(stream.log(), made.id(), made.encode_blob(), put);
    made.begin();
}

void JsApi::change_consumer(DurableStream& stream, Consumer& existing, ConsumerConfig config) {
    if (const char* differs = what_differs(existing.config(), config)) {
        refuse(js_errors::consumer_create(differs));
        return;
    }
    const bool moves = existing.config().deliver_subject != config.deliver_subject;
    if (moves && existing.config().is_push() && existing.is_active()) {
        refuse({400, 10013, "consumer name already in use"});
        return;
    }
    existing.update(std::move(config));
    StreamLog::Done done = respond_later(existing.info());
    if (existing.is_durable()) {
        js_.store().put_consumer(stream.log(), existing.id(), existing.encode_blob(),
                                 std::move(done));
    } else {
        done(Result<>());
    }
}

void JsApi::consumer_info() {
    if (Consumer* found = consumer()) respond(found->info());
}

void JsApi::consumer_delete() {
    if (Consumer* found = consumer()) {
        stream()->remove_consumer(*found, respond_later({{"success", true}}));
    }
}

// {"pause_until": RFC 3339}; none, or a time in the past: it goes on.
void JsApi::consumer_pause() {
    if (!parse_body()) return;
    Consumer* found = consumer();
    if (found == nullptr) return;
    const std::string text = json_string_or(*body_, "pause_until");
    const Result<WallTime> until = parse_rfc3339(text);
    if (!text.empty() && !until) {
        refuse(js_errors::invalid_json());
        return;
    }
    const int64_t time = until ? until->time_since_epoch().count() : 0;
    if (time > js_.now()) {
        found->pause(time, format_nanos(time));
    } else {
        found->pause(0, {});
    }
    Json body = {{"paused", found->is_paused()},
                 {"pause_until", format_nanos(std::max<int64_t>(time, 0))}};
    if (found->is_paused()) body["pause_remaining"] = time - js_.now();
    StreamLog::Done done = respond_later(std::move(body));
    if (found->is_durable()) {
        js_.store().put_consumer(stream()->log(), found->id(), found->encode_blob(),
                                 std::move(done));
    } else {
        done(Result<>());
    }
}

// {"group": name}
void JsApi::consumer_unpin() {
    if (!parse_body()) return;
    Consumer* found = consumer();
    if (found == nullptr) return;
    const std::vector<std::string>& groups = found->config().priority_groups;
    const std::string group = json_string_or(*body_, "group");
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) {
        refuse({400, 10160, "Provided priority group does not exist for this consumer"});
        return;
    }
    found->unpin("admin");
    respond(Json::object());
}

void JsApi::consumer_names() {
    if (!parse_body()) return;
    DurableStream* found = stream();
    if (found == nullptr) return;
    respond(page_of(*found, offset(), kNamesMax, [](Consumer& item) { return Json(item.name()); }));
}

void JsApi::consumer_list() {
    if (!parse_body()) return;
    DurableStream* found = stream();
    if (found == nullptr) return;
    respond(page_of(*found, offset(), kListMax, [](Consumer& item) { return item.info(); }));
}

// Where there is no such consumer nobody is there, as on nats-server 2.10.
void JsApi::consumer_next() {
    DurableStream* in = account_.find(token(0));
    Consumer* found = in == nullptr ? nullptr : in->find_consumer(token(1));
    if (found != nullptr) {
        found->request(request_.reply, request_.payload);
    } else if (!request_.reply.empty()) {
        send_direct_status(js_, account_, request_.reply, kNobodyThere);
    }
}

}  // namespace candela::bus_role
