#include "instance_note.h"

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace candela::host {

std::string to_text(const InstanceNote& note) {
    const Json json = {{"port", note.port},         {"started_at", note.started_at_ms},
                       {"restarts", note.restarts}, {"was_ready", note.was_ready},
                       {"space", note.space},       {"service", note.service},
                       {"release", note.release},   {"kind", note.kind},
                       {"grace_ms", note.grace_ms}, {"bundle", note.bundle}};
    return dump_json(json);
}

InstanceNote parse_instance_note(std::string_view text) {
    InstanceNote note;
    const auto json = parse_json(text);
    if (!json || !json->is_object()) return note;
    const auto number = [&](std::string_view key, uint64_t max, uint64_t otherwise) -> uint64_t {
        const int64_t value = json_int_or(*json, key, static_cast<int64_t>(otherwise));
        return value < 0 || static_cast<uint64_t>(value) > max ? otherwise
                                                               : static_cast<uint64_t>(value);
    };
    note.port = static_cast<uint16_t>(number("port", 65'535, 0));
    note.started_at_ms = number("started_at", INT64_MAX, 0);
    note.restarts = static_cast<uint32_t>(number("restarts", UINT32_MAX, 0));
    note.was_ready = json_bool_or(*json, "was_ready", false);
    note.space = json_string_or(*json, "space", "");
    note.service = json_string_or(*json, "service", "");
    note.release = number("release", INT64_MAX, 0);
    note.kind = json_string_or(*json, "kind", "");
    note.grace_ms = number("grace_ms", 24ULL * 3'600'000, note.grace_ms);
    note.bundle = json_string_or(*json, "bundle", "");
    return note;
}

proto::InstanceSpec spec_of_unwanted(const std::string& instance, const InstanceNote& note) {
    proto::InstanceSpec spec;
    spec.instance = instance;
    spec.space = note.space;
    spec.service = note.service;
    spec.release = note.release;
    spec.kind = note.kind;
    spec.stop_grace_ms = note.grace_ms;
    spec.bundle = note.bundle;
    spec.desired = proto::Desired::kStop;
    return spec;
}

}  // namespace candela::host
