#pragma once

// A JSON object read against the same ConfigSchema that its TOML spelling has, with the questions
// that Config answers. Every mistake is collected with its key path; what is wrong takes its
// default.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/json.h"

namespace candela::service {

class JsonTable {
public:
    // `path` is "" for the outermost table; mistakes go to `mistakes` as "<path>.<key>: <what>".
    JsonTable(const Json& object, const ConfigSchema& schema, std::string path,
              std::vector<std::string>& mistakes);

    std::string_view string(std::string_view name) const { return value(name).text; }
    int64_t integer(std::string_view name) const { return value(name).integer; }
    double number(std::string_view name) const { return value(name).number; }
    bool boolean(std::string_view name) const { return value(name).integer != 0; }
    Duration duration(std::string_view name) const { return Duration(value(name).integer); }
    uint64_t size_bytes(std::string_view name) const {
        return static_cast<uint64_t>(value(name).integer);
    }
    std::vector<std::string> strings(std::string_view name) const;
    const std::vector<ConfigItem>& items(std::string_view name) const { return value(name).items; }
    const JsonTable& table(std::string_view name) const { return value(name).tables.front(); }
    const std::vector<JsonTable>& tables(std::string_view name) const { return value(name).tables; }
    bool is_written(std::string_view name) const { return value(name).is_written; }

private:
    struct Value {
        bool is_written = false;
        std::string text;
        int64_t integer = 0;  // also bool, duration and size
        double number = 0;
        std::vector<ConfigItem> items;
        std::vector<JsonTable> tables;
    };
    const Value& value(std::string_view name) const;
    void set_default(const ConfigKey& key, Value& out);
    // False where the JSON is not of the key's type.
    bool read(const ConfigKey& key, const Json& json, Value& out);
    bool read_items(const ConfigKey& key, const Json& json, Value& out);
    void mistake(std::string_view key, std::string_view what);
    std::string path_of(std::string_view key) const;

    std::string path_;
    std::vector<std::string>* mistakes_;
    std::map<std::string, Value, std::less<>> values_;
};

}  // namespace candela::service
