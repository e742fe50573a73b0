#include "ctl/api_model.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace candela::ctl {

namespace {
uint64_t count(const Json& object, std::string_view key) {
    return static_cast<uint64_t>(std::max<int64_t>(0, json_int_or(object, key, 0)));
}
}  // namespace

std::vector<std::string> string_list(const Json& object, std::string_view key) {
    std::vector<std::string> out;
    if (!object.is_object()) return out;
    const auto found = object.find(key);
    if (found == object.end() || !found->is_array()) return out;
    for (const Json& item : *found) {
        if (item.is_string()) out.push_back(item.get<std::string>());
    }
    return out;
}

const Json& list_of(const Json& answer, std::string_view key) {
    static const Json kEmpty = Json::array();
    if (answer.is_array()) return answer;
    if (!answer.is_object()) return kEmpty;
    const auto found = answer.find(key);
    return found != answer.end() && found->is_array() ? *found : kEmpty;
}

NodeView node_view(const Json& json) {
    NodeView out;
    out.name = json_string_or(json, "name");
    out.state = json_string_or(json, "state");
    out.roles = string_list(json, "roles");
    out.version = json_string_or(json, "version");
    out.address = json_string_or(json, "address");
    out.heard_at = json_string_or(json, "heard_at");
    out.instances = count(json, "instances");
    out.unfinished = count(json, "unfinished");
    out.cpus = count(json, "cpus");
    out.memory_bytes = count(json, "memory_bytes");
    out.load_percent = count(json, "load_percent");
    return out;
}

ServiceView service_view(const Json& json) {
    ServiceView out;
    out.space = json_string_or(json, "space");
    out.name = json_string_or(json, "name");
    out.kind = json_string_or(json, "kind");
    out.state = json_string_or(json, "state");
    out.waiting = json_string_or(json, "waiting");
    out.release = count(json, "release");
    out.wanted = count(json, "instances");
    out.ready = count(json, "ready");
    for (const Json& route : list_of(json, "routes")) {
        const std::string host = json_string_or(route, "host");
        out.routes.push_back((host.empty() ? "*" : host) + json_string_or(route, "path", "/"));
    }
    return out;
}

ReleaseView release_view(const Json& json) {
    ReleaseView out;
    out.number = count(json, "number");
    out.state = json_string_or(json, "state");
    out.cause = json_string_or(json, "cause");
    out.waiting = json_string_or(json, "waiting");
    out.author = json_string_or(json, "author");
    out.created_at = json_string_or(json, "created_at");
    out.ended_at = json_string_or(json, "ended_at");
    out.bundle = json_string_or(json, "bundle");
    out.wanted = count(json, "instances");
    out.ready = count(json, "ready");
    out.copy_of = count(json, "copy_of");
    out.reason = json_string_or(json, "reason");
    out.waits_for_promotion = json_bool_or(json, "waits_for_promotion", false);
    out.paused = json_bool_or(json, "paused", false);
    if (json.is_object() && json.contains("failing") && json["failing"].is_object()) {
        const Json& failing = json["failing"];
        out.failing.instance = json_string_or(failing, "instance");
        out.failing.node = json_string_or(failing, "node");
        out.failing.last_exit = json_string_or(failing, "last_exit");
        out.failing.probe_answer = json_string_or(failing, "probe_answer");
        out.failing.log_tail = string_list(failing, "log_tail");
    }
    return out;
}

InstanceView instance_view(const Json& json) {
    InstanceView out;
    out.id = json_string_or(json, "id");
    out.service = json_string_or(json, "service");
    out.node = json_string_or(json, "node");
    out.state = json_string_or(json, "state");
    out.cause = json_string_or(json, "cause");
    out.probe_answer = json_string_or(json, "probe_answer");
    out.last_exit = json_string_or(json, "last_exit");
    out.started_at = json_string_or(json, "started_at");
    out.release = count(json, "release");
    out.restarts = count(json, "restarts");
    out.memory_bytes = count(json, "memory_bytes");
    out.port = count(json, "port");
    return out;
}

}  // namespace candela::ctl
