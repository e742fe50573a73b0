#pragma once

// A Manifest is what service.toml says: what a service is, how it is started, probed, stopped,
// updated and routed. It is a value. Text (TOML) and JSON (the API, the database) are two spellings
// of it with the same keys and one validation, so what one accepts the other does.
// docs/service-toml.md says what each key means to its user.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"
#include "http/proxy_protocol.h"
#include "service/job_spec.h"
#include "service/placement.h"
#include "service/route.h"
#include "service/value_use.h"

namespace candela::service {

enum class Kind : uint8_t {
    kHttp,    // listens on $PORT; routes lead to it
    kBus,     // talks over the bus only
    kJob,     // runs to its end; exit status 0 is success
    kStatic,  // files of its bundle, served by candela itself
};

std::string_view to_string(Kind kind);
Result<Kind> parse_kind(std::string_view text);

// What an http service speaks on $PORT.
enum class Protocol : uint8_t {
    kHttp1,
    kH2c,  // HTTP/2 without TLS, by prior knowledge, as gRPC servers do
};

std::string_view to_string(Protocol protocol);
Result<Protocol> parse_protocol(std::string_view text);

// How the host finds out that an instance is ready and well. Of path, tcp and exec at most one is
// set. Absent: http and static services are probed by tcp on $PORT; bus services and jobs are ready
// once they run.
struct Probe {
    enum class Type : uint8_t { kNone, kHttp, kTcp, kExec };

    Type type = Type::kNone;
    std::string path;               // kHttp: GET; 200 to 399 is well
    std::vector<std::string> exec;  // kExec: run in the bundle's folder; exit status 0 is well
    Duration interval = 1s;
    Duration timeout = 500ms;      // of one probe
    Duration start_timeout = 30s;  // from the start until the first success

    friend bool operator==(const Probe&, const Probe&) = default;
};

struct Stop {
    Duration grace = 10s;  // from SIGTERM to SIGKILL

    friend bool operator==(const Stop&, const Stop&) = default;
};

// What runs its instances.
enum class Driver : uint8_t {
    kProcess,  // the host itself
    kDocker,   // an engine that speaks Docker's API: Docker, Podman
};

std::string_view to_string(Driver driver);

// Of an instance that runs in a container.
struct Container {
    std::string image;             // required; with a tag or digest, as docker pull takes it
    bool is_host_network = false;  // the machine's network; otherwise one of its own
    uint16_t port = 0;             // where it listens in its own network; 0: on $PORT
    std::string user;              // "1000", "www-data:www-data"; empty: the image's
    bool is_writable = false;      // its root, in a layer that is gone with it

    friend bool operator==(const Container&, const Container&) = default;
};

// The walls that a host must be able to build around it (docs/host.md).
enum class SandboxLevel : uint8_t { kNone, kIsolated, kStrict };

// What one instance may take; 0 is what the host gives everyone.
struct Limits {
    uint64_t memory_bytes = 0;
    uint32_t cpu_percent = 0;  // of one core
    uint32_t pids = 0;         // processes and threads
    uint64_t scratch_bytes = 0;

    friend bool operator==(const Limits&, const Limits&) = default;
};

enum class UpdateStrategy : uint8_t {
    kRolling,    // a few instances at a time
    kBlueGreen,  // all of the new beside the old; then requests go to the new ones only
    kCanary,     // a few of the new beside all of the old; then as rolling
};
std::string_view to_string(UpdateStrategy strategy);

// A canary is judged by what gateways see of its answers, against those of the release that serves
// at the same time. Rates are in 1/100 percent.
inline constexpr uint32_t kWholeRate = 10'000;
struct UpdateAnalysis {
    uint32_t requests_min = 100;              // of each of the two, before anything is concluded
    uint32_t error_rate_max = kWholeRate;     // kWholeRate: any
    uint32_t error_rate_above_old_max = 100;  // likewise
    Duration p99_max{};                       // 0: any
    uint32_t p99_above_old_max = 100;         // percent; 0: any
    Duration timeout = 1h;                    // then it is rolled back, however few requests came

