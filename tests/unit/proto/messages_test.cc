#include "proto/messages.h"

#include "proto/log_entries.h"

#include <catch2/catch_test_macros.hpp>

#include "base/random.h"

namespace candela::proto {
namespace {

NodeHeartbeat full_heartbeat() {
    InstanceStatus status;
    status.instance = "hello-3f9k2m1x";
    status.state = InstanceState::kFailed;
    status.port = 41234;
    status.pid = 77;
    status.restarts = 3;
    status.last_exit = "signal 9 (SIGKILL)";
    status.cause = "the probe never passed";
    status.probe_answer = "HTTP 503";
    status.log_tail = {"first", std::string("\xff\0binary", 8), ""};
    status.exit_code = -1;
    status.started_at = 1790000000123;
    status.memory_bytes = 1ULL << 40;
    status.epoch = 9;
    NodeHeartbeat beat;
    beat.node = "alpha";
    beat.boot_id = "b1";
    beat.version = "0.1.0";
    beat.roles = {"gateway", "host"};
    beat.machine_id = "m";
    beat.address = "127.0.0.1";
    beat.sequence = UINT64_MAX;
    beat.draining = true;
    beat.labels = {"disk=ssd", "gpu="};
    beat.routes_version = 12;
    beat.busy_instances = {"a-1", "a-2"};
    beat.answers = {AnswerReading("default", "web", 7, 2, 100, 3,
                                  {LatencyCount(0, 90), LatencyCount(73, UINT64_MAX)}),
                    AnswerReading()};
    beat.assignments_version = 13;
    beat.instances_max = 100;
    beat.instances = {status, InstanceStatus()};
    beat.instances_complete = true;
    beat.memory_bytes = 5;
    beat.cpus = 2;
    beat.load_percent = 50;
    beat.protections = {Protection{"seccomp", true, "a list"}, Protection()};
    beat.trouble = "the disk is full";
    beat.drivers = {HostDriver{"docker", true, "Docker 20.10", "strict"}, HostDriver()};
    beat.sandbox_level = "isolated";
    beat.cpu_millis_max = 1500;
    beat.memory_bytes_max = 1ULL << 41;
    beat.ports_max = 8000;
    return beat;
}

InstanceSpec full_spec() {
    InstanceSpec spec;
    spec.instance = "hello-1";
    spec.space = "default";
    spec.service = "hello";
    spec.release = 4;
    spec.kind = "http";
    spec.sandbox_level = "strict";
    spec.memory_bytes_max = 1ULL << 33;
    spec.cpu_percent_max = 150;
    spec.pids_max = 64;
    spec.scratch_bytes_max = 5;
    spec.has_no_network = true;
    spec.container = ContainerSpec{"nginx:1.27", true, 80, "1000", true};
    spec.values.push_back(ValueUse("secret", "key", 3, "", "tls.key", 0400, "SIGHUP"));
    spec.values.push_back(ValueUse("config", "limits", 1, "LIMITS", "", 0, ""));
    spec.command = {"node", "", "server.js"};
    spec.env.push_back(EnvironmentVariable("GREETING", "hi"));
    spec.probe.kind = ProbeKind::kHttp;
    spec.probe.path = "/healthz";
    spec.probe.command = {"true"};
    spec.probe.interval_ms = 1000;
    spec.probe.timeout_ms = 500;
    spec.probe.start_timeout_ms = 30000;
    spec.stop_grace_ms = 10000;
    spec.bundle = std::string(64, 'a');
    spec.bundle_bytes = 1234;
    spec.signature = "sig";
    spec.signer = "UA";
    spec.desired = Desired::kStop;
    spec.epoch = 2;
    spec.draining = true;
    spec.root = "public";
    spec.memory_bytes_max = 1ULL << 33;
    spec.cpu_percent_max = 250;
    spec.pids_max = 100;
    spec.scratch_bytes_max = 1ULL << 20;
    return spec;
}

TEST_CASE("every_message_comes_back_as_it_was") {
    CHECK(decode_node_heartbeat(encode(full_heartbeat())) == full_heartbeat());

    const AssignmentsPull pull("alpha", 7, "b");
    CHECK(decode_assignments_pull(encode(pull)) == pull);

    Assignments assignments;
    assignments.version = 8;
    assignments.epoch = 2;
    assignments.instances = {full_spec(), InstanceSpec()};
    assignments.failure = Failure("denied", "not yours");
    CHECK(decode_assignments(encode(assignments)) == assignments);

    const ValuesPull values_pull("node-1", "hello-1", std::string("\0\xff", 2));
    CHECK(decode_values_pull(encode(values_pull)) == values_pull);
    ValueTable values;
    values.values.push_back(ValueContent("secret", "key", 3, std::string("\0\x01", 2)));
    values.failure = Failure("denied", "not yours");
    CHECK(decode_value_table(encode(values)) == values);

    const Nudge nudge(99);
    CHECK(decode_nudge(encode(nudge)) == nudge);
    const RoutesPull routes_pull("g", 1, "b");
    CHECK(decode_routes_pull(encode(routes_pull)) == routes_pull);

    RouteTable table;
    table.version = 3;
    RouteService service;
    service.space = "default";
    service.service = "hello";
    service.kind = "http";
    service.routes = {Route("hello.localhost", "/"), Route("", "/api")};
    service.endpoints = {Endpoint("i", "n", "m", "10.0.0.1", 80, EndpointState::kSuspect, 4,
                                  EndpointProtocol::kH2c, true, 40, ProxyHeader::kV2)};
    service.hold_requests_max = 10;
    service.hold_ms_max = 30000;
    service.error_pages = {ErrorPage("502", "<p>"), ErrorPage("4xx", "")};
    service.is_in_maintenance = true;
    service.maintenance_allow = {"10.0.0.0/8"};
    service.maintenance_retry_ms = 60000;
    service.measure = UINT64_MAX;
    table.purges = {CachePurge(1, "default", "hello", "h", "/a", true)};
    table.services = {service, RouteService()};
    CHECK(decode_route_table(encode(table)) == table);
    const CertificatesPull certificates_pull("gw", "boot", 7, 6, std::string(32, '\xff'), "a");
    CHECK(decode_certificates_pull(encode(certificates_pull)) == certificates_pull);
    CertificateTable certificates;
    certificates.version = 7;
    certificates.epoch = 2;
    certificates.certificates_version = 6;
    certificates.certificates = {Certificate("a", "chain", std::string("\0key", 4))};
    certificates.has_more = true;
    certificates.challenges = {Challenge("a", "token", "token.print")};
    certificates.ticket_keys = {TicketKey("name", std::string("\0secret", 7), 1, 1ULL << 42)};
    CHECK(decode_certificate_table(encode(certificates)) == certificates);

    const BundleRead read(std::string(64, '0'), 1ULL << 33, 4096);
    CHECK(decode_bundle_read(encode(read)) == read);
    BundleChunk chunk;
    chunk.total_bytes = 10;
    chunk.offset = 3;
    chunk.data = std::string(kBundleReadBytesMax, '\0');
    CHECK(decode_bundle_chunk(encode(chunk)) == chunk);
    const CredentialRequest request("n", "i", "s", "UKEY");
    CHECK(decode_credential_request(encode(request)) == request);
    Credential credential;
    credential.jwt = "a.b.c";
    credential.expires_at = 5;
    CHECK(decode_credential(encode(credential)) == credential);

    LogBatch batch;
    batch.node = "n";
    batch.entries = {LogEntry(5, LogStream::kStderr, "line", LineLevel::kWarn, "abc"), LogEntry()};
    batch.source = "s";
    batch.first = 7;
    CHECK(decode_log_batch(encode(batch)) == batch);
    // What is known only when it is sent follows what was encoded before.
    LogBatch late;
    late.previous = 6;
    late.acked = 5;
    const auto joined = decode_log_batch(encode(batch) + encode(late));
    batch.previous = 6;
    batch.acked = 5;
    CHECK(joined == batch);
    CHECK(decode_log_ack(encode(LogAck("s", 9, true))) == LogAck("s", 9, true));
}

TEST_CASE("entries_that_are_added_one_by_one_are_those_of_a_batch") {
    LogBatch batch;
    batch.node = "n";
    std::string bytes = encode(batch);
    const std::string long_text(300, 'x');
    for (const auto& entry :
         {LogEntry(1'700'000'000'123, LogStream::kAccess, "line", LineLevel::kFatal, "abc"),
          LogEntry(0, LogStream::kStdout, "", LineLevel::kUnknown, ""),
          LogEntry(5, LogStream::kHost, long_text, LineLevel::kUnknown,
                   long_text.substr(0, 200))}) {
        append_log_entry(entry.time, entry.stream, entry.text, entry.level, entry.trace_id, bytes);
        batch.entries.push_back(entry);
    }
    CHECK(decode_log_batch(bytes) == batch);
    append_log_entry(1, LogStream::kStdout, std::string(kTextBytesMax + 1, 'y'),
                     LineLevel::kUnknown, std::string(kNameBytesMax + 1, 'z'), bytes);
    const auto cut = decode_log_batch(bytes);
    REQUIRE(cut);
    CHECK(cut->entries.back().text.size() == kTextBytesMax);
}

TEST_CASE("usage_comes_through_a_heartbeat") {
    Usage usage;
    usage.known = kUsageCpu | kUsageIo;
    usage.cpu_micros = 1;
    usage.memory_bytes = 2;
    usage.io_read_bytes = 3;
    usage.io_write_bytes = 4;
    usage.net_in_bytes = 5;
    usage.net_out_bytes = 6;
    usage.processes = 7;
    usage.cpu_pressure = 8;
    usage.memory_pressure = 9;
    usage.io_pressure = 10;
    NodeHeartbeat beat;
    beat.usage = usage;
    beat.instances.emplace_back().usage = usage;
    CHECK(decode_node_heartbeat(encode(beat)) == beat);
}

TEST_CASE("an_empty_message_is_all_defaults") {
    CHECK(decode_node_heartbeat("") == NodeHeartbeat());
    CHECK(encode(NodeHeartbeat()).empty());
}

TEST_CASE("unknown_fields_and_states_of_a_newer_node_are_tolerated") {
    // Field 1000, length-delimited; then field 2 (version) of the Nudge's sibling as known.
    const std::string unknown("\xc2\x3e\x03xyz", 6);
    CHECK(decode_nudge(unknown + encode(Nudge(5))) == Nudge(5));
    // InstanceStatus.state = 77 becomes unknown, in a heartbeat with that instance (field 26).
    const std::string beat("\xd2\x01\x02\x10\x4d", 5);
    const auto decoded = decode_node_heartbeat(beat);
    REQUIRE(decoded);
    REQUIRE(decoded->instances.size() == 1);
    CHECK(decoded->instances[0].state == InstanceState::kUnknown);
}

TEST_CASE("limits_are_met_with_an_error") {
    NodeHeartbeat beat;
    beat.node = std::string(kNameBytesMax, 'n');
    CHECK(decode_node_heartbeat(encode(beat)));
    beat.node += "n";
    CHECK(decode_node_heartbeat(encode(beat)).error().code() == Code::kInvalid);

    beat.node = "n";
    beat.instances.resize(kInstancesMax);
    CHECK(decode_node_heartbeat(encode(beat)));
    beat.instances.resize(kInstancesMax + 1);
    CHECK_FALSE(decode_node_heartbeat(encode(beat)));

    beat.instances.resize(1);
    beat.instances[0].log_tail.resize(kLogTailMax + 1);
    CHECK_FALSE(decode_node_heartbeat(encode(beat)));

    BundleChunk chunk;
    chunk.data = std::string(kBundleReadBytesMax + 1, 'x');
    CHECK_FALSE(decode_bundle_chunk(encode(chunk)));
    CHECK_FALSE(decode_nudge(std::string(kMessageBytesMax + 1, '\0')));
}

TEST_CASE("cut_and_changed_messages_never_do_harm") {
    const std::string whole = encode(full_heartbeat());
    for (size_t size = 0; size < whole.size(); ++size) {
        (void)decode_node_heartbeat(std::string_view(whole).substr(0, size));
    }
    SeededRandom random(20260921);
    for (int round = 0; round < 20000; ++round) {
        std::string bytes = whole;
        for (int i = 0; i < 3; ++i) {
            bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
        }
        if (auto beat = decode_node_heartbeat(bytes)) {
            // What was understood can be said again.
            CHECK(decode_node_heartbeat(encode(*beat)) == *beat);
        }
        (void)decode_assignments(bytes);
        (void)decode_route_table(bytes);
        (void)decode_log_batch(bytes);
    }
}

TEST_CASE("a_failure_carries_an_error_across") {
    const Failure failure(Error(Code::kExhausted, "full"));
    CHECK(failure.to_error().code() == Code::kExhausted);
    CHECK(failure.to_error().message() == "full");
    CHECK(Failure("from_the_future", "x").to_error().code() == Code::kInternal);
    CHECK_FALSE(Failure());
}

TEST_CASE("instance_states_have_names") {
    for (int i = 0; i <= static_cast<int>(InstanceState::kFailed); ++i) {
        const auto state = static_cast<InstanceState>(i);
        CHECK(parse_instance_state(to_string(state)) == state);
    }
    CHECK_FALSE(parse_instance_state("dancing"));
}

}  // namespace
}  // namespace candela::proto
