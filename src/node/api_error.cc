#include "node/api_error.h"

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace candela {

namespace {

Code code_of(std::string_view name, int status) {
    constexpr Code kCodes[] = {Code::kInvalid,     Code::kNotFound,    Code::kDenied,
                               Code::kConflict,    Code::kUnreachable, Code::kTimeout,
                               Code::kCancelled,   Code::kExhausted,   Code::kCorrupt,
                               Code::kUnsupported, Code::kIo,          Code::kInternal};
    for (const Code code : kCodes) {
        if (to_string(code) == name) return code;
    }
    switch (status) {
        case 400: return Code::kInvalid;
        case 401:
        case 403: return Code::kDenied;
        case 404: return Code::kNotFound;
        case 409: return Code::kConflict;
        case 413:
        case 429: return Code::kExhausted;
        case 503: return Code::kUnreachable;
        case 504: return Code::kTimeout;
        default: return Code::kInternal;
    }
}

// The error object, or null.
Json error_in(const std::string& body) {
    const auto json = parse_json(body);
    if (!json || !json->is_object()) return nullptr;
    const auto error = json->find("error");
    return error == json->end() ? Json() : *error;
}

}  // namespace

Error api_error(int status, const std::string& body) {
    const Json error = error_in(body);
    if (error.is_null()) {
        return Error(code_of("", status), fmt::format("the lighthouse answered {}", status));
    }
    return Error(code_of(json_string_or(error, "code"), status),
                 json_string_or(error, "message", fmt::format("status {}", status)));
}

std::string api_hint(const std::string& body) { return json_string_or(error_in(body), "hint"); }

}  // namespace candela
