#include "service/json_table.h"

#include <algorithm>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/text.h"

namespace candela::service {

JsonTable::JsonTable(const Json& object, const ConfigSchema& schema, std::string path,
                     std::vector<std::string>& mistakes)
    : path_(std::move(path)), mistakes_(&mistakes) {
    std::vector<std::string_view> names;
    for (const ConfigKey& key : schema.keys()) {
        names.push_back(key.name);
        Value& out = values_[key.name];
        const auto found = object.is_object() ? object.find(key.name) : object.end();
        const bool is_present = object.is_object() && found != object.end() && !found->is_null();
        if (is_present) {
            out.is_written = true;
            if (read(key, *found, out)) continue;
            mistake(key.name, fmt::format("must be {}", to_string(key.type)));
            out = Value();
        }
        set_default(key, out);
    }
    if (!object.is_object()) {
        mistakes.push_back(
            fmt::format("{}: must be an object", path_.empty() ? "manifest" : path_));
        return;
    }
    for (const auto& [name, ignored] : object.items()) {
        if (schema.find(name) != nullptr) continue;
        const auto near = nearest(name, names);
        mistake(printable(name), near ? fmt::format("unknown key; did you mean \"{}\"?", *near)
                                      : std::string("unknown key"));
    }
}

void JsonTable::mistake(std::string_view key, std::string_view what) {
    mistakes_->push_back(fmt::format("{}: {}", path_of(key), what));
}

std::string JsonTable::path_of(std::string_view key) const {
    return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

const JsonTable::Value& JsonTable::value(std::string_view name) const {
    const auto found = values_.find(name);
    CANDELA_CHECK(found != values_.end());
    return found->second;
}

std::vector<std::string> JsonTable::strings(std::string_view name) const {
    std::vector<std::string> out;
    for (const ConfigItem& item : value(name).items) out.push_back(item.value);
    return out;
}

void JsonTable::set_default(const ConfigKey& key, Value& out) {
    switch (key.type) {
        case ConfigType::kInt: out.integer = std::stoll("0" + key.default_text); break;
        case ConfigType::kFloat: out.number = std::strtod(key.default_text.c_str(), nullptr); break;
        case ConfigType::kBool: out.integer = key.default_text == "true" ? 1 : 0; break;
        case ConfigType::kSize:
            out.integer = static_cast<int64_t>(parse_size(key.default_text).value_or(0));
            break;
        case ConfigType::kDuration:
            out.integer = parse_duration(key.default_text).value_or(Duration(0)).count();
            break;
        case ConfigType::kTable:
            out.tables.emplace_back(Json::object(), *key.table, path_of(key.name), *mistakes_);
            break;
        case ConfigType::kStrings:
            for (const std::string& item : key.default_items) out.items.push_back({"", item, {}});
            break;
        default: out.text = key.default_text; break;
    }
}

bool JsonTable::read(const ConfigKey& key, const Json& json, Value& out) {
    switch (key.type) {
        case ConfigType::kString: {
            if (!json.is_string()) return false;
            out.text = json.get<std::string>();
            if (key.allowed.empty() ||
                std::ranges::find(key.allowed, out.text) != key.allowed.end()) {
                return true;
            }
            mistake(key.name, fmt::format("\"{}\" is not one of {}", printable(out.text),
                                          join(key.allowed, ", ")));
            out.text = key.default_text;
            return true;
        }
        case ConfigType::kInt: {
            const bool fits = json.is_number_integer() &&
                              (!json.is_number_unsigned() || json.get<uint64_t>() <= INT64_MAX);
            if (!fits) return false;
            out.integer = json.get<int64_t>();
            const bool below = !key.min_text.empty() && out.integer < std::stoll(key.min_text);
            const bool above = !key.max_text.empty() && out.integer > std::stoll(key.max_text);
            if (!below && !above) return true;
            mistake(key.name, fmt::format("{} is out of range; from {} to {}", out.integer,
                                          key.min_text, key.max_text));
            out.integer = std::stoll("0" + key.default_text);
            return true;
        }
        case ConfigType::kFloat: {
            if (!json.is_number()) return false;
            out.number = json.get<double>();
            const auto bound = [](const std::string& text) {
                return std::strtod(text.c_str(), nullptr);
            };
            const bool is_in = (key.min_text.empty() || out.number >= bound(key.min_text)) &&
                               (key.max_text.empty() || out.number <= bound(key.max_text));
            if (is_in) return true;
            mistake(key.name, fmt::format("{} is out of range; from {} to {}", out.number,
                                          key.min_text, key.max_text));
            out.number = bound(key.default_text);
            return true;
        }
        case ConfigType::kBool:
            if (!json.is_boolean()) return false;
            out.integer = json.get<bool>() ? 1 : 0;
            return true;
        case ConfigType::kDuration: {
            if (!json.is_string()) return false;
            const auto duration = parse_duration(json.get_ref<const std::string&>());
            if (!duration) return false;
            out.integer = duration->count();
            return true;
        }
        case ConfigType::kSize: {
            if (json.is_number_unsigned() && json.get<uint64_t>() <= INT64_MAX) {
                out.integer = json.get<int64_t>();
                return true;
            }
            if (!json.is_string()) return false;
            const auto size = parse_size(json.get_ref<const std::string&>());
            if (!size) return false;
            out.integer = static_cast<int64_t>(*size);
            return true;
        }
        case ConfigType::kTable:
            if (!json.is_object()) return false;
            out.tables.emplace_back(json, *key.table, path_of(key.name), *mistakes_);
            return true;
        default: return read_items(key, json, out);
    }
}

bool JsonTable::read_items(const ConfigKey& key, const Json& json, Value& out) {
    const bool is_map = key.type == ConfigType::kStringMap;
    if (is_map ? !json.is_object() : !json.is_array()) return false;
    if (json.size() > key.items_max) {
        mistake(key.name,
                fmt::format("{} items; at most {} are allowed", json.size(), key.items_max));
        return true;
    }
    if (key.type == ConfigType::kTables) {
        for (size_t i = 0; i < json.size(); ++i) {
            out.tables.emplace_back(json[i], *key.table,
                                    fmt::format("{}[{}]", path_of(key.name), i), *mistakes_);
        }
        return true;
    }
    if (key.type != ConfigType::kStrings && !is_map) return false;
    for (const auto& [name, item] : json.items()) {
        if (!item.is_string()) return false;
        out.items.push_back({is_map ? name : std::string(), item.get<std::string>(), {}});
    }
    return true;
}

}  // namespace candela::service