    friend bool operator==(const UpdateAnalysis&, const UpdateAnalysis&) = default;
};

// A canary, or green, is promoted by hand or once it has been well for `promote_after`.
inline constexpr Duration kCanaryPromoteAfter = 5min;

struct Update {
    UpdateStrategy strategy = UpdateStrategy::kRolling;
    uint32_t canary_percent = 10;  // of the instances; at least one
    uint32_t canary_weight = 0;    // percent of the requests; 0: by the number of instances
    bool is_promoted_by_hand = false;
    Duration promote_after{};
    std::optional<UpdateAnalysis> analysis;  // only of a canary of a kHttp or kStatic
    uint32_t max_surge = 1;                  // instances beyond the wanted number while updating
    uint32_t max_unavailable = 0;  // instances that may be missing; both 0 would never move

    friend bool operator==(const Update&, const Update&) = default;
};

// While `candela ctl maintenance NAME on` holds.
struct Maintenance {
    std::vector<std::string> allow;  // networks whose requests are served all the same
    Duration retry_after = 1min;     // what the others are told

    friend bool operator==(const Maintenance&, const Maintenance&) = default;
};

struct Manifest {
    std::string name;  // [a-z][a-z0-9-]{0,62}
    Kind kind = Kind::kHttp;
    // argv; required but for kStatic, where it is refused, and kDocker, where the image has one
    std::vector<std::string> command;
    Driver driver = Driver::kProcess;
    Container container;                   // only of kDocker
    std::string root = ".";                // kStatic: the folder in the bundle that is served
    Protocol protocol = Protocol::kHttp1;  // other ones only of kHttp
    // What each connection of a gateway begins with; only of kHttp with Protocol::kHttp1.
    http::ProxyVersion proxy_protocol = http::ProxyVersion::kNone;
    uint32_t instances = 1;                  // 0 to kInstancesMax
    std::map<std::string, std::string> env;  // PORT, HOST and CANDELA_* belong to the host
    Probe probe;
    Stop stop;
    SandboxLevel sandbox = SandboxLevel::kNone;
    bool has_network = true;  // false: a loopback of its own, over which it is served
    Limits limits;
    Update update;
    // Pages for answers of the gateway's own, by status ("502", "4xx"): files of the bundle, and
    // what is in them, which `candela ctl deploy` fills in.
    std::map<std::string, std::string> errors;
    std::map<std::string, std::string> error_pages;
    Maintenance maintenance;
    Resources resources;
    Placement placement;
    std::vector<Job> jobs;
    std::vector<ValueUse> values;  // secrets, then config
    std::vector<Route> routes;     // only of kHttp, kStatic, and kBus (NATS micro over HTTP)

    friend bool operator==(const Manifest&, const Manifest&) = default;
};

// Limits, each with a test that meets it.
inline constexpr size_t kManifestSizeMax = 256 * 1024;  // bytes of service.toml
inline constexpr uint32_t kInstancesMax = 1000;
inline constexpr size_t kCommandArgumentsMax = 256;
inline constexpr size_t kCommandLengthMax = 64 * 1024;  // bytes of all arguments together
inline constexpr size_t kEnvironmentMax = 256;          // variables
inline constexpr size_t kEnvironmentLengthMax = 128 * 1024;
inline constexpr size_t kRoutesMax = 64;
inline constexpr size_t kErrorPagesMax = 32;
inline constexpr size_t kErrorPageBytesMax = 16 * 1024;   // of one
inline constexpr size_t kErrorPagesBytesMax = 48 * 1024;  // of all: gateways keep them in memory
inline constexpr size_t kAllowedNetworksMax = 64;
inline constexpr size_t kImageLengthMax = 512;
inline constexpr Duration kProbeIntervalMin = 10ms;
inline constexpr Duration kDurationMax = 24h;

// The name that a service, and a space, may have.
bool is_valid_name(std::string_view name);

std::string_view to_string(SandboxLevel level);

// Reads service.toml. The error's message has one line for each mistake, in the order of the file:
// "<file_name>:<line>:<column>: <what is wrong>, <the nearest valid key or value>".
Result<Manifest> parse_manifest(std::string_view toml, std::string_view file_name = "service.toml");

// Keys without a value are left out, durations are text ("1s"); manifest_from_json(to_json(m)) ==
// m.
Json to_json(const Manifest& manifest);
// The error's message has one line for each mistake: "<key path>: <what is wrong>". Unknown keys
// are mistakes here too; absent ones have their defaults.
Result<Manifest> manifest_from_json(const Json& json);

}  // namespace candela::service
