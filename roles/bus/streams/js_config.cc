#include "js_config.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "auth/permissions.h"
#include "bus/subject.h"

namespace candela::bus_role {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDuplicateWindow = 120 * kSecond;
constexpr int64_t kAckWait = 30 * kSecond;
constexpr int64_t kInactiveThreshold = 5 * kSecond;

// Reads members of an object; a wrong type makes the whole request invalid.
class Members {
public:
    explicit Members(const Json& object) : object_(object), ok_(object.is_object()) {}
    const Json* find(std::string_view key) {
        if (!object_.is_object()) return nullptr;
        const auto found = object_.find(key);
        return found == object_.end() || found->is_null() ? nullptr : &*found;
    }
    void text(std::string_view key, std::string& out) {
        const Json* value = find(key);
        if (value == nullptr) return;
        if (value->is_string()) {
            out = value->get<std::string>();
        } else {
            ok_ = false;
        }
    }
    template <class N>
    void number(std::string_view key, N& out) {
        const Json* value = find(key);
        if (value == nullptr) return;
        if (value->is_number_integer()) {
            out = value->get<N>();
        } else if (value->is_number_float() && value->get<double>() >= -9e15 &&
                   value->get<double>() <= 9e15) {
            out = static_cast<N>(value->get<double>());
        } else {
            ok_ = false;
        }
    }
    void flag(std::string_view key, bool& out) {
        const Json* value = find(key);
        if (value == nullptr) return;
        if (value->is_boolean()) {
            out = value->get<bool>();
        } else {
            ok_ = false;
        }
    }
    void texts(std::string_view key, std::vector<std::string>& out) {
        const Json* value = find(key);
        if (value == nullptr) return;
        ok_ = ok_ && value->is_array();
        if (!value->is_array()) return;
        for (const Json& item : *value) {
            ok_ = ok_ && item.is_string();
            if (item.is_string()) out.push_back(item.get<std::string>());
        }
    }
    void numbers(std::string_view key, std::vector<int64_t>& out) {
        const Json* value = find(key);
        if (value == nullptr) return;
        ok_ = ok_ && value->is_array();
        if (!value->is_array()) return;
        for (const Json& item : *value) {
            ok_ = ok_ && item.is_number();
            if (item.is_number()) out.push_back(item.get<int64_t>());
        }
    }
    void map(std::string_view key, std::map<std::string, std::string>& out) {
        const Json* value = find(key);
        if (value == nullptr) return;
        ok_ = ok_ && value->is_object();
        if (!value->is_object()) return;
        for (const auto& [name, item] : value->items()) {
            ok_ = ok_ && item.is_string();
            if (item.is_string()) out[name] = item.get<std::string>();
        }
    }
    template <class E>
    void choice(std::string_view key, E& out,
                std::initializer_list<std::pair<const char*, E>> all) {
        std::string given;
        text(key, given);
        if (given.empty()) return;
        for (const auto& [name, value] : all) {
            if (given != name) continue;
            out = value;
            return;
        }
        ok_ = false;
    }
    bool ok() const { return ok_; }

private:
    const Json& object_;
    bool ok_;
};

const std::initializer_list<std::pair<const char*, Retention>> kRetentions = {
    {"limits", Retention::kLimits},
    {"interest", Retention::kInterest},
    {"workqueue", Retention::kWorkQueue}};
const std::initializer_list<std::pair<const char*, Discard>> kDiscards = {{"old", Discard::kOld},
                                                                          {"new", Discard::kNew}};
const std::initializer_list<std::pair<const char*, DeliverPolicy>> kDeliverPolicies = {
    {"all", DeliverPolicy::kAll},
    {"last", DeliverPolicy::kLast},
    {"new", DeliverPolicy::kNew},
    {"by_start_sequence", DeliverPolicy::kBySequence},
    {"by_start_time", DeliverPolicy::kByTime},
    {"last_per_subject", DeliverPolicy::kLastPerSubject}};
const std::initializer_list<std::pair<const char*, AckPolicy>> kAckPolicies = {
    {"none", AckPolicy::kNone}, {"all", AckPolicy::kAll}, {"explicit", AckPolicy::kExplicit}};

template <class E>
const char* name_of(E value, std::initializer_list<std::pair<const char*, E>> all) {
    for (const auto& [name, known] : all) {
        if (known == value) return name;
    }
    return "";
}

JsResult<void> check_subjects(const StreamConfig& config) {
    for (size_t i = 0; i < config.subjects.size(); ++i) {
        const std::string& subject = config.subjects[i];
        if (!bus::is_valid_pattern(subject)) {
            return js_fail(js_errors::stream_config("invalid subject"));
        }
        if (auth::patterns_overlap(subject, "$JS.>") && !config.no_ack) {
            return js_fail(js_errors::stream_config(
                "subjects that overlap with jetstream api require no-ack to be true"));
        }
        for (size_t j = 0; j < i; ++j) {
            if (subject == config.subjects[j]) {
                return js_fail(js_errors::stream_config("duplicate subjects detected"));
            }
            if (auth::patterns_overlap(subject, config.subjects[j])) {
                return js_fail(js_errors::stream_config(fmt::format(
                    "subject \"{}\" overlaps with \"{}\"", subject, config.subjects[j])));
            }
        }
    }
    return {};
}

JsResult<void> complete(StreamConfig& config) {
    for (int64_t* limit : {&config.consumers_max, &config.messages_max, &config.bytes_max,
                           &config.messages_per_subject_max, &config.message_size_max}) {
        if (*limit == 0) *limit = -1;
        if (*limit < -1) *limit = -1;
    }
    if (config.age_max < 0) return js_fail(js_errors::stream_config("max age can not be negative"));
    if (config.age_max != 0 && config.age_max < 100'000'000) {
        return js_fail(js_errors::stream_config("max age needs to be >= 100ms"));
    }
    if (config.duplicate_window == 0) {
        config.duplicate_window = kDuplicateWindow;
        if (config.age_max != 0)
            config.duplicate_window = std::min(config.age_max, kDuplicateWindow);
    }
    if (config.duplicate_window < 0) {
        return js_fail(js_errors::stream_config("duplicates window can not be negative"));
    }
    if (config.age_max != 0 && config.duplicate_window > config.age_max) {
        return js_fail(
            js_errors::stream_config("duplicates window can not be larger then max age"));
    }
    if (config.deny_purge && config.allow_rollup) {
        return js_fail(js_errors::stream_config("roll-ups require the purge permission"));
    }
    if (config.discard_new_per_subject &&
        (config.discard != Discard::kNew || config.messages_per_subject_max <= 0)) {
        return js_fail(js_errors::stream_config(
            config.discard != Discard::kNew
                ? "discard new per subject requires discard new policy to be set"
                : "discard new per subject requires max msgs per subject > 0"));
    }
    if (config.description.size() > 4096) {
        return js_fail(
            js_errors::stream_config("stream description is too long, maximum allowed is 4096"));
    }
    if (config.subjects.empty()) config.subjects.push_back(config.name);
    return check_subjects(config);
}

void add_metadata(Json& json, const std::map<std::string, std::string>& metadata) {
    if (!metadata.empty()) json["metadata"] = metadata;
}

}  // namespace

