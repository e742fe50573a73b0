#pragma once

// JSON through nlohmann-json, whose full header is heavy: headers include this one (forward
// declarations), and .cc files that build or read values include <nlohmann/json.hpp> besides.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace candela {

using Json = nlohmann::json;

// Parses one JSON text (RFC 8259). Nesting beyond depth_max is refused, so that hostile input can't
// exhaust the stack. The error names line and column.
Result<Json> parse_json(std::string_view text, size_t depth_max = 64);

// One line, no spaces; bytes that are not UTF-8 become U+FFFD rather than an exception.
std::string dump_json(const Json& value);
std::string dump_json_pretty(const Json& value);

// Members of an object with their types checked; the error names the member. `object` may be any
// value; one that is not an object has no members.
Result<std::string> json_string(const Json& object, std::string_view key);
Result<int64_t> json_int(const Json& object, std::string_view key);
// The fallback stands in for an absent or null member; a wrong type gives the fallback too.
std::string json_string_or(const Json& object, std::string_view key,
                           std::string_view fallback = "");
int64_t json_int_or(const Json& object, std::string_view key, int64_t fallback);
bool json_bool_or(const Json& object, std::string_view key, bool fallback);

}  // namespace candela
