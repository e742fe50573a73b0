// What a consumer's configuration must satisfy, with nats-server's errors.

#include <algorithm>

#include "auth/permissions.h"
#include "base/json.h"
#include "base/text.h"
#include "bus/subject.h"
#include "consumer_config.h"

namespace candela::bus_role {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kAckWait = 30 * kSecond;
constexpr int64_t kInactiveThreshold = 5 * kSecond;
constexpr int64_t kAckPendingMax = 1000;
constexpr int64_t kWaitingMax = 512;
constexpr int64_t kPinnedTimeout = 120 * kSecond;
constexpr size_t kGroupNameMax = 16;

JsResult<void> check_start(const ConsumerConfig& config) {
    const auto refuse = [](const std::string& what) {
        return js_fail({400, 10094, "consumer delivery policy is " + what});
    };
    struct Name {
        DeliverPolicy policy;
        const char* text;
    };
    static constexpr Name kNames[] = {{DeliverPolicy::kAll, "all"},
                                      {DeliverPolicy::kLast, "last"},
                                      {DeliverPolicy::kNew, "new"},
                                      {DeliverPolicy::kBySequence, "by start sequence"},
                                      {DeliverPolicy::kByTime, "by start time"},
                                      {DeliverPolicy::kLastPerSubject, "last per subject"}};
    std::string name = "deliver ";
    for (const Name& known : kNames) {
        if (known.policy == config.deliver) name += known.text;
    }
    const bool by_sequence = config.deliver == DeliverPolicy::kBySequence;
    const bool by_time = config.deliver == DeliverPolicy::kByTime;
    const bool has_time = !config.start_time_text.empty();
    if (by_sequence && config.start_sequence == 0) {
        return refuse(name + ", but optional start sequence is not set");
    }
    if (by_time && !has_time) return refuse(name + ", but optional start time is not set");
    if (!by_sequence && config.start_sequence != 0) {
        return refuse(name + ", but optional start sequence is also set");
    }
    if (!by_time && has_time) return refuse(name + ", but optional start time is also set");
    if (config.deliver == DeliverPolicy::kLastPerSubject && config.filters.empty()) {
        return refuse(name + ", but optional filter subject is not set");
    }
    return {};
}

JsResult<void> check_push(const ConsumerConfig& config, const StreamConfig& stream) {
    if (bus::has_wildcard(config.deliver_subject)) {
        return js_fail({400, 10079, "consumer deliver subject has wildcards"});
    }
    if (!bus::is_valid_subject(config.deliver_subject)) {
        return js_fail({400, 10112, "invalid push consumer deliver subject"});
    }
    for (const std::string& subject : stream.subjects) {
        if (!auth::subject_matches(subject, config.deliver_subject)) continue;
        return js_fail({400, 10081, "consumer deliver subject forms a cycle"});
    }
    if (config.waiting_max != 0) {
        return js_fail({400, 10080, "consumer in push mode can not set max waiting"});
    }
    if (config.heartbeat != 0 && config.heartbeat < 100 * kMillisecond) {
        return js_fail({400, 10083, "consumer idle heartbeat needs to be >= 100ms"});
    }
    if (config.flow_control && config.heartbeat == 0) {
        return js_fail({400, 10108, "consumer with flow control also needs heartbeats"});
    }
    if (config.priority != PriorityPolicy::kNone) {
        return js_fail({400, 10178, "priority groups can not be used with push consumers"});
    }
    return {};
}

JsResult<void> check_pull(const ConsumerConfig& config, const StreamConfig& stream) {
    if (config.ack == AckPolicy::kNone && stream.retention == Retention::kWorkQueue) {
        return js_fail({400, 10084, "consumer in pull mode requires ack policy"});
    }
    if (config.rate_limit_bits != 0) {
        return js_fail({400, 10086, "consumer in pull mode can not have rate limit set"});
    }
    if (config.waiting_max < 0) {
        return js_fail({400, 10087, "consumer max waiting needs to be positive"});
    }
    if (config.heartbeat != 0) {
        return js_fail({400, 10088, "consumer idle heartbeat requires a push based consumer"});
    }
    if (config.flow_control) {
        return js_fail({400, 10089, "consumer flow control requires a push based consumer"});
    }
    if (config.batch_max < 0) {
        return js_fail({400, 10114, "consumer max request batch needs to be > 0"});
    }
    if (config.expires_max != 0 && config.expires_max < kMillisecond) {
        return js_fail({400, 10115, "consumer max request expires needs to be >= 1ms"});
    }
    return {};
}

JsResult<void> check_priority(ConsumerConfig& config) {
    if (config.priority == PriorityPolicy::kNone) {
        if (!config.priority_groups.empty()) {
            return js_fail(
                {400, 10196, "consumer can not have priority groups when policy is none"});
        }
        if (config.priority_timeout != 0) {
            return js_fail({400, 10197, "PinnedTTL cannot be set when PriorityPolicy is none"});
        }
        return {};
    }
    if (config.priority_groups.empty()) {
        return js_fail(
            {400, 10159, "Setting PriorityPolicy requires at least one PriorityGroup to be set"});
    }
    if (config.priority_groups.size() > 1) {
        return js_fail(js_errors::consumer_create("only one priority group is supported"));
    }
    for (const std::string& group : config.priority_groups) {
        if (group.empty()) return js_fail({400, 10161, "Group name cannot be an empty string"});
        const bool is_valid =
            group.size() <= kGroupNameMax && std::all_of(group.begin(), group.end(), [](char c) {
                return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                       std::string_view("-_/=").find(c) != std::string_view::npos;
            });
        if (!is_valid) {
            return js_fail({400, 10162,
                            "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may "
                            "not exceed 16 characters"});
        }
    }
    if (config.priority == PriorityPolicy::kPinned && config.priority_timeout == 0) {
        config.priority_timeout = kPinnedTimeout;
    }
    return {};
}

// How the filters are given, whatever the stream holds.
JsResult<void> check_filter_list(const ConsumerConfig& config) {
    if (config.has_both_filters) {
        return js_fail(
            {400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified"});
    }
    for (size_t i = 0; i < config.filters.size(); ++i) {
        if (config.filters[i].empty()) {
            return js_fail({400, 10139, "consumer filter in FilterSubjects cannot be empty"});
        }
        for (size_t j = 0; j < i; ++j) {
            if (!auth::patterns_overlap(config.filters[i], config.filters[j])) continue;
            return js_fail({400, 10138, "consumer subject filters cannot overlap"});
        }
    }
    return {};
}

JsResult<void> check_names(const ConsumerConfig& config) {
    if (config.durable.empty() || config.name.empty() || config.durable == config.name) return {};
    return js_fail({400, 10132, "Consumer Durable and Name have to be equal if both are provided"});
}

// One that no subject of the stream fits is fine, as for nats-server since 2.10: the stream may get
// such a subject later.
JsResult<void> check_filters(const ConsumerConfig& config) {
    for (const std::string& filter : config.filters) {
        if (bus::is_valid_pattern(filter)) continue;
        return js_fail(
            {400, 10093, "consumer filter subject is not a valid subset of the interest subjects"});
    }
    return {};
}

JsResult<void> check_backoff(const ConsumerConfig& config) {
    const bool is_cut =
        config.deliver_max > 0 && static_cast<size_t>(config.deliver_max) < config.backoff.size();
    if (!is_cut) return {};
    return js_fail({400, 10116, "max deliver is required to be > length of backoff values"});
}

JsResult<void> check_acks(ConsumerConfig& config) {
    if (config.ack_wait < 0) {
        return js_fail({400, 10183, "consumer ack wait needs to be positive"});
    }
    if (config.deliver_max == 0 || config.deliver_max < -1) config.deliver_max = -1;
    for (const int64_t wait : config.backoff) {
        if (wait < 0) return js_fail({400, 10184, "consumer backoff needs to be positive"});
    }
    if (!config.backoff.empty()) config.ack_wait = config.backoff.front();
    if (config.ack == AckPolicy::kNone && config.ack_pending_max > 0) {
        return js_fail({400, 10082, "consumer requires ack policy for max ack pending"});
    }
    return {};
}

// "30" or "30%"; more than all is all.
JsResult<void> check_sampling(ConsumerConfig& config) {
    config.sample_percent = 0;
    if (config.sample_frequency.empty()) return {};
    std::string_view given = config.sample_frequency;
    if (given.ends_with('%')) given.remove_suffix(1);
    std::string_view digits = given;
    if (digits.starts_with('+')) digits.remove_prefix(1);
    const Result<uint64_t> percent = parse_uint(digits);
    if (!percent) {
        const bool is_number =
            !digits.empty() &&
            std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
        return js_fail({400, 10095,
                        fmt::format("failed to parse consumer sampling configuration: "
                                    "strconv.Atoi: parsing \"{}\": {}",
                                    given, is_number ? "value out of range" : "invalid syntax")});
    }
    config.sample_percent = static_cast<unsigned>(std::min<uint64_t>(*percent, 100));
    return {};
}

JsResult<void> check_sizes(const ConsumerConfig& config) {
    if (config.description.size() > kDescriptionMax) {
        return js_fail({400, 10107, "consumer description is too long, maximum allowed is 4096"});
    }
    if (size_of(config.metadata) > kMetadataMax) {
        return js_fail({400, 10135, "consumer metadata exceeds maximum size of 128 KiB"});
    }
    if (config.replicas < 0) return js_fail({400, 10133, "replicas count cannot be negative"});
    if (config.replicas > 1) {
        return js_fail({400, 10126, "consumer config replica count exceeds parent stream"});
    }
    return {};
}

// The stream's limits stand in for what the consumer does not say, and bound what it does.
JsResult<void> apply_stream_limits(ConsumerConfig& config, const StreamConfig& stream) {
    if (stream.consumer_inactive_threshold != 0) {
        if (config.inactive_threshold == 0) {
            config.inactive_threshold = stream.consumer_inactive_threshold;
        }
        if (config.inactive_threshold > stream.consumer_inactive_threshold) {
            return js_fail(
                {400, 10153,
                 fmt::format("consumer inactive threshold exceeds system limit of {}",
                             format_duration(Duration(stream.consumer_inactive_threshold)))});
        }
    }
    if (stream.consumer_ack_pending_max > 0 && config.ack != AckPolicy::kNone) {
        if (config.ack_pending_max == 0) config.ack_pending_max = stream.consumer_ack_pending_max;
        if (config.ack_pending_max < 0 ||
            config.ack_pending_max > stream.consumer_ack_pending_max) {
            return js_fail({400, 10121,
                            fmt::format("consumer max ack pending exceeds system limit of {}",
                                        stream.consumer_ack_pending_max)});
        }
    }
    return {};
}

}  // namespace

JsResult<void> complete(ConsumerConfig& config, const StreamConfig& stream) {
    for (int64_t* value : {&config.heartbeat, &config.inactive_threshold, &config.expires_max}) {
        if (*value < 0) *value = 0;
    }
    using Check = JsResult<void> (*)(ConsumerConfig&, const StreamConfig&);
    static constexpr Check kChecks[] = {
        [](ConsumerConfig& c, const StreamConfig&) { return check_backoff(c); },
        [](ConsumerConfig& c, const StreamConfig&) { return check_sizes(c); },
        [](ConsumerConfig& c, const StreamConfig& s) {
            return c.is_push() ? check_push(c, s) : check_pull(c, s);
        },
        [](ConsumerConfig& c, const StreamConfig&) { return check_filter_list(c); },
        [](ConsumerConfig& c, const StreamConfig&) { return check_start(c); },
        [](ConsumerConfig& c, const StreamConfig&) { return check_sampling(c); },
        [](ConsumerConfig& c, const StreamConfig&) { return check_acks(c); },
        [](ConsumerConfig& c, const StreamConfig&) { return check_names(c); },
        [](ConsumerConfig& c, const StreamConfig&) { return check_priority(c); },
        [](ConsumerConfig& c, const StreamConfig&) { return check_filters(c); },
        [](ConsumerConfig& c, const StreamConfig& s) { return apply_stream_limits(c, s); },
    };
    for (const Check check : kChecks) {
        if (JsResult<void> checked = check(config, stream); !checked) return checked;
    }
    if (config.ack != AckPolicy::kNone) {
        if (config.ack_wait == 0) config.ack_wait = kAckWait;
        if (config.ack_pending_max == 0) config.ack_pending_max = kAckPendingMax;
    }
    if (!config.is_push() && config.waiting_max == 0) config.waiting_max = kWaitingMax;
    if (config.durable.empty() && config.inactive_threshold == 0) {
        config.inactive_threshold = kInactiveThreshold;
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
    if (from.in_memory != to.in_memory) return "storage can not be updated";
    return nullptr;
}

}  // namespace candela::bus_role