Json to_json(const JsError& error) {
    return {{"code", error.code}, {"err_code", error.number}, {"description", error.text}};
}

std::string format_nanos(int64_t nanos) {
    if (nanos == 0) return "0001-01-01T00:00:00Z";
    std::string out = format_rfc3339(WallTime(Duration(nanos)));
    out.resize(out.size() - 4);  // milliseconds and Z
    return out + fmt::format("{:09}Z", nanos % 1'000'000'000);
}

bool is_valid_js_name(std::string_view name) {
    return !name.empty() && name.size() <= 255 &&
           name.find_first_of(" \t\r\n.*>/\\") == std::string_view::npos;
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
    members.map("metadata", config.metadata);
    int64_t replicas = 1;
    members.number("num_replicas", replicas);
    std::string compression;
    members.text("compression", compression);
    if (!members.ok()) return js_fail(js_errors::invalid_json());
    if (config.name.empty()) config.name = std::string(name);
    if (config.name != name) return js_fail(js_errors::stream_mismatch());
    if (!is_valid_js_name(config.name)) {
        return js_fail(
            js_errors::stream_config("stream name is required and can not contain '.', '*', '>'"));
    }
    if (replicas > 1) return js_fail(js_errors::replicas());
    for (const char* key : {"mirror", "sources", "republish", "subject_transform"}) {
        if (members.find(key) == nullptr) continue;
        return js_fail(js_errors::stream_config(fmt::format("{} is not supported", key)));
    }
    if (!compression.empty() && compression != "none") {
        return js_fail(js_errors::stream_config("compression is not supported"));
    }
    if (JsResult<void> done = complete(config); !done) return js_fail(done.error());
    return config;
}

Json to_json(const StreamConfig& config) {
    Json out = {{"name", config.name},
                {"subjects", config.subjects},
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
                {"sealed", config.sealed},
                {"deny_delete", config.deny_delete},
                {"deny_purge", config.deny_purge},
                {"allow_rollup_hdrs", config.allow_rollup},
                {"allow_direct", config.allow_direct},
                {"mirror_direct", config.mirror_direct}};
    if (!config.description.empty()) out["description"] = config.description;
    if (config.no_ack) out["no_ack"] = true;
    if (config.discard_new_per_subject) out["discard_new_per_subject"] = true;
    if (config.first_sequence != 0) out["first_seq"] = config.first_sequence;
    add_metadata(out, config.metadata);
    return out;
}

JsResult<void> check_update(const StreamConfig& from, const StreamConfig& to) {
    const auto refuse = [](const char* what) {
        return js_fail(
            js_errors::stream_config(fmt::format("stream configuration update can not {}", what)));
    };
    if (from.is_file != to.is_file) return refuse("change storage type");
    if (from.retention != to.retention) return refuse("change retention policy to/from workqueue");
    if (from.consumers_max != to.consumers_max) return refuse("change MaxConsumers");
    if (from.sealed && !to.sealed) return refuse("unseal a sealed stream");
    if (from.deny_delete && !to.deny_delete) return refuse("cancel deny message deletes");
    if (from.deny_purge && !to.deny_purge) return refuse("cancel deny purge");
    return {};
}

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
    members.flag("mem_storage", config.in_memory);
    members.map("metadata", config.metadata);
    if (!members.ok()) return js_fail(js_errors::invalid_json());
    config.has_filter_list = !config.filters.empty();
    if (config.has_filter_list && !filter.empty()) {
        return js_fail(
            {400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified"});
    }
    if (!filter.empty()) config.filters.push_back(filter);
    if (!config.start_time_text.empty()) {
        const Result<WallTime> time = parse_rfc3339(config.start_time_text);
        if (!time) return js_fail(js_errors::invalid_json());
        config.start_time = time->time_since_epoch().count();
    }
    if (!config.durable.empty() && !config.name.empty() && config.durable != config.name) {
        return js_fail(
            {400, 10132, "Consumer Durable and Name have to be equal if both are provided"});
    }
    if (!config.durable.empty()) config.name = config.durable;
    return config;
}

namespace {

JsResult<void> check_start(const ConsumerConfig& config) {
    const auto refuse = [](const char* what) { return js_fail(js_errors::consumer_create(what)); };
    const bool by_sequence = config.deliver == DeliverPolicy::kBySequence;
    const bool by_time = config.deliver == DeliverPolicy::kByTime;
    if (by_sequence && config.start_sequence == 0) {
        return refuse(
            "consumer delivery policy is deliver by start sequence, but optional start sequence is not set");
    }
    if (!by_sequence && config.start_sequence != 0) {
        return refuse("consumer delivery policy does not allow optional start sequence to be set");
    }
    if (by_time && config.start_time_text.empty()) {
        return refuse(
            "consumer delivery policy is deliver by start time, but optional start time is not set");
    }
    if (!by_time && !config.start_time_text.empty()) {
        return refuse("consumer delivery policy does not allow optional start time to be set");
    }
    return {};
}

JsResult<void> check_kind(const ConsumerConfig& config) {
    if (config.is_push()) {
        if (bus::has_wildcard(config.deliver_subject)) {
            return js_fail({400, 10079, "consumer deliver subject has wildcards"});
        }
        if (!bus::is_valid_subject(config.deliver_subject)) {
            return js_fail({400, 10112, "invalid push consumer deliver subject"});
        }
        if (config.waiting_max != 0) {
            return js_fail({400, 10080, "consumer in push mode can not set max waiting"});
        }
        if (config.flow_control && config.heartbeat == 0) {
            return js_fail({400, 10108, "consumer with flow control also needs heartbeats"});
        }
        if (config.heartbeat != 0 && config.heartbeat < 100'000'000) {
            return js_fail({400, 10083, "consumer idle heartbeat needs to be >= 100ms"});
        }
        return {};
    }
    if (config.rate_limit_bits != 0) {
        return js_fail({400, 10086, "consumer in pull mode can not have rate limit set"});
    }
    if (config.heartbeat != 0) {
        return js_fail({400, 10088, "consumer idle heartbeat requires a push based consumer"});
    }
    if (config.flow_control) {
        return js_fail({400, 10089, "consumer flow control requires a push based consumer"});
    }
    return {};
}

JsResult<void> check_filters(const ConsumerConfig& config, const StreamConfig& stream) {
    for (size_t i = 0; i < config.filters.size(); ++i) {
        const std::string& filter = config.filters[i];
        const bool fits =
            bus::is_valid_pattern(filter) &&
            std::any_of(stream.subjects.begin(), stream.subjects.end(),
                        [&](const auto& s) { return auth::patterns_overlap(s, filter); });
        if (!fits) {
            return js_fail(
                {400, 10093,
                 "consumer filter subject is not a valid subset of the interest subjects"});
        }
        for (size_t j = 0; j < i; ++j) {
            if (!auth::patterns_overlap(filter, config.filters[j])) continue;
            return js_fail({400, 10138, "consumer subject filters cannot overlap"});
        }
    }
    return {};
}

}  // namespace

JsResult<void> complete(ConsumerConfig& config, const StreamConfig& stream) {
    for (int64_t* value : {&config.ack_wait, &config.heartbeat, &config.inactive_threshold,
                           &config.expires_max, &config.batch_max, &config.waiting_max}) {
        if (*value < 0) *value = 0;
    }
    if (JsResult<void> checked = check_kind(config); !checked) return checked;
    if (JsResult<void> checked = check_start(config); !checked) return checked;
    if (JsResult<void> checked = check_filters(config, stream); !checked) return checked;
    if (config.deliver_max == 0 || config.deliver_max < -1) config.deliver_max = -1;
    if (!config.backoff.empty()) {
        if (config.deliver_max > 0 &&
            static_cast<size_t>(config.deliver_max) <= config.backoff.size()) {
            return js_fail(
                {400, 10116, "max deliver is required to be > length of backoff values"});
        }
        config.ack_wait = config.backoff.front();
    }
    if (config.ack == AckPolicy::kNone && config.ack_pending_max > 0) {
        return js_fail({400, 10082, "consumer requires ack policy for max ack pending"});
    }
    if (config.ack != AckPolicy::kNone) {
        if (config.ack_wait == 0) config.ack_wait = kAckWait;
        if (config.ack_pending_max == 0) config.ack_pending_max = 1000;
    }
    if (!config.is_push() && config.waiting_max == 0) config.waiting_max = 512;
    if (config.durable.empty() && config.inactive_threshold == 0) {
        config.inactive_threshold = kInactiveThreshold;
    }
    if (config.replay_original) {
        return js_fail(js_errors::consumer_create("replay policy original is not supported"));
    }
    if (config.rate_limit_bits != 0) {
        return js_fail(js_errors::consumer_create("rate limits are not supported"));
    }
    if (stream.retention != Retention::kWorkQueue) return {};
    if (config.ack != AckPolicy::kExplicit) {
        return js_fail({400, 10098, "workqueue stream requires explicit ack"});
    }
    if (config.deliver != DeliverPolicy::kAll) {
        return js_fail({400, 10101, "consumer must be deliver all on workqueue stream"});
    }
    return {};
}

Json to_json(const ConsumerConfig& config) {
    Json out = {{"deliver_policy", name_of(config.deliver, kDeliverPolicies)},
                {"ack_policy", name_of(config.ack, kAckPolicies)},
                {"max_deliver", config.deliver_max},
                {"replay_policy", config.replay_original ? "original" : "instant"},
                {"num_replicas", 0}};
    if (!config.name.empty()) out["name"] = config.name;
    if (!config.durable.empty()) out["durable_name"] = config.durable;
    if (!config.description.empty()) out["description"] = config.description;
    if (config.start_sequence != 0) out["opt_start_seq"] = config.start_sequence;
    if (!config.start_time_text.empty()) out["opt_start_time"] = config.start_time_text;
    if (config.ack_wait != 0) out["ack_wait"] = config.ack_wait;
    if (!config.backoff.empty()) out["backoff"] = config.backoff;
    if (config.has_filter_list) {
        out["filter_subjects"] = config.filters;
    } else if (!config.filters.empty()) {
        out["filter_subject"] = config.filters.front();
    }
    if (!config.sample_frequency.empty()) out["sample_freq"] = config.sample_frequency;
    if (config.waiting_max != 0) out["max_waiting"] = config.waiting_max;
    if (config.ack_pending_max != 0) out["max_ack_pending"] = config.ack_pending_max;
    if (config.flow_control) out["flow_control"] = true;
    if (config.heartbeat != 0) out["idle_heartbeat"] = config.heartbeat;
    if (config.headers_only) out["headers_only"] = true;
    if (config.batch_max != 0) out["max_batch"] = config.batch_max;
    if (config.expires_max != 0) out["max_expires"] = config.expires_max;
    if (config.request_bytes_max != 0) out["max_bytes"] = config.request_bytes_max;
    if (config.is_push()) out["deliver_subject"] = config.deliver_subject;
    if (!config.deliver_group.empty()) out["deliver_group"] = config.deliver_group;
    if (config.inactive_threshold != 0) out["inactive_threshold"] = config.inactive_threshold;
    if (config.in_memory) out["mem_storage"] = true;
    add_metadata(out, config.metadata);
    return out;
}

}  // namespace candela::bus_role
