#pragma once

// The configuration of a stream as the JetStream API has it: read from JSON with nats-server's
// defaults and rules, and echoed in its form. Durations are nanoseconds. Values.

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
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

inline constexpr size_t kDescriptionMax = 4096;
inline constexpr size_t kMetadataMax = 128 * 1024;
inline constexpr size_t kSourcesMax = 256;

// "2026-01-02T03:04:05.123456789Z"; 0 is Go's zero time.
std::string format_nanos(int64_t nanos);

enum class Retention : uint8_t { kLimits, kInterest, kWorkQueue };
enum class Discard : uint8_t { kOld, kNew };

// What is published to the one subject is kept, or shown, under another.
struct TransformConfig {
    std::string source;
    std::string destination;
    friend bool operator==(const TransformConfig&, const TransformConfig&) = default;
};

struct RepublishConfig {
    std::string source;
    std::string destination;
    bool headers_only = false;
    friend bool operator==(const RepublishConfig&, const RepublishConfig&) = default;
};

// Another stream that this one copies from.
struct SourceConfig {
    std::string name;
    uint64_t start_sequence = 0;
    int64_t start_time = 0;
    std::string start_time_text;
    std::string filter;
    std::vector<TransformConfig> transforms;

    // The same for as long as it is the same source: "<name> <filters> <destinations>".
    std::string index_name() const;
    friend bool operator==(const SourceConfig&, const SourceConfig&) = default;
};

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
    bool is_compressed = false;
    bool allow_ttl = false;
    bool allow_schedules = false;
    int64_t marker_ttl = 0;
    int64_t consumer_inactive_threshold = 0;
    int64_t consumer_ack_pending_max = 0;
    std::optional<TransformConfig> transform;
    std::optional<RepublishConfig> republish;
    std::optional<SourceConfig> mirror;
    std::vector<SourceConfig> sources;
    std::map<std::string, std::string> metadata;
};

JsResult<StreamConfig> parse_stream_config(const Json& json, std::string_view name);
Json to_json(const StreamConfig& config);
// Fills in defaults, and checks what can be said of it alone.
JsResult<void> complete(StreamConfig& config);
// Why the one may not become the other.
JsResult<void> check_update(const StreamConfig& from, const StreamConfig& to);

bool is_valid_js_name(std::string_view name);
size_t size_of(const std::map<std::string, std::string>& metadata);

}  // namespace candela::bus_role
