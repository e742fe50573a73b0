#include "bus/js_api.h"

#include <nlohmann/json.hpp>

namespace candela::bus {

namespace {
constexpr Duration kAnswer = 10s;
}

Task<Result<Json>> js_request(Client& client, std::string verb, Json body) {
    std::string subject = "$JS.API." + verb;
    std::string payload = dump_json(body);
    auto answer = co_await client.request(std::move(subject), std::move(payload), kAnswer);
    if (!answer) co_return fail(answer.error());
    Result<Json> json = parse_json(answer->payload);
    if (!json) co_return fail(json.error());
    if (!json->is_object()) co_return fail(Code::kCorrupt, "the JetStream API: no object");
    co_return std::move(*json);
}

int js_error_code(const Json& answer) {
    if (!answer.contains("error")) return 0;
    return static_cast<int>(json_int_or(answer["error"], "err_code", 1));
}

Error js_error(const Json& answer) {
    return Error(Code::kInternal,
                 "the JetStream API: " + json_string_or(answer["error"], "description"));
}

}  // namespace candela::bus
