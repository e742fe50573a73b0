#include "docker_api.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "http/target.h"
#include "http/upgrade_call.h"

namespace candela::host {

namespace {

constexpr std::string_view kJsonType = "application/json";

Code code_of(int status) {
    switch (status) {
        case 400: return Code::kInvalid;
        case 401:
        case 403: return Code::kDenied;
        case 404: return Code::kNotFound;
        case 409: return Code::kConflict;
        default: return Code::kInternal;
    }
}

// {"message": "No such image: nginx:1.27"}
Error engine_error(int status, const std::string& body) {
    const auto json = parse_json(body);
    std::string message = json ? json_string_or(*json, "message") : std::string();
    if (message.empty()) message = fmt::format("HTTP {}", status);
    return Error(code_of(status), fmt::format("docker: {}", printable(message, 1000)));
}

const Json& member(const Json& object, std::string_view key) {
    static const Json nothing;
    if (!object.is_object()) return nothing;
    const auto found = object.find(key);
    return found == object.end() ? nothing : *found;
}

uint64_t count_or_zero(const Json& object, std::string_view key) {
    return static_cast<uint64_t>(std::max<int64_t>(0, json_int_or(object, key, 0)));
}

std::string path_of(std::string_view kind, std::string_view id, std::string_view rest) {
    return fmt::format("/{}/{}{}", kind, http::percent_encode(id), rest);
}

// {major, minor}; what is none is {0, 0}.
std::pair<uint64_t, uint64_t> parse_version(std::string_view text) {
    const auto parts = split_once(text, '.');
    if (!parts) return {0, 0};
    return {parse_uint(parts->first).value_or(0), parse_uint(parts->second).value_or(0)};
}

}  // namespace

bool is_older_version(std::string_view a, std::string_view b) {
    return parse_version(a) < parse_version(b);
}

Result<std::string> choose_version(std::string_view min, std::string_view max) {
    std::string_view chosen = DockerApi::kVersionWanted;
    if (is_older_version(max, chosen)) chosen = max;
    if (is_older_version(chosen, min)) chosen = min;
    if (is_older_version(chosen, DockerApi::kVersionMin)) {
        return fail(Code::kUnsupported,
                    "the engine speaks version {} of the API; at least {} is needed",
                    printable(chosen, 20), DockerApi::kVersionMin);
    }
    return std::string(chosen);
}

ImageName split_image(std::string_view image) {
    if (const auto digest = split_once(image, '@')) {
        // "name:tag@digest": the digest counts.
        const ImageName name = split_image(digest->first);
        return {name.name, std::string(digest->second)};
    }
    // The last colon is the tag's, unless it is that of a registry's port.
    const size_t colon = image.rfind(':');
    const size_t slash = image.rfind('/');
    if (colon == std::string_view::npos || (slash != std::string_view::npos && slash > colon))
        return {std::string(image), "latest"};
    return {std::string(image.substr(0, colon)), std::string(image.substr(colon + 1))};
}

DockerApi::DockerApi(Loop& loop, std::string socket)
    : loop_(loop), socket_(std::move(socket)), client_(loop, http::ClientOptions()) {}

http::ClientRequest DockerApi::request(std::string method, std::string target,
                                       std::string body) const {
    http::ClientRequest request;
    request.address = Address::unix_socket(socket_);
    request.host = "docker";
    request.method = std::move(method);
    request.target = prefix_ + target;
    request.connect_timeout = kAnswerTimeout;
    request.first_byte_timeout = kAnswerTimeout;
    request.idle_timeout = kAnswerTimeout;
    if (!body.empty()) request.headers.add("Content-Type", kJsonType);
    request.body = std::move(body);
    return request;
}

Task<Result<http::ClientResponse>> DockerApi::send(http::ClientRequest request) {
    auto response = co_await client_.send(std::move(request));
    if (!response) {
        // A socket that is not there is an engine that is not there, and nothing that it has lost.
        const bool is_late = response.error().code() == Code::kTimeout;
        const Error away(is_late ? Code::kTimeout : Code::kUnreachable, response.error().message(),
                         response.error().system_errno());
        co_return fail(away.in("docker"));
    }
    if (response->status() < 400) co_return std::move(*response);
    const int status = response->status();
    auto body = co_await response->read_all(kAnswerBytesMax);
    co_return fail(engine_error(status, body.value_or(std::string())));
}

Task<Result<std::string>> DockerApi::ask(std::string method, std::string target, std::string body,
                                         Duration timeout) {
    auto asked = request(std::move(method), std::move(target), std::move(body));
    asked.first_byte_timeout = timeout;
    auto response = co_await send(std::move(asked));
    if (!response) co_return fail(std::move(response).error());
    auto answer = co_await response->read_all(kAnswerBytesMax);
    if (!answer) co_return fail(answer.error().in("docker"));
    co_return std::move(*answer);
}

Task<Result<Json>> DockerApi::ask_json(std::string method, std::string target, std::string body) {
    auto answer = co_await ask(std::move(method), std::move(target), std::move(body), kWorkTimeout);
    if (!answer) co_return fail(std::move(answer).error());
    auto json = parse_json(*answer);
    if (!json) co_return fail(json.error().in("docker: the answer is not JSON"));
    co_return std::move(*json);
}

Task<Result<http::ClientResponse>> DockerApi::stream(std::string method, std::string target,
                                                     std::string body, Duration timeout) {
    auto asked = request(std::move(method), std::move(target), std::move(body));
    asked.first_byte_timeout = timeout;
    asked.idle_timeout = kSilence;
    auto response = co_await send(std::move(asked));
    co_return std::move(response);
}

Task<Result<EngineInfo>> DockerApi::probe() {
    prefix_.clear();
    auto version = co_await ask_json("GET", "/version", "");
    if (!version) co_return fail(std::move(version).error());
    EngineInfo info;
    info.name = "Docker " + printable(json_string_or(*version, "Version"), 40);
    for (const Json& part : member(*version, "Components")) {
        const std::string name = json_string_or(part, "Name");
        if (name == "docker-init") info.has_init = true;
        if (name.starts_with("Podman"))
            info.name = "Podman " + printable(json_string_or(part, "Version"), 40);
    }
    const std::string min = json_string_or(*version, "MinAPIVersion", "1.12");
    auto chosen = choose_version(min, json_string_or(*version, "ApiVersion"));
    if (!chosen) co_return fail(std::move(chosen).error());
    info.version = std::move(*chosen);
    prefix_ = "/v" + info.version;

    auto about = co_await ask_json("GET", "/info", "");
    if (!about) co_return fail(std::move(about).error());
    for (const Json& option : member(*about, "SecurityOptions")) {
        const std::string text = option.is_string() ? option.get<std::string>() : std::string();
        if (text.starts_with("name=seccomp") && !text.ends_with("profile=unconfined"))
            info.has_seccomp = true;
    }
    info.has_memory = json_bool_or(*about, "MemoryLimit", false);
    info.has_cpu = json_bool_or(*about, "CpuCfsQuota", false);
    info.has_pids = json_bool_or(*about, "PidsLimit", false);
    info.cgroup_version = printable(json_string_or(*about, "CgroupVersion", "1"), 10);
    co_return std::move(info);
}

Task<Result<>> DockerApi::ping() {
    auto answer = co_await ask("GET", "/_ping", "", kAnswerTimeout);
    if (!answer) co_return fail(std::move(answer).error());
    co_return Result<>();
}

Task<Result<std::vector<ContainerEntry>>> DockerApi::list(std::string label) {
    const Json filters = {{"label", {label}}};
    const std::string target =
        "/containers/json?all=1&filters=" + http::percent_encode(dump_json(filters));
    auto answer = co_await ask_json("GET", target, "");
    if (!answer) co_return fail(std::move(answer).error());
    std::vector<ContainerEntry> entries;
    for (const Json& item : *answer) {
        ContainerEntry entry;
        entry.id = json_string_or(item, "Id");
        entry.instance = json_string_or(member(item, "Labels"), "candela.instance");
        for (const Json& name : member(item, "Names")) {
            if (!name.is_string()) continue;
            entry.name = name.get<std::string>();
            if (entry.name.starts_with('/')) entry.name.erase(0, 1);
        }
        if (!entry.id.empty()) entries.push_back(std::move(entry));
    }
    co_return std::move(entries);
}

Task<Result<std::string>> DockerApi::create(std::string name, std::string body) {
    auto answer = co_await ask_json("POST", "/containers/create?name=" + http::percent_encode(name),
                                    std::move(body));
    if (!answer) co_return fail(std::move(answer).error());
    co_return json_string(*answer, "Id").in("docker");
}

Task<Result<>> DockerApi::start(std::string id) {
    auto answer = co_await ask("POST", path_of("containers", id, "/start"), "", kWorkTimeout);
    if (!answer) co_return fail(std::move(answer).error());
    co_return Result<>();
}

Task<Result<ContainerState>> DockerApi::inspect(std::string id) {
    auto answer = co_await ask_json("GET", path_of("containers", id, "/json"), "");
    if (!answer) co_return fail(std::move(answer).error());
    const Json& said = member(*answer, "State");
    ContainerState state;
    state.id = json_string_or(*answer, "Id");
    state.status = json_string_or(said, "Status");
    if (state.status.empty())
        co_return fail(Code::kCorrupt, "docker: the engine does not say how the container is");
    state.pid = static_cast<int>(json_int_or(said, "Pid", 0));
    state.exit_code = static_cast<int>(json_int_or(said, "ExitCode", 0));
    state.is_out_of_memory = json_bool_or(said, "OOMKilled", false);
    state.error = json_string_or(said, "Error");
    state.stop_signal = json_string_or(member(*answer, "Config"), "StopSignal", "SIGTERM");
    state.memory_limit_bytes = count_or_zero(member(*answer, "HostConfig"), "Memory");
    const Json& network = member(*answer, "NetworkSettings");
    state.address = json_string_or(network, "IPAddress");
    for (const Json& each : member(network, "Networks")) {
        if (state.address.empty()) state.address = json_string_or(each, "IPAddress");
    }
    co_return std::move(state);
}

Task<Result<>> DockerApi::signal(std::string id, std::string signal) {
    const std::string rest = "/kill?signal=" + http::percent_encode(signal);
    auto answer = co_await ask("POST", path_of("containers", id, rest), "", kAnswerTimeout);
    if (!answer) co_return fail(std::move(answer).error());
    co_return Result<>();
}

Task<Result<>> DockerApi::remove(std::string id) {
    auto answer =
        co_await ask("DELETE", path_of("containers", id, "?force=1&v=1"), "", kWorkTimeout);
    if (!answer && answer.error().code() != Code::kNotFound) co_return fail(answer.error());
    co_return Result<>();
}

Task<Result<ContainerUsage>> DockerApi::usage(std::string id) {
    auto answer = co_await ask_json(
        "GET", path_of("containers", id, "/stats?stream=false&one-shot=true"), "");
    if (!answer) co_return fail(std::move(answer).error());
    ContainerUsage usage;
    const Json& memory = member(*answer, "memory_stats");
    const Json& parts = member(memory, "stats");
    // As `docker stats` counts: pages of files that nobody looked at lately are not in use. Their
    // name is that of cgroup v1 or of v2.
    uint64_t idle = count_or_zero(parts, "total_inactive_file");
    if (idle == 0) idle = count_or_zero(parts, "inactive_file");
    const uint64_t all = count_or_zero(memory, "usage");
    usage.memory_bytes = all > idle ? all - idle : all;
    usage.cpu_ns = count_or_zero(member(member(*answer, "cpu_stats"), "cpu_usage"), "total_usage");
    co_return usage;
}

Task<Result<http::ClientResponse>> DockerApi::logs(std::string id, uint64_t since_ns, bool follow) {
    constexpr uint64_t kSecond = 1'000'000'000;
    const std::string rest =
        fmt::format("/logs?stdout=1&stderr=1&timestamps=1&follow={}&since={}.{:09}", follow ? 1 : 0,
                    since_ns / kSecond, since_ns % kSecond);
    auto response = co_await stream("GET", path_of("containers", id, rest), "", kWorkTimeout);
    co_return std::move(response);
}

Task<Result<bool>> DockerApi::has_image(std::string image) {
    // Names of images are checked, and stand in the path as they are: with their slashes.
    auto answer = co_await ask("GET", fmt::format("/images/{}/json", image), "", kAnswerTimeout);
    if (answer) co_return true;
    if (answer.error().code() == Code::kNotFound) co_return false;
    co_return fail(answer.error());
}

Task<Result<http::ClientResponse>> DockerApi::pull(std::string image) {
    const ImageName name = split_image(image);
    const std::string target =
        fmt::format("/images/create?fromImage={}&tag={}", http::percent_encode(name.name),
                    http::percent_encode(name.tag));
    // Until the registry has answered nothing comes.
    constexpr Duration kRegistryTimeout = 2min;
    auto response = co_await stream("POST", target, "", kRegistryTimeout);
    co_return std::move(response);
}

Task<Result<std::string>> DockerApi::create_exec(std::string id, std::string body) {
    auto answer = co_await ask_json("POST", path_of("containers", id, "/exec"), std::move(body));
    if (!answer) co_return fail(std::move(answer).error());
    co_return json_string(*answer, "Id").in("docker");
}

Task<Result<http::ClientResponse>> DockerApi::start_exec(std::string exec) {
    const std::string body = R"({"Detach":false,"Tty":false})";
    auto response = co_await stream("POST", path_of("exec", exec, "/start"), body, kAnswerTimeout);
    co_return std::move(response);
}

Task<Result<AttachedExec>> DockerApi::attach_exec(std::string exec, bool has_terminal) {
    auto connecting = connect(loop_, Address::unix_socket(socket_), kAnswerTimeout);
    auto stream = co_await std::move(connecting);
    if (!stream) co_return fail(Code::kUnreachable, "docker: {}", stream.error().message());
    const std::string body = fmt::format(R"({{"Detach":false,"Tty":{}}})", has_terminal);
    std::string head = fmt::format(
        "POST {}{} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        "Content-Type: {}\r\nContent-Length: {}\r\n\r\n{}",
        prefix_, path_of("exec", exec, "/start"), kJsonType, body.size(), body);
    auto asking = http::ask_for_upgrade(**stream, std::move(head), kAnswerTimeout, "docker");
    auto answer = co_await std::move(asking);
    if (!answer) co_return fail(answer.error());
    if (answer->status != 101) co_return fail(engine_error(answer->status, answer->rest));
    AttachedExec attached;
    attached.stream = std::move(*stream);
    attached.first_bytes = std::move(answer->rest);
    co_return attached;
}

Task<Result<>> DockerApi::resize_exec(std::string exec, uint16_t rows, uint16_t columns) {
    const std::string rest = fmt::format("/resize?h={}&w={}", rows, columns);
    auto answer = co_await ask("POST", path_of("exec", exec, rest), "", kAnswerTimeout);
    if (!answer) co_return fail(std::move(answer).error());
    co_return Result<>();
}

Task<Result<ExecState>> DockerApi::inspect_exec(std::string exec) {
    auto answer = co_await ask_json("GET", path_of("exec", exec, "/json"), "");
    if (!answer) co_return fail(std::move(answer).error());
    ExecState state;
    state.is_running = json_bool_or(*answer, "Running", false);
    state.exit_code = static_cast<int>(json_int_or(*answer, "ExitCode", 0));
    state.pid = static_cast<int>(json_int_or(*answer, "Pid", 0));
    co_return state;
}

void PullProgress::feed(std::string_view bytes) {
    while (!bytes.empty()) {
        const size_t end = bytes.find('\n');
        const std::string_view part = bytes.substr(0, end);
        // A line that is too long says nothing that we could use.
        line_ += part.substr(0, kLineBytesMax - std::min(line_.size(), kLineBytesMax));
        if (end == std::string_view::npos) return;
        read_line(std::exchange(line_, std::string()));
        bytes.remove_prefix(end + 1);
    }
}

void PullProgress::read_line(std::string_view line) {
    const auto json = parse_json(trim(line));
    if (!json || !json->is_object()) return;
    const std::string error = json_string_or(*json, "error");
    if (!error.empty()) {
        failure_ = printable(error, 1000);
        return;
    }
    constexpr size_t kLayersMax = 1024;
    const std::string id = json_string_or(*json, "id");
    const std::string status = json_string_or(*json, "status");
    const Json& detail = member(*json, "progressDetail");
    if (id.empty() || (!layers_.contains(id) && layers_.size() >= kLayersMax)) return;
    if (status == "Downloading") {
        layers_[id] = Layer{count_or_zero(detail, "current"), count_or_zero(detail, "total")};
    } else if (status == "Download complete" || status == "Pull complete") {
        const auto known = layers_.find(id);
        if (known != layers_.end()) known->second.current = known->second.total;
    }
}

std::string PullProgress::text() const {
    uint64_t current = 0;
    uint64_t total = 0;
    for (const auto& [id, layer] : layers_) {
        current += std::min(layer.current, layer.total);
        total += layer.total;
    }
    if (total == 0) return {};
    return fmt::format(
        "{} % of {}",
        static_cast<uint64_t>(100.0 * static_cast<double>(current) / static_cast<double>(total)),
        format_size(total));
}

}  // namespace candela::host
