#pragma once

// The C++ face of candela.proto: plain values, and encode/decode between them and protobuf bytes.
// The meaning of each field is in candela.proto. Decoding checks every count and size below,
// tolerates what a newer node may add (unknown fields, unknown enum values), and fails with
// Code::kInvalid otherwise. Everything here is a value or a pure function: usable on any thread.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/log_line.h"
#include "base/result.h"

namespace candela::proto {

// The bus carries at most 1 MiB in a message; a larger one is refused before it is looked at.
inline constexpr size_t kMessageBytesMax = 1 << 20;
inline constexpr size_t kNameBytesMax = 256;           // names, ids, keys' text, addresses
inline constexpr size_t kTextBytesMax = 16 << 10;      // one log line, one path, one cause
inline constexpr size_t kArgumentBytesMax = 64 << 10;  // service/manifest.h allows as much
inline constexpr size_t kVariableBytesMax = 128 << 10;
inline constexpr size_t kRouteSettingsBytesMax = 256 << 10;  // as much as a service.toml has
inline constexpr size_t kInstancesMax = 4096;                // in a heartbeat or an assignment
inline constexpr size_t kServicesMax = 16384;                // in a route table
inline constexpr size_t kRoutesMax = 256;                    // of one service
inline constexpr size_t kErrorPagesMax = 64;                 // of one service
inline constexpr size_t kErrorPageBytesMax = 64 << 10;
inline constexpr size_t kAllowedNetworksMax = 64;
inline constexpr size_t kPurgesMax = 256;
inline constexpr size_t kEndpointsMax = 4096;  // of one service
inline constexpr size_t kArgumentsMax = 256;
inline constexpr size_t kVariablesMax = 512;
inline constexpr size_t kLogEntriesMax = 4096;  // in one batch
inline constexpr size_t kLogTailMax = 32;
inline constexpr size_t kRolesMax = 8;
inline constexpr size_t kAnswerReadingsMax = 256;  // in a heartbeat; the rest comes with the next
inline constexpr size_t kLatencyCountsMax = 256;   // of one reading
inline constexpr size_t kProtectionsMax = 64;
inline constexpr size_t kDriversMax = 8;
inline constexpr size_t kLabelsMax = 64;
inline constexpr uint32_t kBundleReadBytesMax = 512 << 10;
inline constexpr size_t kChainBytesMax = 128 << 10;
inline constexpr size_t kKeyBytesMax = 32 << 10;
inline constexpr size_t kCertificatesMax = 4096;  // in one page
inline constexpr size_t kChallengesMax = 64;
inline constexpr size_t kTicketKeysMax = 8;
inline constexpr size_t kValuesMax = 64;  // of one instance
inline constexpr size_t kSealedBytesMax = (64 << 10) + 64;

// Subjects of docs/architecture.md, "Between nodes".
inline constexpr std::string_view kAssignmentsSubject = "candela.lighthouse.assignments";
inline constexpr std::string_view kRoutesSubject = "candela.lighthouse.routes";
inline constexpr std::string_view kBundleSubject = "candela.lighthouse.bundle";
inline constexpr std::string_view kCredentialSubject = "candela.lighthouse.credential";
inline constexpr std::string_view kValuesSubject = "candela.lighthouse.values";
inline constexpr std::string_view kRoutesNudgeSubject = "candela.routes.nudge";
inline constexpr std::string_view kCertificatesSubject = "candela.lighthouse.certificates";
inline constexpr std::string_view kCertificatesNudgeSubject = "candela.certificates.nudge";
std::string heartbeat_subject(std::string_view node);
std::string nudge_subject(std::string_view node);
std::string logs_subject(std::string_view space, std::string_view service,
                         std::string_view instance);

// A reply that refuses. `code` is empty where nothing failed.
struct Failure {
    std::string code;
    std::string message;

    Failure() = default;
    Failure(std::string c, std::string m) : code(std::move(c)), message(std::move(m)) {}
    explicit Failure(const Error& error);

