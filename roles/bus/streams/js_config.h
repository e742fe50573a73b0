#pragma once

// The configurations of streams and consumers as the JetStream API has them: read from JSON with
// nats-server's defaults and rules, and echoed in its form. Durations are nanoseconds. Values.

#include <cstdint>
#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/time.h"
#include "js_error.h"

namespace candela::bus_role {

template <class T>
using JsResult = std::expected<T, JsError>;
inline std::unexpected<JsError> js_fail(JsError error) {
    return std::unexpected<JsError>(std::move(error));
}

// "2026-01-02T03:04:05.123456789Z"; 0 is Go's zero time.
std::string format_nanos(int64_t nanos);

enum class Retention : uint8_t { kLimits, kInterest, kWorkQueue };
enum class Discard : uint8_t { kOld, kNew };

struct StreamConfig {
    std::string name;
    std::string description;
    std::vector<std::string> subjects;
    Retention retention = Retention::kLimits;
    Discard discard = Discard::kOld;
    bool is_file = true;
    int64_t consumers_max = -1;
    int64_t messages_max = -1;
    int64_t bytes_max = -1;
    int64_t age_max = 0;
    int64_t messages_per_subject_max = -1;
    int64_t message_size_max = -1;
    int64_t duplicate_window = 0;
    uint64_t first_sequence = 0;
    bool no_ack = false;
    bool sealed = false;
    bool deny_delete = false;
    bool deny_purge = false;
    bool allow_rollup = false;
    bool allow_direct = false;
    bool mirror_direct = false;
    bool discard_new_per_subject = false;
    std::map<std::string, std::string> metadata;
};

JsResult<StreamConfig> parse_stream_config(const Json& json, std::string_view name);
Json to_json(const StreamConfig& config);
// Why the one may not become the other.
JsResult<void> check_update(const StreamConfig& from, const StreamConfig& to);

enum class DeliverPolicy : uint8_t { kAll, kLast, kNew, kBySequence, kByTime, kLastPerSubject };
enum class AckPolicy : uint8_t { kNone, kAll, kExplicit };

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
    bool has_filter_list = false;  // given as filter_subjects
    bool replay_original = false;
    uint64_t rate_limit_bits = 0;
    std::string sample_frequency;
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
    std::map<std::string, std::string> metadata;

    bool is_push() const { return !deliver_subject.empty(); }
};

JsResult<ConsumerConfig> parse_consumer_config(const Json& json);
// Fills in defaults and checks against the stream's; `name` is the consumer's own.
JsResult<void> complete(ConsumerConfig& config, const StreamConfig& stream);
Json to_json(const ConsumerConfig& config);

bool is_valid_js_name(std::string_view name);

}  // namespace candela::bus_role
