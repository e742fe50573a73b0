#include "docker_container.h"

#include <algorithm>
#include <chrono>

#include <nlohmann/json.hpp>

namespace candela::host {

namespace {

Json mount(std::string_view source, std::string_view target) {
    return {{"Type", "bind"}, {"Source", source}, {"Target", target}, {"ReadOnly", true}};
}

// Its own network, of which one port is to be had on this machine's loopback and nowhere else; or
// the machine's.
void add_network(Json& body, Json& host, const ContainerWish& wish, uint16_t port) {
    if (wish.is_host_network) {
        host["NetworkMode"] = "host";
        return;
    }
    host["NetworkMode"] = "bridge";
    if (port == 0) return;
    const std::string inner = fmt::format("{}/tcp", wish.port != 0 ? wish.port : port);
    body["ExposedPorts"][inner] = Json::object();
    const Json outer = {{"HostIp", "127.0.0.1"}, {"HostPort", std::to_string(port)}};
    host["PortBindings"][inner] = Json::array({outer});
}

void add_limits(Json& host, const InstanceLimits& limits) {
    if (limits.memory_bytes != 0) {
        host["Memory"] = limits.memory_bytes;
        // With swap: none beside.
        host["MemorySwap"] = limits.memory_bytes;
    }
    constexpr uint64_t kNanosPerPercent = 10'000'000;
    if (limits.cpu_percent != 0) host["NanoCpus"] = limits.cpu_percent * kNanosPerPercent;
    if (limits.pids != 0) host["PidsLimit"] = limits.pids;
}

}  // namespace

std::string container_body(const StartRequest& request, const InstanceLimits& limits,
                           const EngineInfo& engine, std::string_view run_id) {
    const ContainerWish& wish = *request.container;
    Json body = {{"Image", wish.image}, {"Env", request.environment}, {"Tty", false}};
    if (!request.command.empty()) {
        // The command is what runs, and not what an image's entry point makes of it.
        body["Entrypoint"] = Json::array({request.command.front()});
        body["Cmd"] = std::vector<std::string>(request.command.begin() + 1, request.command.end());
        body["WorkingDir"] = ContainerWish::kBundleFolder;
    }
    if (!wish.user.empty()) body["User"] = wish.user;
    const auto grace = std::chrono::ceil<std::chrono::seconds>(request.grace).count();
    body["StopTimeout"] = std::max<int64_t>(1, grace);
    // We probe ourselves.
    body["Healthcheck"]["Test"] = Json::array({"NONE"});
    body["Labels"] = wish.labels;
    body["Labels"][kRunLabel] = run_id;
    body["Labels"][kInstanceLabel] = request.instance;

    Json host = {{"ReadonlyRootfs", !wish.is_writable},
                 {"CapDrop", Json::array({"ALL"})},
                 {"SecurityOpt", Json::array({"no-new-privileges"})},
                 {"Privileged", false},
                 {"IpcMode", "private"},
                 {"RestartPolicy", {{"Name", "no"}}}};
    // Something that reaps, and that hands signals on to programs that would not hear them as the
    // first process.
    if (engine.has_init) host["Init"] = true;
    host["Tmpfs"][std::string(kContainerTemporary)] =
        fmt::format("rw,exec,nosuid,nodev,mode=1777,size={}", limits.scratch_bytes);
    host["Mounts"] =
        Json::array({mount(wish.bundle_folder, ContainerWish::kBundleFolder),
                     mount(wish.credentials_folder, ContainerWish::kCredentialsFolder)});
    if (!wish.values_folder.empty())
        host["Mounts"].push_back(mount(wish.values_folder, ContainerWish::kValuesFolder));
    host["LogConfig"] = {
        {"Type", "json-file"},
        {"Config", {{"max-size", kContainerLogFileSize}, {"max-file", kContainerLogFiles}}}};
    add_limits(host, limits);
    add_network(body, host, wish, request.port);
    body["HostConfig"] = std::move(host);
    return dump_json(body);
}

std::string exec_body(const StartRequest& request, ExecKind kind) {
    const Json body = {{"AttachStdin", kind != ExecKind::kProbe},
                       {"AttachStdout", true},
                       {"AttachStderr", true},
                       {"Tty", kind == ExecKind::kTerminal},
                       {"Cmd", request.command},
                       {"Env", request.environment},
                       {"WorkingDir", ContainerWish::kBundleFolder}};
    return dump_json(body);
}

std::string_view container_level(const EngineInfo& engine) {
    if (!engine.has_seccomp) return "none";
    return engine.has_memory && engine.has_cpu && engine.has_pids ? "strict" : "isolated";
}

}  // namespace candela::host
