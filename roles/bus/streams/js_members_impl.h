#pragma once

// Reading the members of a JSON object with their types checked: one of a wrong type makes the
// whole request invalid, as on nats-server. Heavy: for .cc files.

#include <initializer_list>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace candela::bus_role {

// Reads members of an object; a wrong type makes the whole request invalid.
class Members {
public:
    explicit Members(const Json& object) : object_(object), ok_(object.is_object()) {}
    const Json* find(std::string_view key) {
        if (!object_.is_object()) return nullptr;
        const auto found = object_.find(key);
        return found == object_.end() || found->is_null() ? nullptr : &*found;
    }
    void text(std::string_view key, std::string& out) {
        const Json* value = find(key);
        if (value == nullptr) return;
        if (value->is_string()) {
            out = value->get<std::string>();
        } else {
            ok_ = false;
        }
    }
    template <class N>
    void number(std::string_view key, N& out) {
        if (const Json* value = find(key)) ok_ = convert(*value, out) && ok_;
    }
    void flag(std::string_view key, bool& out) {
        const Json* value = find(key);
        if (value == nullptr) return;
        if (value->is_boolean()) {
            out = value->get<bool>();
        } else {
            ok_ = false;
        }
    }
    void texts(std::string_view key, std::vector<std::string>& out) {
        const Json* value = find(key);
        if (value == nullptr) return;
        ok_ = ok_ && value->is_array();
        if (!value->is_array()) return;
        for (const Json& item : *value) {
            ok_ = ok_ && item.is_string();
            if (item.is_string()) out.push_back(item.get<std::string>());
        }
    }
    void numbers(std::string_view key, std::vector<int64_t>& out) {
        const Json* value = find(key);
        if (value == nullptr) return;
        ok_ = ok_ && value->is_array();
        if (!value->is_array()) return;
        for (const Json& item : *value) {
            int64_t number = 0;
            ok_ = convert(item, number) && ok_;
            out.push_back(number);
        }
    }
    void map(std::string_view key, std::map<std::string, std::string>& out) {
        const Json* value = find(key);
        if (value == nullptr) return;
        ok_ = ok_ && value->is_object();
        if (!value->is_object()) return;
        for (const auto& [name, item] : value->items()) {
            ok_ = ok_ && item.is_string();
            if (item.is_string()) out[name] = item.get<std::string>();
        }
    }
    template <class E>
    void choice(std::string_view key, E& out,
                std::initializer_list<std::pair<const char*, E>> all) {
        std::string given;
        text(key, given);
        if (given.empty()) return;
        for (const auto& [name, value] : all) {
            if (given != name) continue;
            out = value;
            return;
        }
        ok_ = false;
    }
    bool ok() const { return ok_; }

private:
    template <class N>
    static bool convert(const Json& value, N& out) {
        if (value.is_number_unsigned()) {
            const auto number = value.get<uint64_t>();
            if (number > static_cast<uint64_t>(std::numeric_limits<N>::max())) return false;
            out = static_cast<N>(number);
            return true;
        }
        if (value.is_number_integer()) {
            const auto number = value.get<int64_t>();
            if (number < 0 && std::is_unsigned_v<N>) return false;
            out = static_cast<N>(number);
            return true;
        }
        if (!value.is_number_float()) return false;
        const double number = value.get<double>();
        const bool fits = number >= (std::is_unsigned_v<N> ? 0.0 : -9e15) && number <= 9e15;
        if (fits) out = static_cast<N>(number);
        return fits;
    }

    const Json& object_;
    bool ok_;
};

// The members of a nested object, where there is one.
inline const Json* find_object(const Json& json, std::string_view key) {
    if (!json.is_object()) return nullptr;
    const auto found = json.find(key);
    return found == json.end() || !found->is_object() ? nullptr : &*found;
}

template <class E>
const char* name_of(E value, std::initializer_list<std::pair<const char*, E>> all) {
    for (const auto& [name, known] : all) {
        if (known == value) return name;
    }
    return "";
}

}  // namespace candela::bus_role
