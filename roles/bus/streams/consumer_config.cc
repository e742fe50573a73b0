#include "consumer_config.h"

#include "js_members_impl.h"

namespace candela::bus_role {

namespace {

const std::initializer_list<std::pair<const char*, DeliverPolicy>> kDeliverPolicies = {
    {"all", DeliverPolicy::kAll},
    {"last", DeliverPolicy::kLast},
    {"new", DeliverPolicy::kNew},
    {"by_start_sequence", DeliverPolicy::kBySequence},
    {"by_start_time", DeliverPolicy::kByTime},
    {"last_per_subject", DeliverPolicy::kLastPerSubject}};
const std::initializer_list<std::pair<const char*, AckPolicy>> kAckPolicies = {
    {"none", AckPolicy::kNone}, {"all", AckPolicy::kAll}, {"explicit", AckPolicy::kExplicit}};
const std::initializer_list<std::pair<const char*, PriorityPolicy>> kPriorityPolicies = {
    {"none", PriorityPolicy::kNone},
    {"overflow", PriorityPolicy::kOverflow},
    {"pinned_client", PriorityPolicy::kPinned},
    {"prioritized", PriorityPolicy::kPrioritized}};

JsResult<int64_t> parse_time(const std::string& text) {
    if (text.empty()) return 0;
    const Result<WallTime> time = parse_rfc3339(text);
    if (!time) return js_fail(js_errors::invalid_json());
    return time->time_since_epoch().count();
}

}  // namespace

JsResult<ConsumerConfig> parse_consumer_config(const Json& json) {
    ConsumerConfig config;
    Members members(json);
    members.text("durable_name", config.durable);
    members.text("name", config.name);
    members.text("description", config.description);
    members.choice("deliver_policy", config.deliver, kDeliverPolicies);
    members.number("opt_start_seq", config.start_sequence);
    members.text("opt_start_time", config.start_time_text);
    members.choice("ack_policy", config.ack, kAckPolicies);
    members.number("ack_wait", config.ack_wait);
    members.number("max_deliver", config.deliver_max);
    members.numbers("backoff", config.backoff);
    std::string filter;
    members.text("filter_subject", filter);
    members.texts("filter_subjects", config.filters);
    members.choice("replay_policy", config.replay_original,
                   {{"instant", false}, {"original", true}});
    members.number("rate_limit_bps", config.rate_limit_bits);
    members.text("sample_freq", config.sample_frequency);
    members.number("max_waiting", config.waiting_max);
    members.number("max_ack_pending", config.ack_pending_max);
    members.flag("flow_control", config.flow_control);
    members.number("idle_heartbeat", config.heartbeat);
    members.flag("headers_only", config.headers_only);
    members.number("max_batch", config.batch_max);
    members.number("max_expires", config.expires_max);
    members.number("max_bytes", config.request_bytes_max);
    members.text("deliver_subject", config.deliver_subject);
    members.text("deliver_group", config.deliver_group);
    members.number("inactive_threshold", config.inactive_threshold);
    members.number("num_replicas", config.replicas);
    members.flag("mem_storage", config.in_memory);
    members.text("pause_until", config.pause_until_text);
    members.texts("priority_groups", config.priority_groups);
    members.choice("priority_policy", config.priority, kPriorityPolicies);
    members.number("priority_timeout", config.priority_timeout);
    members.map("metadata", config.metadata);
    if (!members.ok()) return js_fail(js_errors::invalid_json());
    config.has_filter_list = !config.filters.empty();
    config.has_both_filters = config.has_filter_list && !filter.empty();
    if (!filter.empty()) config.filters.push_back(filter);
    const JsResult<int64_t> start = parse_time(config.start_time_text);
    const JsResult<int64_t> pause = parse_time(config.pause_until_text);
    if (!start || !pause) return js_fail(js_errors::invalid_json());
    config.start_time = *start;
    // Go's zero time, which clients send for "not at all", lies before 1970.
    config.pause_until = *pause < 0 ? 0 : *pause;
    if (config.pause_until == 0) config.pause_until_text.clear();
    return config;
}

Json to_json(const ConsumerConfig& config) {
    Json out = {{"deliver_policy", name_of(config.deliver, kDeliverPolicies)},
                {"ack_policy", name_of(config.ack, kAckPolicies)},
                {"max_deliver", config.deliver_max},
                {"replay_policy", config.replay_original ? "original" : "instant"},
                {"num_replicas", config.replicas}};
    const auto text = [&](const char* key, const std::string& value) {
        if (!value.empty()) out[key] = value;
    };
    const auto number = [&](const char* key, auto value) {
        if (value != 0) out[key] = value;
    };
    text("name", config.name);
    text("durable_name", config.durable);
    text("description", config.description);
    number("opt_start_seq", config.start_sequence);
    text("opt_start_time", config.start_time_text);
    number("ack_wait", config.ack_wait);
    if (!config.backoff.empty()) out["backoff"] = config.backoff;
    if (config.has_filter_list) {
        out["filter_subjects"] = config.filters;
    } else if (!config.filters.empty()) {
        out["filter_subject"] = config.filters.front();
    }
    number("rate_limit_bps", config.rate_limit_bits);
    text("sample_freq", config.sample_frequency);
    number("max_waiting", config.waiting_max);
    number("max_ack_pending", config.ack_pending_max);
    if (config.flow_control) out["flow_control"] = true;
    number("idle_heartbeat", config.heartbeat);
    if (config.headers_only) out["headers_only"] = true;
    number("max_batch", config.batch_max);
    number("max_expires", config.expires_max);
    number("max_bytes", config.request_bytes_max);
    text("deliver_subject", config.deliver_subject);
    text("deliver_group", config.deliver_group);
    number("inactive_threshold", config.inactive_threshold);
    if (config.in_memory) out["mem_storage"] = true;
    text("pause_until", config.pause_until_text);
    if (!config.priority_groups.empty()) out["priority_groups"] = config.priority_groups;
    if (config.priority != PriorityPolicy::kNone)
        out["priority_policy"] = name_of(config.priority, kPriorityPolicies);
    number("priority_timeout", config.priority_timeout);
    if (!config.metadata.empty()) out["metadata"] = config.metadata;
    return out;
}

}  // namespace candela::bus_role
