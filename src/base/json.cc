#include "base/json.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace candela {

namespace {
const Json* member(const Json& object, std::string_view key) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

// Nesting is checked before the parse: brackets outside strings, counted.
bool is_too_deep(std::string_view text, size_t depth_max) {
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\')
                ++i;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > depth_max) return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            --depth;
        }
    }
    return false;
}
}  // namespace

Result<Json> parse_json(std::string_view text, size_t depth_max) {
    if (is_too_deep(text, depth_max)) {
        return fail(Code::kInvalid, "JSON nested deeper than {}", depth_max);
    }
    try {
        return Json::parse(text);
    } catch (const Json::parse_error& error) {
        const std::string_view before = text.substr(0, std::min(error.byte, text.size()));
        const auto line = 1 + std::count(before.begin(), before.end(), '\n');
        const size_t newline = before.rfind('\n');
        const size_t column =
            newline == std::string_view::npos ? before.size() : before.size() - newline - 1;
        return fail(Code::kInvalid, "not JSON: line {}, column {}", line, column);
    } catch (const std::exception&) {
        return fail(Code::kInvalid, "not JSON");
    }
}

std::string dump_json(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string dump_json_pretty(const Json& value) {
    return value.dump(2, ' ', false, Json::error_handler_t::replace);
}

Result<std::string> json_string(const Json& object, std::string_view key) {
    const Json* value = member(object, key);
    if (value == nullptr) return fail(Code::kInvalid, "\"{}\" is missing", key);
    if (!value->is_string()) return fail(Code::kInvalid, "\"{}\" must be a string", key);
    return value->get<std::string>();
}

Result<int64_t> json_int(const Json& object, std::string_view key) {
    const Json* value = member(object, key);
    if (value == nullptr) return fail(Code::kInvalid, "\"{}\" is missing", key);
    if (!value->is_number_integer() ||
        (value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{INT64_MAX})) {
        return fail(Code::kInvalid, "\"{}\" must be a whole number", key);
    }
    return value->get<int64_t>();
}

std::string json_string_or(const Json& object, std::string_view key, std::string_view fallback) {
    const Json* value = member(object, key);
    return value != nullptr && value->is_string() ? value->get<std::string>()
                                                  : std::string(fallback);
}

int64_t json_int_or(const Json& object, std::string_view key, int64_t fallback) {
    return json_int(object, key).value_or(fallback);
}

bool json_bool_or(const Json& object, std::string_view key, bool fallback) {
    const Json* value = member(object, key);
    return value != nullptr && value->is_boolean() ? value->get<bool>() : fallback;
}

}  // namespace candela
