#include "service/build_wish.h"

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "service/session_frame.h"

namespace candela::service {

namespace {

Result<std::vector<std::string>> texts_of(const Json& json, const char* key) {
    std::vector<std::string> out;
    if (!json.contains(key)) return out;
    if (!json[key].is_array()) return fail(Code::kInvalid, "{} is no list", key);
    for (const Json& each : json[key]) {
        if (!each.is_string()) return fail(Code::kInvalid, "{} is no list of texts", key);
        out.push_back(each.get<std::string>());
    }
    return out;
}

}  // namespace

std::string to_text(const BuildTarget& target) {
    const Json json = {{"build", {{"space", target.space}, {"service", target.service}}}};
    return dump_json(json);
}

std::optional<BuildTarget> parse_build_target(std::string_view text) {
    const auto json = parse_json(text);
    if (!json || !json->is_object() || !json->contains("build")) return std::nullopt;
    const Json& build = (*json)["build"];
    return BuildTarget{json_string_or(build, "space"), json_string_or(build, "service")};
}

Result<std::string> to_text(const BuildOrder& order) {
    const Json json = {{"digest", order.digest},
                       {"finds_command", order.finds_command},
                       {"anew", order.is_anew},
                       {"ignore_file", order.ignore_file},
                       {"environment", order.environment}};
    std::string text = dump_json(json);
    if (text.size() > kSessionFrameMax) {
        return fail(Code::kExhausted,
                    ".candelaignore and the variables of [build] pass_env are {} bytes; at most {} "
                    "go to a host",
                    text.size(), kSessionFrameMax);
    }
    return text;
}

Result<BuildOrder> parse_build_order(std::string_view text) {
    CANDELA_TRY_ASSIGN(const Json json, parse_json(text));
    BuildOrder order;
    CANDELA_TRY_ASSIGN(order.digest, json_string(json, "digest"));
    if (!is_valid_digest(order.digest)) return fail(Code::kInvalid, "digest is not one");
    order.finds_command = json_bool_or(json, "finds_command", false);
    order.is_anew = json_bool_or(json, "anew", false);
    order.ignore_file = json_string_or(json, "ignore_file");
    if (!json.contains("environment")) return order;
    const Json& environment = json["environment"];
    if (!environment.is_object()) return fail(Code::kInvalid, "environment is no object");
    for (const auto& [name, value] : environment.items()) {
        if (!value.is_string()) return fail(Code::kInvalid, "environment has what is no text");
        order.environment[name] = value.get<std::string>();
    }
    return order;
}

std::string to_text(const BuildResult& result) {
    const Json json = {
        {"digest", result.info.digest}, {"size_bytes", result.info.size_bytes},
        {"files", result.info.files},   {"unpacked_bytes", result.info.unpacked_bytes},
        {"command", result.command},    {"was_there", result.was_there}};
    return dump_json(json);
}

Result<BuildResult> parse_build_result(std::string_view text) {
    CANDELA_TRY_ASSIGN(const Json json, parse_json(text));
    BuildResult result;
    CANDELA_TRY_ASSIGN(result.info.digest, json_string(json, "digest"));
    if (!is_valid_digest(result.info.digest)) return fail(Code::kInvalid, "digest is not one");
    const auto number = [&](const char* key) {
        return static_cast<uint64_t>(std::max<int64_t>(0, json_int_or(json, key, 0)));
    };
    result.info.size_bytes = number("size_bytes");
    result.info.files = number("files");
    result.info.unpacked_bytes = number("unpacked_bytes");
    CANDELA_TRY_ASSIGN(result.command, texts_of(json, "command"));
    result.was_there = json_bool_or(json, "was_there", false);
    return result;
}

}  // namespace candela::service
