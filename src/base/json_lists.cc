#include "base/json_lists.h"

#include <nlohmann/json.hpp>

namespace candela {

Result<std::vector<std::string>> json_strings(const Json& object, std::string_view key) {
    std::vector<std::string> out;
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return out;
    if (!found->is_array()) return fail(Code::kInvalid, "{} must be an array of strings", key);
    for (const Json& each : *found) {
        if (!each.is_string()) return fail(Code::kInvalid, "{} must be an array of strings", key);
        out.push_back(each.get<std::string>());
    }
    return out;
}

}  // namespace candela
