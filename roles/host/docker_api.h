#pragma once

// The API of an engine of containers (Docker Engine API, docs.docker.com/reference/api/engine;
// Podman's is compatible) over its unix socket, as far as a host needs it: one flow for each
// request. Lives on one loop. Errors carry the engine's own message: kUnreachable and kTimeout
// where it does not answer, kNotFound (404), kConflict (409), kInvalid (400), kDenied (401, 403),
// kInternal (500 and what else there is).

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "http/client.h"
#include "loop/flow.h"

namespace candela::host {

struct EngineInfo {
    std::string name;     // "Docker 20.10.24", "Podman 4.3.1"
    std::string version;  // of the API that we speak with it: "1.41"
    bool has_init = false;
    bool has_seccomp = false;
    bool has_memory = false, has_cpu = false, has_pids = false;  // limits
    std::string cgroup_version;                                  // "1", "2"

    friend bool operator==(const EngineInfo&, const EngineInfo&) = default;
};

struct ContainerState {
    std::string id;
    std::string status;  // created, running, paused, restarting, removing, exited, dead
    int pid = 0;         // of its first process, as this machine counts; 0 where it does not run
    int exit_code = 0;
    bool is_out_of_memory = false;
    std::string error;        // why it could not be started
    std::string stop_signal;  // as the image has it: "SIGTERM"
    std::string address;      // in its own network; empty: none
    uint64_t memory_limit_bytes = 0;

    bool is_running() const {
        return status == "running" || status == "paused" || status == "restarting";
    }
};

struct ContainerEntry {
    std::string id;
    std::string name;
    std::string instance;  // by its label
};

struct ContainerUsage {
    uint64_t memory_bytes = 0;  // without what the kernel could drop
    uint64_t cpu_ns = 0;        // since its start
};

// A program's input and output in a container, from where it began.
struct AttachedExec {
    StreamPtr stream;  // to be started
    std::string first_bytes;
};

struct ExecState {
    bool is_running = false;
    int exit_code = 0;
    int pid = 0;
};

class DockerApi {
public:
    DockerApi(Loop& loop, std::string socket);

    const std::string& socket() const { return socket_; }

    // Who is there; all other requests speak the API's version that it finds.
    Task<Result<EngineInfo>> probe();
    Task<Result<>> ping();

    // All that carry the label, running or not.
    Task<Result<std::vector<ContainerEntry>>> list(std::string label);
    // The new container's id.
    Task<Result<std::string>> create(std::string name, std::string body);
    Task<Result<>> start(std::string id);
    Task<Result<ContainerState>> inspect(std::string id);
    Task<Result<>> signal(std::string id, std::string signal);
    // With what it wrote, also where it runs. One that is gone already is no error.
    Task<Result<>> remove(std::string id);
    Task<Result<ContainerUsage>> usage(std::string id);
    // Its log from that time on, with times, as DockerLog reads it; with `follow` until it ends.
    Task<Result<http::ClientResponse>> logs(std::string id, uint64_t since_ns, bool follow);

    Task<Result<bool>> has_image(std::string image);
    // The answer is progress, for PullProgress. There may be a failure in it.
    Task<Result<http::ClientResponse>> pull(std::string image);

    Task<Result<std::string>> create_exec(std::string id, std::string body);
    // Its output, in frames (DockerFrames), until it ends.
    Task<Result<http::ClientResponse>> start_exec(std::string exec);
    // The same as a stream in both directions: of a terminal raw, otherwise what comes is in
    // frames, and the end of our direction is that of its input.
    Task<Result<AttachedExec>> attach_exec(std::string exec, bool has_terminal);
    Task<Result<>> resize_exec(std::string exec, uint16_t rows, uint16_t columns);
    Task<Result<ExecState>> inspect_exec(std::string exec);

    static constexpr Duration kAnswerTimeout = 10s;
    // An engine that has much to do takes its time to make and to remove.
    static constexpr Duration kWorkTimeout = 60s;
    // So long nothing may come of an answer that goes on; read_chunk() then fails with kTimeout and
    // may be called again.
    static constexpr Duration kSilence = 5s;
    static constexpr size_t kAnswerBytesMax = 4 << 20;
    // What we were written for; an engine may speak an older one down to kVersionMin, or only newer
    // ones.
    static constexpr std::string_view kVersionWanted = "1.41";
    static constexpr std::string_view kVersionMin = "1.30";

private:
    Task<Result<http::ClientResponse>> send(http::ClientRequest request);
    // The whole answer; an error where its status says so.
    Task<Result<std::string>> ask(std::string method, std::string target, std::string body,
                                  Duration timeout);
    Task<Result<Json>> ask_json(std::string method, std::string target, std::string body);
    Task<Result<http::ClientResponse>> stream(std::string method, std::string target,
                                              std::string body, Duration timeout);
    http::ClientRequest request(std::string method, std::string target, std::string body) const;

    Loop& loop_;
    std::string socket_;
    std::string prefix_;  // "/v1.41"
    http::Client client_;
};

// The older of two versions of the API, such as "1.9" of "1.9" and "1.41"; what is none is oldest.
bool is_older_version(std::string_view a, std::string_view b);
// The version to speak with an engine that has `min` to `max`. kUnsupported where there is none.
Result<std::string> choose_version(std::string_view min, std::string_view max);

// "nginx:1.27" into "nginx" and "1.27"; by a digest the second is "sha256:…". Without either it is
// "latest".
struct ImageName {
    std::string name;
    std::string tag;
};
ImageName split_image(std::string_view image);

// What a pull says of itself, a JSON object a line.
class PullProgress {
public:
    void feed(std::string_view bytes);
    // Absent where it went well.
    const std::string& failure() const { return failure_; }
    // "45 % of 62.1 MiB"; empty while nothing is known.
    std::string text() const;

    static constexpr size_t kLineBytesMax = 64 << 10;

private:
    void read_line(std::string_view line);
    struct Layer {
        uint64_t current = 0, total = 0;
    };
    std::string line_;
    std::string failure_;
    std::map<std::string, Layer, std::less<>> layers_;
};

}  // namespace candela::host