    explicit operator bool() const { return !code.empty(); }
    Error to_error() const;  // an unknown code becomes kInternal
    bool operator==(const Failure&) const = default;
};

enum class InstanceState : uint8_t {
    kUnknown,
    kPending,
    kStarting,
    kReady,
    kUnready,
    kDraining,
    kStopping,
    kExited,
    kFailed
};
std::string_view to_string(InstanceState state);
Result<InstanceState> parse_instance_state(std::string_view text);

// Of `known`: which values of a Usage count.
inline constexpr uint32_t kUsageCpu = 1;
inline constexpr uint32_t kUsageMemory = 2;
inline constexpr uint32_t kUsageIo = 4;
inline constexpr uint32_t kUsageNetwork = 8;
inline constexpr uint32_t kUsageProcesses = 16;
inline constexpr uint32_t kUsagePressure = 32;

struct Usage {
    uint32_t known = 0;
    uint64_t cpu_micros = 0;
    uint64_t memory_bytes = 0;
    uint64_t io_read_bytes = 0;
    uint64_t io_write_bytes = 0;
    uint64_t net_in_bytes = 0;
    uint64_t net_out_bytes = 0;
    uint32_t processes = 0;
    uint32_t cpu_pressure = 0;
    uint32_t memory_pressure = 0;
    uint32_t io_pressure = 0;
    bool operator==(const Usage&) const = default;
};

struct InstanceStatus {
    std::string instance;
    InstanceState state = InstanceState::kUnknown;
    uint32_t port = 0;
    uint32_t pid = 0;
    uint32_t restarts = 0;
    std::string last_exit;
    std::string cause;
    std::string probe_answer;
    std::vector<std::string> log_tail;
    int32_t exit_code = 0;
    uint64_t started_at = 0;
    uint64_t memory_bytes = 0;
    uint64_t epoch = 0;
    Usage usage;
    bool operator==(const InstanceStatus&) const = default;
};

struct Protection {
    std::string name;
    bool is_on = false;
    std::string detail;
    bool operator==(const Protection&) const = default;
};

struct HostDriver {
    std::string name;
    bool is_on = false;
    std::string detail;
    std::string sandbox_level;
    bool operator==(const HostDriver&) const = default;
};

struct LatencyCount {
    uint32_t bucket = 0;
    uint64_t count = 0;
    bool operator==(const LatencyCount&) const = default;
};

struct AnswerReading {
    std::string space;
    std::string service;
    uint64_t measure = 0;
    uint64_t release = 0;
    uint64_t answers = 0;
    uint64_t failures = 0;
    std::vector<LatencyCount> latency;
    bool operator==(const AnswerReading&) const = default;
};

struct NodeHeartbeat {
    std::string node;
    std::string boot_id;
    std::string version;
    std::vector<std::string> roles;
    std::string machine_id;
    std::string address;
    uint64_t sequence = 0;
    bool draining = false;
    std::vector<std::string> labels;
    uint64_t routes_version = 0;
    std::vector<std::string> busy_instances;
    uint64_t certificates_version = 0;
    std::vector<AnswerReading> answers;
    uint64_t assignments_version = 0;
    uint32_t instances_max = 0;
    std::vector<InstanceStatus> instances;
    bool instances_complete = false;
    uint64_t memory_bytes = 0;
    uint32_t cpus = 0;
    uint32_t load_percent = 0;
    std::vector<Protection> protections;
    std::string trouble;  // why nothing new should come; empty: nothing
    std::vector<HostDriver> drivers;
    std::string sandbox_level;
    uint64_t cpu_millis_max = 0;
    uint64_t memory_bytes_max = 0;
    uint32_t ports_max = 0;
    Usage usage;
    bool operator==(const NodeHeartbeat&) const = default;
};

struct AssignmentsPull {
    std::string node;
    uint64_t version = 0;
    std::string boot_id;
    bool operator==(const AssignmentsPull&) const = default;
};

struct EnvironmentVariable {
    std::string name;
    std::string value;
    bool operator==(const EnvironmentVariable&) const = default;
};

enum class ProbeKind : uint8_t { kNone, kHttp, kTcp, kExec };

struct Probe {
    ProbeKind kind = ProbeKind::kNone;
    std::string path;
    std::vector<std::string> command;
    uint64_t interval_ms = 0;
    uint64_t timeout_ms = 0;
    uint64_t start_timeout_ms = 0;
    bool operator==(const Probe&) const = default;
};

enum class Desired : uint8_t { kRun, kStop };

// A secret or config value of an instance, without its content.
struct ValueUse {
    std::string kind;
    std::string name;
    uint64_t version = 0;
    std::string env;   // the variable, or
    std::string file;  // the file
    uint32_t mode = 0;
    std::string signal;  // sent when the file has changed; empty: none
    bool operator==(const ValueUse&) const = default;
};

struct ContainerSpec {
    std::string image;  // empty: it runs in none
    bool is_host_network = false;
    uint32_t port = 0;
    std::string user;
    bool is_writable = false;
    bool operator==(const ContainerSpec&) const = default;
};

struct InstanceSpec {
    std::string instance;
    std::string space;
    std::string service;
    uint64_t release = 0;
    std::string kind;
    std::vector<std::string> command;
    std::vector<EnvironmentVariable> env;
    Probe probe;
    uint64_t stop_grace_ms = 0;
    std::string bundle;
    uint64_t bundle_bytes = 0;
    std::string signature;
    std::string signer;
    Desired desired = Desired::kRun;
    uint64_t epoch = 0;
    bool draining = false;
    std::string root;
    std::string sandbox_level;
    uint64_t memory_bytes_max = 0;
    uint32_t cpu_percent_max = 0;
    uint32_t pids_max = 0;
    uint64_t scratch_bytes_max = 0;
    ContainerSpec container;
    std::vector<ValueUse> values;
    bool has_no_network = false;
    bool operator==(const InstanceSpec&) const = default;
};

struct Assignments {
    uint64_t version = 0;
    uint64_t epoch = 0;
    std::vector<InstanceSpec> instances;
    Failure failure;
    bool operator==(const Assignments&) const = default;
};

struct Nudge {
    uint64_t version = 0;
    bool operator==(const Nudge&) const = default;
};

struct RoutesPull {
    std::string node;
    uint64_t version = 0;
    std::string boot_id;
    bool operator==(const RoutesPull&) const = default;
};

enum class EndpointState : uint8_t { kUnknown, kReady, kSuspect };

enum class EndpointProtocol : uint8_t { kHttp1, kH2c };

enum class ProxyHeader : uint8_t { kNone, kV1, kV2 };

struct Endpoint {
    std::string instance;
    std::string node;
    std::string machine_id;
    std::string address;
    uint32_t port = 0;
    EndpointState state = EndpointState::kUnknown;
    uint64_t release = 0;
    EndpointProtocol protocol = EndpointProtocol::kHttp1;
    bool is_weighted = false;  // otherwise it has the usual 100
    uint32_t weight = 0;       // its part of new requests among the service's; 0: none
    ProxyHeader proxy_header = ProxyHeader::kNone;
    bool operator==(const Endpoint&) const = default;
};

struct Route {
    std::string host;
    std::string path;
    std::string settings;  // the rest of service.toml's [[route]] as JSON; empty: nothing more
    bool operator==(const Route&) const = default;
};

struct ErrorPage {
    std::string status;  // "502", "4xx"
    std::string body;
    bool operator==(const ErrorPage&) const = default;
};

struct RouteService {
    std::string space;
    std::string service;
    std::string kind;
    std::vector<Route> routes;
    std::vector<Endpoint> endpoints;
    uint32_t hold_requests_max = 0;
    uint64_t hold_ms_max = 0;
    std::vector<ErrorPage> error_pages;
    bool is_in_maintenance = false;              // 503 to all but those in maintenance_allow
    std::vector<std::string> maintenance_allow;  // networks
    uint64_t maintenance_retry_ms = 0;
    uint64_t measure = 0;
    bool operator==(const RouteService&) const = default;
};

struct CachePurge {
    uint64_t id = 0;  // grows
    std::string space;
    std::string service;
    std::string host;  // empty: any
    std::string path;
    bool exact = false;  // the path itself, and nothing below it
    bool operator==(const CachePurge&) const = default;
};

struct RouteTable {
    uint64_t version = 0;
    uint64_t epoch = 0;
    std::vector<RouteService> services;
    Failure failure;
    std::vector<CachePurge> purges;  // the last ones, the oldest first
    bool operator==(const RouteTable&) const = default;
};

struct CertificatesPull {
    std::string node;
    std::string boot_id;
    uint64_t version = 0;
    uint64_t certificates_version = 0;
    std::string box_key;
    std::string after;
    bool operator==(const CertificatesPull&) const = default;
};

struct Certificate {
    std::string name;
    std::string chain;
    std::string key;
    bool operator==(const Certificate&) const = default;
};

struct Challenge {
    std::string host;
    std::string token;
    std::string key_authorization;
    bool operator==(const Challenge&) const = default;
};

struct TicketKey {
    std::string name;
    std::string secret;
    uint64_t from_ms = 0;
    uint64_t until_ms = 0;
    bool operator==(const TicketKey&) const = default;
};

struct CertificateTable {
    uint64_t version = 0;
    uint64_t epoch = 0;
    uint64_t certificates_version = 0;
    std::vector<Certificate> certificates;
    bool has_more = false;
    std::vector<Challenge> challenges;
    Failure failure;
    std::vector<TicketKey> ticket_keys;
    bool operator==(const CertificateTable&) const = default;
};

struct BundleRead {
    std::string digest;
    uint64_t offset = 0;
    uint32_t length = 0;
    bool operator==(const BundleRead&) const = default;
};

struct BundleChunk {
    uint64_t total_bytes = 0;
    uint64_t offset = 0;
    std::string data;
    Failure failure;
    bool operator==(const BundleChunk&) const = default;
};

struct CredentialRequest {
    std::string node;
    std::string instance;
    std::string space;
    std::string public_key;
    bool operator==(const CredentialRequest&) const = default;
};

struct Credential {
    std::string jwt;
    uint64_t expires_at = 0;
    Failure failure;
    bool operator==(const Credential&) const = default;
};

struct ValuesPull {
    std::string node;
    std::string instance;
    std::string box_key;
    bool operator==(const ValuesPull&) const = default;
};

struct ValueContent {
    std::string kind;
    std::string name;
    uint64_t version = 0;
    std::string sealed;  // for the pull's box_key
    bool operator==(const ValueContent&) const = default;
};

struct ValueTable {
    std::vector<ValueContent> values;
    Failure failure;
    bool operator==(const ValueTable&) const = default;
};

enum class LogStream : uint8_t { kStdout, kStderr, kHost, kAccess };

struct LogEntry {
    uint64_t time = 0;
    LogStream stream = LogStream::kStdout;
    std::string text;
    LineLevel level = LineLevel::kUnknown;
    std::string trace_id;
    bool operator==(const LogEntry&) const = default;
};

struct LogBatch {
    std::string node;
    std::string space;
    std::string service;
    std::string instance;
    uint64_t release = 0;
    std::vector<LogEntry> entries;
    std::string source;
    uint64_t first = 0;
    uint64_t previous = 0;
    uint64_t acked = 0;
    bool operator==(const LogBatch&) const = default;
};

struct LogAck {
    std::string source;
    uint64_t position = 0;
    bool is_gap = false;
    bool operator==(const LogAck&) const = default;
};

std::string encode(const NodeHeartbeat& message);
std::string encode(const AssignmentsPull& message);
std::string encode(const Assignments& message);
std::string encode(const Nudge& message);
std::string encode(const RoutesPull& message);
std::string encode(const RouteTable& message);
std::string encode(const CertificatesPull& message);
std::string encode(const CertificateTable& message);
std::string encode(const BundleRead& message);
std::string encode(const BundleChunk& message);
std::string encode(const CredentialRequest& message);
std::string encode(const Credential& message);
std::string encode(const ValuesPull& message);
std::string encode(const ValueTable& message);
std::string encode(const LogBatch& message);
std::string encode(const LogAck& message);

Result<NodeHeartbeat> decode_node_heartbeat(std::string_view bytes);
Result<AssignmentsPull> decode_assignments_pull(std::string_view bytes);
Result<Assignments> decode_assignments(std::string_view bytes);
Result<Nudge> decode_nudge(std::string_view bytes);
Result<RoutesPull> decode_routes_pull(std::string_view bytes);
Result<RouteTable> decode_route_table(std::string_view bytes);
Result<CertificatesPull> decode_certificates_pull(std::string_view bytes);
Result<CertificateTable> decode_certificate_table(std::string_view bytes);
Result<BundleRead> decode_bundle_read(std::string_view bytes);
Result<BundleChunk> decode_bundle_chunk(std::string_view bytes);
Result<CredentialRequest> decode_credential_request(std::string_view bytes);
Result<Credential> decode_credential(std::string_view bytes);
Result<ValuesPull> decode_values_pull(std::string_view bytes);
Result<ValueTable> decode_value_table(std::string_view bytes);
Result<LogBatch> decode_log_batch(std::string_view bytes);
Result<LogAck> decode_log_ack(std::string_view bytes);

}  // namespace candela::proto
