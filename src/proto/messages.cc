#include "proto/messages.h"

#include <array>
#include <type_traits>

#include "base/check.h"
#include "proto/wire.h"

namespace candela::proto {

namespace wire {

#define CANDELA_SHAPE(Name)                                                          \
    template <>                                                                      \
    struct Shape<Name> {                                                             \
        using Wire = candela_wire_##Name;                                            \
        static const pb_msgdesc_t* fields() { return candela_wire_##Name##_fields; } \
    }

CANDELA_SHAPE(Failure);
CANDELA_SHAPE(Usage);
CANDELA_SHAPE(InstanceStatus);
CANDELA_SHAPE(LatencyCount);
CANDELA_SHAPE(AnswerReading);
CANDELA_SHAPE(NodeHeartbeat);
CANDELA_SHAPE(AssignmentsPull);
CANDELA_SHAPE(EnvironmentVariable);
CANDELA_SHAPE(Probe);
CANDELA_SHAPE(ValueUse);
CANDELA_SHAPE(InstanceSpec);
CANDELA_SHAPE(Protection);
CANDELA_SHAPE(HostDriver);
CANDELA_SHAPE(ContainerSpec);
CANDELA_SHAPE(Assignments);
CANDELA_SHAPE(Nudge);
CANDELA_SHAPE(RoutesPull);
CANDELA_SHAPE(Endpoint);
CANDELA_SHAPE(Route);
CANDELA_SHAPE(ErrorPage);
CANDELA_SHAPE(RouteService);
CANDELA_SHAPE(CachePurge);
CANDELA_SHAPE(RouteTable);
CANDELA_SHAPE(CertificatesPull);
CANDELA_SHAPE(Certificate);
CANDELA_SHAPE(Challenge);
CANDELA_SHAPE(TicketKey);
CANDELA_SHAPE(CertificateTable);
CANDELA_SHAPE(BundleRead);
CANDELA_SHAPE(BundleChunk);
CANDELA_SHAPE(CredentialRequest);
CANDELA_SHAPE(Credential);
CANDELA_SHAPE(ValuesPull);
CANDELA_SHAPE(ValueContent);
CANDELA_SHAPE(ValueTable);
CANDELA_SHAPE(LogEntry);
CANDELA_SHAPE(LogBatch);
CANDELA_SHAPE(LogAck);

#undef CANDELA_SHAPE

}  // namespace wire

// In these a value is const for the Writer and not for the others: `As<Name> auto&` names both.
template <class T, class Name>
concept As = std::is_same_v<std::remove_const_t<T>, Name>;

template <class V>
void visit(V& v, As<Failure> auto& m, candela_wire_Failure& w) {
    v.text(w.code, m.code, kNameBytesMax);
    v.text(w.message, m.message, kTextBytesMax);
}

template <class V>
void visit(V& v, As<Usage> auto& m, candela_wire_Usage& w) {
    v.number(w.known, m.known);
    v.number(w.cpu_micros, m.cpu_micros);
    v.number(w.memory_bytes, m.memory_bytes);
    v.number(w.io_read_bytes, m.io_read_bytes);
    v.number(w.io_write_bytes, m.io_write_bytes);
    v.number(w.net_in_bytes, m.net_in_bytes);
    v.number(w.net_out_bytes, m.net_out_bytes);
    v.number(w.processes, m.processes);
    v.number(w.cpu_pressure, m.cpu_pressure);
    v.number(w.memory_pressure, m.memory_pressure);
    v.number(w.io_pressure, m.io_pressure);
}

template <class V>
void visit(V& v, As<InstanceStatus> auto& m, candela_wire_InstanceStatus& w) {
    v.text(w.instance, m.instance, kNameBytesMax);
    v.choice(w.state, m.state, InstanceState::kFailed);
    v.number(w.port, m.port);
    v.number(w.pid, m.pid);
    v.number(w.restarts, m.restarts);
    v.text(w.last_exit, m.last_exit, kNameBytesMax);
    v.text(w.cause, m.cause, kTextBytesMax);
    v.text(w.probe_answer, m.probe_answer, kTextBytesMax);
    v.texts(w.log_tail, m.log_tail, kLogTailMax, kTextBytesMax);
    v.number(w.exit_code, m.exit_code);
    v.number(w.started_at, m.started_at);
    v.number(w.memory_bytes, m.memory_bytes);
    v.number(w.epoch, m.epoch);
    v.message(w.has_usage, w.usage, m.usage);
}

template <class V>
void visit(V& v, As<Protection> auto& m, candela_wire_Protection& w) {
    v.text(w.name, m.name, kNameBytesMax);
    v.number(w.is_on, m.is_on);
    v.text(w.detail, m.detail, kTextBytesMax);
}

template <class V>
void visit(V& v, As<HostDriver> auto& m, candela_wire_HostDriver& w) {
    v.text(w.name, m.name, kNameBytesMax);
    v.number(w.is_on, m.is_on);
    v.text(w.detail, m.detail, kTextBytesMax);
    v.text(w.sandbox_level, m.sandbox_level, kNameBytesMax);
}

template <class V>
void visit(V& v, As<LatencyCount> auto& m, candela_wire_LatencyCount& w) {
    v.number(w.bucket, m.bucket);
    v.number(w.count, m.count);
}

template <class V>
void visit(V& v, As<AnswerReading> auto& m, candela_wire_AnswerReading& w) {
    v.text(w.space, m.space, kNameBytesMax);
    v.text(w.service, m.service, kNameBytesMax);
    v.number(w.measure, m.measure);
    v.number(w.release, m.release);
    v.number(w.answers, m.answers);
    v.number(w.failures, m.failures);
    v.list(w.latency, m.latency, kLatencyCountsMax);
}

template <class V>
void visit(V& v, As<NodeHeartbeat> auto& m, candela_wire_NodeHeartbeat& w) {
    v.text(w.node, m.node, kNameBytesMax);
    v.text(w.boot_id, m.boot_id, kNameBytesMax);
    v.text(w.version, m.version, kNameBytesMax);
    v.texts(w.roles, m.roles, kRolesMax, kNameBytesMax);
    v.text(w.machine_id, m.machine_id, kNameBytesMax);
    v.text(w.address, m.address, kNameBytesMax);
    v.number(w.sequence, m.sequence);
    v.number(w.draining, m.draining);
    v.texts(w.labels, m.labels, kLabelsMax, kNameBytesMax);
    v.number(w.routes_version, m.routes_version);
    v.texts(w.busy_instances, m.busy_instances, kInstancesMax, kNameBytesMax);
    v.number(w.certificates_version, m.certificates_version);
    v.list(w.answers, m.answers, kAnswerReadingsMax);
    v.number(w.assignments_version, m.assignments_version);
    v.number(w.instances_max, m.instances_max);
    v.list(w.instances, m.instances, kInstancesMax);
    v.number(w.instances_complete, m.instances_complete);
    v.number(w.memory_bytes, m.memory_bytes);
    v.number(w.cpus, m.cpus);
    v.number(w.load_percent, m.load_percent);
    v.list(w.protections, m.protections, kProtectionsMax);
    v.text(w.trouble, m.trouble, kTextBytesMax);
    v.list(w.drivers, m.drivers, kDriversMax);
    v.text(w.sandbox_level, m.sandbox_level, kNameBytesMax);
    v.number(w.cpu_millis_max, m.cpu_millis_max);
    v.number(w.memory_bytes_max, m.memory_bytes_max);
    v.number(w.ports_max, m.ports_max);
    v.message(w.has_usage, w.usage, m.usage);
}

template <class V>
void visit(V& v, As<AssignmentsPull> auto& m, candela_wire_AssignmentsPull& w) {
    v.text(w.node, m.node, kNameBytesMax);
    v.number(w.version, m.version);
    v.text(w.boot_id, m.boot_id, kNameBytesMax);
}

template <class V>
void visit(V& v, As<EnvironmentVariable> auto& m, candela_wire_EnvironmentVariable& w) {
    v.text(w.name, m.name, kNameBytesMax);
    v.text(w.value, m.value, kVariableBytesMax);
}

template <class V>
void visit(V& v, As<Probe> auto& m, candela_wire_Probe& w) {
    v.choice(w.kind, m.kind, ProbeKind::kExec);
    v.text(w.path, m.path, kTextBytesMax);
    v.texts(w.command, m.command, kArgumentsMax, kArgumentBytesMax);
    v.number(w.interval_ms, m.interval_ms);
    v.number(w.timeout_ms, m.timeout_ms);
    v.number(w.start_timeout_ms, m.start_timeout_ms);
}

template <class V>
void visit(V& v, As<ValueUse> auto& m, candela_wire_ValueUse& w) {
    v.text(w.kind, m.kind, kNameBytesMax);
    v.text(w.name, m.name, kNameBytesMax);
    v.number(w.version, m.version);
    v.text(w.env, m.env, kNameBytesMax);
    v.text(w.file, m.file, kNameBytesMax);
    v.number(w.mode, m.mode);
    v.text(w.signal, m.signal, kNameBytesMax);
}

template <class V>
void visit(V& v, As<ContainerSpec> auto& m, candela_wire_ContainerSpec& w) {
    v.text(w.image, m.image, kTextBytesMax);
    v.number(w.is_host_network, m.is_host_network);
    v.number(w.port, m.port);
    v.text(w.user, m.user, kNameBytesMax);
    v.number(w.is_writable, m.is_writable);
}

template <class V>
void visit(V& v, As<InstanceSpec> auto& m, candela_wire_InstanceSpec& w) {
    v.text(w.instance, m.instance, kNameBytesMax);
    v.text(w.space, m.space, kNameBytesMax);
    v.text(w.service, m.service, kNameBytesMax);
    v.number(w.release, m.release);
    v.text(w.kind, m.kind, kNameBytesMax);
    v.texts(w.command, m.command, kArgumentsMax, kArgumentBytesMax);
    v.list(w.env, m.env, kVariablesMax);
    v.message(w.has_probe, w.probe, m.probe);
    v.number(w.stop_grace_ms, m.stop_grace_ms);
    v.text(w.bundle, m.bundle, kNameBytesMax);
    v.number(w.bundle_bytes, m.bundle_bytes);
    v.text(w.signature, m.signature, kNameBytesMax);
    v.text(w.signer, m.signer, kNameBytesMax);
    v.choice(w.desired, m.desired, Desired::kStop);
    v.number(w.epoch, m.epoch);
    v.number(w.draining, m.draining);
    v.text(w.root, m.root, kArgumentBytesMax);
    v.text(w.sandbox_level, m.sandbox_level, kNameBytesMax);
    v.number(w.memory_bytes_max, m.memory_bytes_max);
    v.number(w.cpu_percent_max, m.cpu_percent_max);
    v.number(w.pids_max, m.pids_max);
    v.number(w.scratch_bytes_max, m.scratch_bytes_max);
    v.message(w.has_container, w.container, m.container);
    v.list(w.values, m.values, kValuesMax);
    v.number(w.has_no_network, m.has_no_network);
}

template <class V>
void visit(V& v, As<Assignments> auto& m, candela_wire_Assignments& w) {
    v.number(w.version, m.version);
    v.number(w.epoch, m.epoch);
    v.list(w.instances, m.instances, kInstancesMax);
    v.message(w.has_failure, w.failure, m.failure);
}

template <class V>
void visit(V& v, As<Nudge> auto& m, candela_wire_Nudge& w) {
    v.number(w.version, m.version);
}

template <class V>
void visit(V& v, As<RoutesPull> auto& m, candela_wire_RoutesPull& w) {
    v.text(w.node, m.node, kNameBytesMax);
    v.number(w.version, m.version);
    v.text(w.boot_id, m.boot_id, kNameBytesMax);
}

template <class V>
void visit(V& v, As<Endpoint> auto& m, candela_wire_Endpoint& w) {
    v.text(w.instance, m.instance, kNameBytesMax);
    v.text(w.node, m.node, kNameBytesMax);
    v.text(w.machine_id, m.machine_id, kNameBytesMax);
    v.text(w.address, m.address, kNameBytesMax);
    v.number(w.port, m.port);
    v.choice(w.state, m.state, EndpointState::kSuspect);
    v.number(w.release, m.release);
    v.choice(w.protocol, m.protocol, EndpointProtocol::kH2c);
    v.number(w.is_weighted, m.is_weighted);
    v.number(w.weight, m.weight);
    v.choice(w.proxy_header, m.proxy_header, ProxyHeader::kV2);
}

template <class V>
void visit(V& v, As<Route> auto& m, candela_wire_Route& w) {
    v.text(w.host, m.host, kNameBytesMax);
    v.text(w.path, m.path, kTextBytesMax);
    v.text(w.settings, m.settings, kRouteSettingsBytesMax);
}

template <class V>
void visit(V& v, As<ErrorPage> auto& m, candela_wire_ErrorPage& w) {
    v.text(w.status, m.status, kNameBytesMax);
    v.text(w.body, m.body, kErrorPageBytesMax);
}

template <class V>
void visit(V& v, As<RouteService> auto& m, candela_wire_RouteService& w) {
    v.text(w.space, m.space, kNameBytesMax);
    v.text(w.service, m.service, kNameBytesMax);
    v.text(w.kind, m.kind, kNameBytesMax);
    v.list(w.routes, m.routes, kRoutesMax);
    v.list(w.endpoints, m.endpoints, kEndpointsMax);
    v.number(w.hold_requests_max, m.hold_requests_max);
    v.number(w.hold_ms_max, m.hold_ms_max);
    v.list(w.error_pages, m.error_pages, kErrorPagesMax);
    v.number(w.is_in_maintenance, m.is_in_maintenance);
    v.texts(w.maintenance_allow, m.maintenance_allow, kAllowedNetworksMax, kNameBytesMax);
    v.number(w.maintenance_retry_ms, m.maintenance_retry_ms);
    v.number(w.measure, m.measure);
}

template <class V>
void visit(V& v, As<CachePurge> auto& m, candela_wire_CachePurge& w) {
    v.number(w.id, m.id);
    v.text(w.space, m.space, kNameBytesMax);
    v.text(w.service, m.service, kNameBytesMax);
    v.text(w.host, m.host, kNameBytesMax);
    v.text(w.path, m.path, kTextBytesMax);
    v.number(w.exact, m.exact);
}

template <class V>
void visit(V& v, As<RouteTable> auto& m, candela_wire_RouteTable& w) {
    v.number(w.version, m.version);
    v.number(w.epoch, m.epoch);
    v.list(w.services, m.services, kServicesMax);
    v.message(w.has_failure, w.failure, m.failure);
    v.list(w.purges, m.purges, kPurgesMax);
}

template <class V>
void visit(V& v, As<CertificatesPull> auto& m, candela_wire_CertificatesPull& w) {
    v.text(w.node, m.node, kNameBytesMax);
    v.text(w.boot_id, m.boot_id, kNameBytesMax);
    v.number(w.version, m.version);
    v.number(w.certificates_version, m.certificates_version);
    v.text(w.box_key, m.box_key, kNameBytesMax);
    v.text(w.after, m.after, kNameBytesMax);
}

template <class V>
void visit(V& v, As<Certificate> auto& m, candela_wire_Certificate& w) {
    v.text(w.name, m.name, kNameBytesMax);
    v.text(w.chain, m.chain, kChainBytesMax);
    v.text(w.key, m.key, kKeyBytesMax);
}

template <class V>
void visit(V& v, As<Challenge> auto& m, candela_wire_Challenge& w) {
    v.text(w.host, m.host, kNameBytesMax);
    v.text(w.token, m.token, kNameBytesMax);
    v.text(w.key_authorization, m.key_authorization, kTextBytesMax);
}

template <class V>
void visit(V& v, As<TicketKey> auto& m, candela_wire_TicketKey& w) {
    v.text(w.name, m.name, kNameBytesMax);
    v.text(w.secret, m.secret, kNameBytesMax);
    v.number(w.from_ms, m.from_ms);
    v.number(w.until_ms, m.until_ms);
}

template <class V>
void visit(V& v, As<CertificateTable> auto& m, candela_wire_CertificateTable& w) {
    v.number(w.version, m.version);
    v.number(w.epoch, m.epoch);
    v.number(w.certificates_version, m.certificates_version);
    v.list(w.certificates, m.certificates, kCertificatesMax);
    v.number(w.has_more, m.has_more);
    v.list(w.challenges, m.challenges, kChallengesMax);
    v.message(w.has_failure, w.failure, m.failure);
    v.list(w.ticket_keys, m.ticket_keys, kTicketKeysMax);
}

template <class V>
void visit(V& v, As<BundleRead> auto& m, candela_wire_BundleRead& w) {
    v.text(w.digest, m.digest, kNameBytesMax);
    v.number(w.offset, m.offset);
    v.number(w.length, m.length);
}

template <class V>
void visit(V& v, As<BundleChunk> auto& m, candela_wire_BundleChunk& w) {
    v.number(w.total_bytes, m.total_bytes);
    v.number(w.offset, m.offset);
    v.text(w.data, m.data, kBundleReadBytesMax);
    v.message(w.has_failure, w.failure, m.failure);
}

template <class V>
void visit(V& v, As<CredentialRequest> auto& m, candela_wire_CredentialRequest& w) {
    v.text(w.node, m.node, kNameBytesMax);
    v.text(w.instance, m.instance, kNameBytesMax);
    v.text(w.space, m.space, kNameBytesMax);
    v.text(w.public_key, m.public_key, kNameBytesMax);
}

template <class V>
void visit(V& v, As<Credential> auto& m, candela_wire_Credential& w) {
    v.text(w.jwt, m.jwt, kTextBytesMax);
    v.number(w.expires_at, m.expires_at);
    v.message(w.has_failure, w.failure, m.failure);
}

template <class V>
void visit(V& v, As<ValuesPull> auto& m, candela_wire_ValuesPull& w) {
    v.text(w.node, m.node, kNameBytesMax);
    v.text(w.instance, m.instance, kNameBytesMax);
    v.text(w.box_key, m.box_key, kNameBytesMax);
}

template <class V>
void visit(V& v, As<ValueContent> auto& m, candela_wire_ValueContent& w) {
    v.text(w.kind, m.kind, kNameBytesMax);
    v.text(w.name, m.name, kNameBytesMax);
    v.number(w.version, m.version);
    v.text(w.sealed, m.sealed, kSealedBytesMax);
}

template <class V>
void visit(V& v, As<ValueTable> auto& m, candela_wire_ValueTable& w) {
    v.list(w.values, m.values, kValuesMax);
    v.message(w.has_failure, w.failure, m.failure);
}

template <class V>
void visit(V& v, As<LogEntry> auto& m, candela_wire_LogEntry& w) {
    v.number(w.time, m.time);
    v.choice(w.stream, m.stream, LogStream::kAccess);
    v.text(w.text, m.text, kTextBytesMax);
    v.choice(w.level, m.level, LineLevel::kFatal);
    v.text(w.trace_id, m.trace_id, kNameBytesMax);
}

template <class V>
void visit(V& v, As<LogBatch> auto& m, candela_wire_LogBatch& w) {
    v.text(w.node, m.node, kNameBytesMax);
    v.text(w.space, m.space, kNameBytesMax);
    v.text(w.service, m.service, kNameBytesMax);
    v.text(w.instance, m.instance, kNameBytesMax);
    v.number(w.release, m.release);
    v.list(w.entries, m.entries, kLogEntriesMax);
    v.text(w.source, m.source, kNameBytesMax);
    v.number(w.first, m.first);
    v.number(w.previous, m.previous);
    v.number(w.acked, m.acked);
}

template <class V>
void visit(V& v, As<LogAck> auto& m, candela_wire_LogAck& w) {
    v.text(w.source, m.source, kNameBytesMax);
    v.number(w.position, m.position);
    v.number(w.is_gap, m.is_gap);
}

namespace {

template <class Value>
std::string encode_value(const Value& value) {
    typename wire::Shape<Value>::Wire message{};
    wire::Writer writer;
    visit(writer, value, message);
    size_t size = 0;
    const pb_msgdesc_t* fields = wire::Shape<Value>::fields();
    // Neither pass can fail: the callbacks only write, and the second has the size of the first.
    CANDELA_CHECK(pb_get_encoded_size(&size, fields, &message));
    std::string bytes(size, '\0');
    pb_ostream_t stream = pb_ostream_from_buffer(reinterpret_cast<pb_byte_t*>(bytes.data()), size);
    CANDELA_CHECK(pb_encode(&stream, fields, &message));
    return bytes;
}

template <class Value>
Result<Value> decode_value(std::string_view name, std::string_view bytes) {
    if (bytes.size() > kMessageBytesMax) {
        return fail(Code::kInvalid, "{}: {} bytes are more than the {} that a message may have",
                    name, bytes.size(), kMessageBytesMax);
    }
    Value value;
    pb_istream_t stream =
        pb_istream_from_buffer(reinterpret_cast<const pb_byte_t*>(bytes.data()), bytes.size());
    if (!wire::read_message(&stream, value)) {
        return fail(Code::kInvalid, "{}: not a valid message: {}", name, PB_GET_ERROR(&stream));
    }
    return value;
}

constexpr std::array<std::string_view, 9> kStateNames = {"unknown",  "pending", "starting",
                                                         "ready",    "unready", "draining",
                                                         "stopping", "exited",  "failed"};

constexpr std::array kCodes = {Code::kInvalid,     Code::kNotFound,    Code::kDenied,
                               Code::kConflict,    Code::kUnreachable, Code::kTimeout,
                               Code::kCancelled,   Code::kExhausted,   Code::kCorrupt,
                               Code::kUnsupported, Code::kIo,          Code::kInternal};

}  // namespace

std::string heartbeat_subject(std::string_view node) {
    return fmt::format("candela.nodes.{}.heartbeat", node);
}
std::string nudge_subject(std::string_view node) {
    return fmt::format("candela.nodes.{}.nudge", node);
}
std::string logs_subject(std::string_view space, std::string_view service,
                         std::string_view instance) {
    return fmt::format("candela.logs.{}.{}.{}", space, service, instance);
}

Failure::Failure(const Error& error)
    : code(candela::to_string(error.code())), message(error.message()) {}

Error Failure::to_error() const {
    for (const Code known : kCodes) {
        if (candela::to_string(known) == code) return Error(known, message);
    }
    return Error(Code::kInternal, message);
}

std::string_view to_string(InstanceState state) { return kStateNames[static_cast<size_t>(state)]; }

Result<InstanceState> parse_instance_state(std::string_view text) {
    for (size_t i = 0; i < kStateNames.size(); ++i) {
        if (kStateNames[i] == text) return static_cast<InstanceState>(i);
    }
    return fail(Code::kInvalid, "'{}' is not an instance's state", text);
}

std::string encode(const NodeHeartbeat& message) { return encode_value(message); }
std::string encode(const AssignmentsPull& message) { return encode_value(message); }
std::string encode(const Assignments& message) { return encode_value(message); }
std::string encode(const Nudge& message) { return encode_value(message); }
std::string encode(const RoutesPull& message) { return encode_value(message); }
std::string encode(const RouteTable& message) { return encode_value(message); }
std::string encode(const CertificatesPull& message) { return encode_value(message); }
std::string encode(const CertificateTable& message) { return encode_value(message); }
std::string encode(const BundleRead& message) { return encode_value(message); }
std::string encode(const BundleChunk& message) { return encode_value(message); }
std::string encode(const CredentialRequest& message) { return encode_value(message); }
std::string encode(const Credential& message) { return encode_value(message); }
std::string encode(const ValuesPull& message) { return encode_value(message); }
std::string encode(const ValueTable& message) { return encode_value(message); }
std::string encode(const LogBatch& message) { return encode_value(message); }
std::string encode(const LogAck& message) { return encode_value(message); }

Result<NodeHeartbeat> decode_node_heartbeat(std::string_view bytes) {
    return decode_value<NodeHeartbeat>("NodeHeartbeat", bytes);
}
Result<AssignmentsPull> decode_assignments_pull(std::string_view bytes) {
    return decode_value<AssignmentsPull>("AssignmentsPull", bytes);
}
Result<Assignments> decode_assignments(std::string_view bytes) {
    return decode_value<Assignments>("Assignments", bytes);
}
Result<Nudge> decode_nudge(std::string_view bytes) { return decode_value<Nudge>("Nudge", bytes); }
Result<RoutesPull> decode_routes_pull(std::string_view bytes) {
    return decode_value<RoutesPull>("RoutesPull", bytes);
}
Result<RouteTable> decode_route_table(std::string_view bytes) {
    return decode_value<RouteTable>("RouteTable", bytes);
}
Result<CertificatesPull> decode_certificates_pull(std::string_view bytes) {
    return decode_value<CertificatesPull>("CertificatesPull", bytes);
}
Result<CertificateTable> decode_certificate_table(std::string_view bytes) {
    return decode_value<CertificateTable>("CertificateTable", bytes);
}
Result<BundleRead> decode_bundle_read(std::string_view bytes) {
    return decode_value<BundleRead>("BundleRead", bytes);
}
Result<BundleChunk> decode_bundle_chunk(std::string_view bytes) {
    return decode_value<BundleChunk>("BundleChunk", bytes);
}
Result<CredentialRequest> decode_credential_request(std::string_view bytes) {
    return decode_value<CredentialRequest>("CredentialRequest", bytes);
}
Result<Credential> decode_credential(std::string_view bytes) {
    return decode_value<Credential>("Credential", bytes);
}
Result<ValuesPull> decode_values_pull(std::string_view bytes) {
    return decode_value<ValuesPull>("ValuesPull", bytes);
}
Result<ValueTable> decode_value_table(std::string_view bytes) {
    return decode_value<ValueTable>("ValueTable", bytes);
}
Result<LogBatch> decode_log_batch(std::string_view bytes) {
    return decode_value<LogBatch>("LogBatch", bytes);
}
Result<LogAck> decode_log_ack(std::string_view bytes) {
    return decode_value<LogAck>("LogAck", bytes);
}

}  // namespace candela::proto
