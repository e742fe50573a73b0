#pragma once

// The configuration of a consumer as the JetStream API has it: read from JSON with nats-server's
// defaults and rules, and echoed in its form. Durations are nanoseconds. Values.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "stream_config.h"

namespace candela::bus_role {

enum class DeliverPolicy : uint8_t { kAll, kLast, kNew, kBySequence, kByTime, kLastPerSubject };
enum class AckPolicy : uint8_t { kNone, kAll, kExplicit };
enum class PriorityPolicy : uint8_t { kNone, kOverflow, kPinned, kPrioritized };

struct ConsumerConfig {
    std::string durable;
    std::string name;
    std::string description;
    DeliverPolicy deliver = DeliverPolicy::kAll;
    uint64_t start_sequence = 0;
    int64_t start_time = 0;
    std::string start_time_text;
    AckPolicy ack = AckPolicy::kNone;
    int64_t ack_wait = 0;
    int64_t deliver_max = -1;
    std::vector<int64_t> backoff;
    std::vector<std::string> filters;
    bool has_filter_list = false;   // given as filter_subjects
    bool has_both_filters = false;  // and as filter_subject, which is refused
    bool replay_original = false;
    uint64_t rate_limit_bits = 0;
    std::string sample_frequency;
    unsigned sample_percent = 0;  // what that says
    int64_t waiting_max = 0;
    int64_t ack_pending_max = 0;
    bool flow_control = false;
    int64_t heartbeat = 0;
    bool headers_only = false;
    int64_t batch_max = 0;
    int64_t expires_max = 0;
    int64_t request_bytes_max = 0;
    std::string deliver_subject;
    std::string deliver_group;
    int64_t inactive_threshold = 0;
    bool in_memory = false;
    int64_t replicas = 0;
    int64_t pause_until = 0;  // ns since 1970
    std::string pause_until_text;
    std::vector<std::string> priority_groups;
    PriorityPolicy priority = PriorityPolicy::kNone;
    int64_t priority_timeout = 0;  // of a pinned client
    std::map<std::string, std::string> metadata;

    bool is_push() const { return !deliver_subject.empty(); }
};

JsResult<ConsumerConfig> parse_consumer_config(const Json& json);
// Fills in defaults and checks against the stream's.
JsResult<void> complete(ConsumerConfig& config, const StreamConfig& stream);
Json to_json(const ConsumerConfig& config);
// What can't change while a consumer lives; null where all that differs may.
const char* what_differs(const ConsumerConfig& from, const ConsumerConfig& to);

}  // namespace candela::bus_role
