// The CONSUMER part of the JetStream API.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "auth/permissions.h"
#include "base/text.h"
#include "consumer.h"
#include "js_api.h"

namespace candela::bus_role {

namespace {

constexpr size_t kListMax = 256;
constexpr size_t kNamesMax = 1024;
constexpr size_t kNameLength = 8;

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
            {"offset", offset},
            {"limit", limit},
            {"consumers", std::move(items)}};
}

// What can't change while a consumer lives.
const char* what_differs(const ConsumerConfig& from, const ConsumerConfig& to) {
    if (from.deliver != to.deliver) return "deliver policy can not be updated";
    if (from.start_sequence != to.start_sequence) return "start sequence can not be updated";
    if (from.start_time_text != to.start_time_text) return "start time can not be updated";
    if (from.ack != to.ack) return "ack policy can not be updated";
    if (from.replay_original != to.replay_original) return "replay policy can not be updated";
    if (from.heartbeat != to.heartbeat) return "heart beats can not be updated";
    if (from.flow_control != to.flow_control) return "flow control can not be updated";
    if (from.is_push() != to.is_push()) {
        return from.is_push() ? "can not update push consumer to pull based"
                              : "can not update pull consumer to push based";
    }
    if (from.waiting_max != to.waiting_max) return "max waiting can not be updated";
    return nullptr;
}

}  // namespace

// CONSUMER.CREATE.<stream>, …<consumer>, …<filter>
void JsApi::consumer_create() {
    type_ = "consumer_create_response";
    std::string filter;
    if (tokens_.size() > 2) {
        filter = std::string(tokens_[2].data(),
                             request_.subject.data() + request_.subject.size() - tokens_[2].data());
    }
    make_consumer(token(0), token(1), false, filter);
}

void JsApi::consumer_durable_create() {
    type_ = "consumer_create_response";
    if (tokens_.size() != 2) {
        refuse(js_errors::bad_request());
        return;
    }
    make_consumer(token(0), token(1), true, {});
}

void JsApi::make_consumer(const std::string& stream_name, const std::string& name, bool is_durable,
                          const std::string& filter) {
    if (!parse_body()) return;
    if (json_string_or(*body_, "stream_name") != stream_name) {
        refuse(js_errors::stream_mismatch());
        return;
    }
    DurableStream* in = stream();
    if (in == nullptr) return;
    JsResult<ConsumerConfig> config = parse_consumer_config(body_->value("config", Json::object()));
    if (!config) {
        refuse(config.error());
        return;
    }
    if (is_durable && config->durable.empty()) {
        refuse({400, 10018, "consumer expected to be durable but a durable name was not set"});
        return;
    }
    if (is_durable && config->durable != name) {
        refuse({400, 10017, "consumer name in subject does not match durable name in request"});
        return;
    }
    if (name.empty() && !config->durable.empty()) {
        refuse({400, 10020,
                "consumer expected to be ephemeral but a durable name was set in request"});
        return;
    }
    if (!name.empty() && !config->name.empty() && config->name != name) {
        refuse({400, 10017, "consumer name in subject does not match durable name in request"});
        return;
    }
    if (!filter.empty() && (config->filters.size() != 1 || config->filters.front() != filter)) {
        refuse({400, 10131,
                "Consumer create request did not match filtered subject from create subject"});
        return;
    }
    if (config->name.empty()) config->name = name;
    if (config->name.empty()) config->name = js_.random_name(kNameLength);
    if (!is_valid_js_name(config->name)) {
        refuse({400, 10103, "durable name can not contain '.', '*', '>'"});
        return;
    }
    if (JsResult<void> done = complete(*config, in->config()); !done) {
        refuse(done.error());
        return;
    }
    const std::string action = json_string_or(*body_, "action");
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
    type_ = "consumer_info_response";
    if (Consumer* found = consumer()) respond(found->info());
}

void JsApi::consumer_delete() {
    type_ = "consumer_delete_response";
    if (Consumer* found = consumer()) {
        stream()->remove_consumer(*found, respond_later({{"success", true}}));
    }
}

void JsApi::consumer_names() {
    type_ = "consumer_names_response";
    if (!parse_body()) return;
    DurableStream* found = stream();
    if (found == nullptr) return;
    respond(page_of(*found, offset(), kNamesMax, [](Consumer& item) { return Json(item.name()); }));
}

void JsApi::consumer_list() {
    type_ = "consumer_list_response";
    if (!parse_body()) return;
    DurableStream* found = stream();
    if (found == nullptr) return;
    respond(page_of(*found, offset(), kListMax, [](Consumer& item) { return item.info(); }));
}

// Nothing at all where there is no such consumer, as on nats-server.
void JsApi::consumer_next() {
    DurableStream* in = account_.find(token(0));
    Consumer* found = in == nullptr ? nullptr : in->find_consumer(token(1));
    if (found != nullptr) found->request(request_.reply, request_.payload);
}

}  // namespace candela::bus_role
