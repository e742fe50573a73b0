#include "service/manifest_diff.h"

#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace candela::service {

namespace {

bool is_list_of_tables(const Json& json) {
    return json.is_array() && !json.empty() && json.front().is_object();
}

std::string text_of(const Json& json) { return json.is_null() ? std::string() : dump_json(json); }

// Manifests are two tables deep and have a limited number of routes: the depth is bounded.
void compare(const std::string& key, const Json& before, const Json& after,
             std::vector<Difference>& out) {
    static const Json kNothing;
    if (before == after) return;
    if (before.is_object() || after.is_object()) {
        std::set<std::string> names;
        if (before.is_object()) {
            for (const auto& [name, value] : before.items()) names.insert(name);
        }
        if (after.is_object()) {
            for (const auto& [name, value] : after.items()) names.insert(name);
        }
        for (const std::string& name : names) {
            const bool is_before = before.is_object() && before.contains(name);
            const bool is_after = after.is_object() && after.contains(name);
            compare(key.empty() ? name : key + "." + name, is_before ? before[name] : kNothing,
                    is_after ? after[name] : kNothing, out);
        }
        return;
    }
    if (is_list_of_tables(before) || is_list_of_tables(after)) {
        const size_t count = std::max(before.size(), after.size());
        for (size_t i = 0; i < count; ++i) {
            compare(fmt::format("{}[{}]", key, i), i < before.size() ? before[i] : kNothing,
                    i < after.size() ? after[i] : kNothing, out);
        }
        return;
    }
    out.push_back(Difference(key, text_of(before), text_of(after)));
}

}  // namespace

std::vector<Difference> differences(const Json& before, const Json& after) {
    std::vector<Difference> out;
    compare("", before, after, out);
    return out;
}

}  // namespace candela::service
