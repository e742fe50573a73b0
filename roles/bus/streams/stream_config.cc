#include "stream_config.h"

#include "js_members_impl.h"

namespace candela::bus_role {

namespace {

const std::initializer_list<std::pair<const char*, Retention>> kRetentions = {
    {"limits", Retention::kLimits},
    {"interest", Retention::kInterest},
    {"workqueue", Retention::kWorkQueue}};
const std::initializer_list<std::pair<const char*, Discard>> kDiscards = {{"old", Discard::kOld},
                                                                          {"new", Discard::kNew}};

bool parse_transform(const Json& json, TransformConfig& out) {
    Members members(json);
    members.text("src", out.source);
    members.text("dest", out.destination);
    return members.ok();
}

Json transform_json(const TransformConfig& transform) {
    return {{"src", transform.source}, {"dest", transform.destination}};
}

JsResult<SourceConfig> parse_source(const Json& json) {
    SourceConfig out;
    Members members(json);
    members.text("name", out.name);
    members.number("opt_start_seq", out.start_sequence);
    members.text("opt_start_time", out.start_time_text);
    members.text("filter_subject", out.filter);
    if (const Json* transforms = members.find("subject_transforms")) {
        if (!transforms->is_array()) return js_fail(js_errors::invalid_json());
        for (const Json& item : *transforms) {
            if (!parse_transform(item, out.transforms.emplace_back())) {
                return js_fail(js_errors::invalid_json());
            }
        }
    }
    if (!members.ok()) return js_fail(js_errors::invalid_json());
    if (!out.start_time_text.empty()) {
        const Result<WallTime> time = parse_rfc3339(out.start_time_text);
        if (!time) return js_fail(js_errors::invalid_json());
        out.start_time = time->time_since_epoch().count();
    }
    for (const char* key : {"external", "consumer"}) {
        if (members.find(key) == nullptr) continue;
        return js_fail(js_errors::stream_config(fmt::format(
            "a source's \"{}\" is not supported: both streams are in one account", key)));
    }
    return out;
}

Json source_json(const SourceConfig& source) {
    Json out = {{"name", source.name}};
    if (source.start_sequence != 0) out["opt_start_seq"] = source.start_sequence;
    if (!source.start_time_text.empty()) out["opt_start_time"] = source.start_time_text;
    if (!source.filter.empty()) out["filter_subject"] = source.filter;
    for (const TransformConfig& transform : source.transforms) {
        out["subject_transforms"].push_back(transform_json(transform));
    }
    return out;
}

JsResult<void> parse_sources(Members& members, StreamConfig& config) {
    if (const Json* mirror = members.find("mirror")) {
        JsResult<SourceConfig> parsed = parse_source(*mirror);
        if (!parsed) return js_fail(parsed.error());
        config.mirror = std::move(*parsed);
    }
    if (const Json* sources = members.find("sources")) {
        if (!sources->is_array()) return js_fail(js_errors::invalid_json());
        for (const Json& item : *sources) {
            JsResult<SourceConfig> parsed = parse_source(item);
            if (!parsed) return js_fail(parsed.error());
            config.sources.push_back(std::move(*parsed));
        }
    }
    return {};
}

bool parse_nested(Members& members, StreamConfig& config) {
    bool ok = true;
    if (const Json* transform = members.find("subject_transform")) {
        TransformConfig parsed;
        ok = parse_transform(*transform, parsed);
        if (!parsed.source.empty() || !parsed.destination.empty()) config.transform = parsed;
    }
    if (const Json* republish = members.find("republish")) {
        RepublishConfig parsed;
        Members inner(*republish);
        inner.text("src", parsed.source);
        inner.text("dest", parsed.destination);
        inner.flag("headers_only", parsed.headers_only);
        ok = ok && inner.ok();
        if (!parsed.source.empty() || !parsed.destination.empty()) config.republish = parsed;
    }
    if (const Json* limits = members.find("consumer_limits")) {
        Members inner(*limits);
        inner.number("inactive_threshold", config.consumer_inactive_threshold);
        inner.number("max_ack_pending", config.consumer_ack_pending_max);
        ok = ok && inner.ok();
    }
    return ok;
}

}  // namespace

std::string SourceConfig::index_name() const {
    if (transforms.empty()) return fmt::format("{} {} >", name, filter.empty() ? ">" : filter);
    std::string from, to;
    for (const TransformConfig& transform : transforms) {
        const std::string_view separator = from.empty() ? "" : "\f";
        from += fmt::format("{}{}", separator, transform.source.empty() ? ">" : transform.source);
        to += fmt::format("{}{}", separator,
                          transform.destination.empty() ? ">" : transform.destination);
    }
    return fmt::format("{} {} {}", name, from, to);
}

JsResult<StreamConfig> parse_stream_config(const Json& json, std::string_view name) {
    StreamConfig config;
    Members members(json);
    members.text("name", config.name);
    members.text("description", config.description);
    members.texts("subjects", config.subjects);
    members.choice("retention", config.retention, kRetentions);
    members.choice("discard", config.discard, kDiscards);
    members.choice("storage", config.is_file, {{"file", true}, {"memory", false}});
    members.number("max_consumers", config.consumers_max);
    members.number("max_msgs", config.messages_max);
    members.number("max_bytes", config.bytes_max);
    members.number("max_age", config.age_max);
    members.number("max_msgs_per_subject", config.messages_per_subject_max);
    members.number("max_msg_size", config.message_size_max);
    members.number("duplicate_window", config.duplicate_window);
    members.number("first_seq", config.first_sequence);
    members.flag("no_ack", config.no_ack);
    members.flag("sealed", config.sealed);
    members.flag("deny_delete", config.deny_delete);
    members.flag("deny_purge", config.deny_purge);
    members.flag("allow_rollup_hdrs", config.allow_rollup);
    members.flag("allow_direct", config.allow_direct);
    members.flag("mirror_direct", config.mirror_direct);
    members.flag("discard_new_per_subject", config.discard_new_per_subject);
    members.flag("allow_msg_ttl", config.allow_ttl);
    members.flag("allow_msg_schedules", config.allow_schedules);
    members.number("subject_delete_marker_ttl", config.marker_ttl);
    members.map("metadata", config.metadata);
    std::string template_owner;
    members.text("template_owner", template_owner);
    int64_t replicas = 1;
    members.number("num_replicas", replicas);
    members.choice("compression", config.is_compressed, {{"none", false}, {"s2", true}});
    const bool is_nested_ok = parse_nested(members, config);
    if (!members.ok() || !is_nested_ok) return js_fail(js_errors::invalid_json());
    if (JsResult<void> parsed = parse_sources(members, config); !parsed) {
        return js_fail(parsed.error());
    }
    if (config.name != name) return js_fail(js_errors::stream_mismatch());
    if (!template_owner.empty()) return js_fail({500, 10049, "stream not owned by template"});
    if (!is_valid_js_name(config.name)) {
        return js_fail(js_errors::stream_name_invalid());
    }
    if (replicas < 0) return js_fail({400, 10133, "replicas count cannot be negative"});
    if (replicas > 1) return js_fail(js_errors::replicas());
    for (const char* key : {"allow_msg_counter", "allow_atomic", "allow_batched"}) {
        const Json* value = members.find(key);
        if (value == nullptr || *value == false) continue;
        return js_fail(js_errors::stream_config(fmt::format("{} is not supported", key)));
    }
    if (JsResult<void> done = complete(config); !done) return js_fail(done.error());
    return config;
}

Json to_json(const StreamConfig& config) {
    Json out = {{"name", config.name},
                {"retention", name_of(config.retention, kRetentions)},
                {"max_consumers", config.consumers_max},
                {"max_msgs", config.messages_max},
                {"max_bytes", config.bytes_max},
                {"max_age", config.age_max},
                {"max_msgs_per_subject", config.messages_per_subject_max},
                {"max_msg_size", config.message_size_max},
                {"discard", name_of(config.discard, kDiscards)},
                {"storage", config.is_file ? "file" : "memory"},
                {"num_replicas", 1},
                {"duplicate_window", config.duplicate_window},
                {"compression", config.is_compressed ? "s2" : "none"},
                {"sealed", config.sealed},
                {"deny_delete", config.deny_delete},
                {"deny_purge", config.deny_purge},
                {"allow_rollup_hdrs", config.allow_rollup},
                {"allow_direct", config.allow_direct},
                {"mirror_direct", config.mirror_direct}};
    if (!config.subjects.empty()) out["subjects"] = config.subjects;
    if (!config.description.empty()) out["description"] = config.description;
    if (config.no_ack) out["no_ack"] = true;
    if (config.discard_new_per_subject) out["discard_new_per_subject"] = true;
    if (config.first_sequence != 0) out["first_seq"] = config.first_sequence;
    if (config.allow_ttl) out["allow_msg_ttl"] = true;
    if (config.allow_schedules) out["allow_msg_schedules"] = true;
    if (config.marker_ttl != 0) out["subject_delete_marker_ttl"] = config.marker_ttl;
    Json limits = Json::object();
    if (config.consumer_inactive_threshold != 0)
        limits["inactive_threshold"] = config.consumer_inactive_threshold;
    if (config.consumer_ack_pending_max != 0)
        limits["max_ack_pending"] = config.consumer_ack_pending_max;
    out["consumer_limits"] = std::move(limits);
    if (config.transform) out["subject_transform"] = transform_json(*config.transform);
    if (config.republish) {
        out["republish"] = {{"src", config.republish->source},
                            {"dest", config.republish->destination}};
        if (config.republish->headers_only) out["republish"]["headers_only"] = true;
    }
    if (config.mirror) out["mirror"] = source_json(*config.mirror);
    for (const SourceConfig& source : config.sources) out["sources"].push_back(source_json(source));
    if (!config.metadata.empty()) out["metadata"] = config.metadata;
    return out;
}

}  // namespace candela::bus_role
