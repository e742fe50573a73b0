#pragma once

// Configuration written in TOML and checked against a schema: profiles and service.toml alike.
// Reading never stops at the first mistake: all of them go to ConfigProblems with line and column,
// and what is wrong or absent takes its default, so that a Config can always be read. All types
// here are values.
//
//     const ConfigSchema& gateway_schema() {
//         static const ConfigSchema schema({
//             config_address("listen", "127.0.0.1:8080", "Where HTTP is served."),
//             config_duration("hold_timeout", "30s", "How long.").range("0s", "10m"),
//             config_string("engine", "builtin", "Who.").one_of({"builtin", "nats"}),
//             config_strings("command", {}, "What to run.").required(),
//             config_string_map("env", "Environment of the program."),
//             config_table("tls", tls_schema(), "Certificates."),
//             config_tables("route", route_schema(), "One route; may be repeated."),
//         });
//         return schema;
//     }

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace candela {

enum class ConfigType : uint8_t {
    kString,
    kInt,
    kBool,
    kFloat,
    kDuration,   // text: "500ms", "1m30s"
    kSize,       // text ("64MiB"), or a whole number of bytes
    kAddress,    // text: "host:port", "[::1]:port", "unix:/path", "inproc:name"
    kStrings,    // an array of strings
    kAddresses,  // an array of addresses
    kStringMap,  // a table with free keys and string values, such as [env]
    kTable,
    kTables,  // an array of tables, [[name]]
};
std::string_view to_string(ConfigType type);  // "a duration", for messages and help

class ConfigSchema;

// One key of a table. Made by the config_…() functions below; the setters chain.
struct ConfigKey {
    std::string name;
    ConfigType type = ConfigType::kString;
    std::string default_text;  // as it would be written, without quotes; lists: no default
    std::vector<std::string> default_items;  // kStrings and kAddresses
    std::string help;                        // one line, a sentence
    bool is_required = false;
    std::vector<std::string> allowed;  // kString and kStrings: the values that there are
    std::string min_text, max_text;    // kInt, kFloat, kDuration, kSize: inclusive; empty: none
    size_t items_max = 1024;           // lists and maps
    std::shared_ptr<const ConfigSchema> table;  // kTable and kTables

    ConfigKey&& required() &&;
    ConfigKey&& one_of(std::vector<std::string> values) &&;
    ConfigKey&& range(std::string_view min, std::string_view max) &&;  // either may be ""
    ConfigKey&& at_most(size_t items) &&;
};

// The default "" of any type but a string means: none. has_value() tells.
ConfigKey config_string(std::string_view name, std::string_view fallback, std::string_view help);
ConfigKey config_int(std::string_view name, std::string_view fallback, std::string_view help);
ConfigKey config_bool(std::string_view name, std::string_view fallback, std::string_view help);
ConfigKey config_float(std::string_view name, std::string_view fallback, std::string_view help);
ConfigKey config_duration(std::string_view name, std::string_view fallback, std::string_view help);
ConfigKey config_size(std::string_view name, std::string_view fallback, std::string_view help);
ConfigKey config_address(std::string_view name, std::string_view fallback, std::string_view help);
ConfigKey config_strings(std::string_view name, std::vector<std::string> fallback,
                         std::string_view help);
ConfigKey config_addresses(std::string_view name, std::vector<std::string> fallback,
                           std::string_view help);
ConfigKey config_string_map(std::string_view name, std::string_view help);
ConfigKey config_table(std::string_view name, ConfigSchema table, std::string_view help);
ConfigKey config_tables(std::string_view name, ConfigSchema table, std::string_view help);

class ConfigSchema {
public:
    ConfigSchema() = default;
    ConfigSchema(std::initializer_list<ConfigKey> keys) : keys_(keys) {}

    void add(ConfigKey key) { keys_.push_back(std::move(key)); }
    const std::vector<ConfigKey>& keys() const { return keys_; }
    const ConfigKey* find(std::string_view name) const;

private:
    std::vector<ConfigKey> keys_;
};

// 1-based; column counts bytes. 0 where the thing is not in the file at all.
struct ConfigPosition {
    int line = 0;
    int column = 0;
};

struct ConfigProblem {
    ConfigPosition at;
    std::string message;
};

// Every mistake of one file, in the order of their lines when formatted.
class ConfigProblems {
public:
    static constexpr size_t kProblemsMax = 100;  // further ones are counted only

    explicit ConfigProblems(std::string_view file) : file_(file) {}

    void add(ConfigPosition at, std::string message);
    template <class... Args>
        requires(sizeof...(Args) > 0)
    void add(ConfigPosition at, fmt::format_string<Args...> format, Args&&... args) {
        add(at, fmt::format(format, std::forward<Args>(args)...));
    }

    bool empty() const { return problems_.empty(); }
    size_t size() const { return problems_.size() + dropped_; }
    const std::vector<ConfigProblem>& list() const { return problems_; }
    const std::string& file() const { return file_; }

    // One line each, like a compiler: FILE:LINE:COL: error: unknown key "prot" in [gateway]; did
    // you mean "port"?
    std::string format() const;
    // Code::kInvalid with format() as message; for those who can only return a Result.
    Error as_error() const;

private:
    std::string file_;
    std::vector<ConfigProblem> problems_;
    size_t dropped_ = 0;
};

// What was written for one element of a list or map.
struct ConfigItem {
    std::string name;  // the key, in a map; empty in a list
    std::string value;
    ConfigPosition at;
};

// One table with its values. Names are those of the schema: asking for another, or by another type,
// is a bug and ends the process. A key without value and default reads as "", 0, false or empty.
class Config {
public:
    // Nothing but defaults (`candela dev`, tests).
    explicit Config(const ConfigSchema& schema);

    std::string_view string(std::string_view name) const;  // kString and kAddress
    int64_t integer(std::string_view name) const;
    bool boolean(std::string_view name) const;
    double number(std::string_view name) const;
    Duration duration(std::string_view name) const;
    uint64_t size_bytes(std::string_view name) const;
    std::vector<std::string> strings(std::string_view name) const;      // kStrings and kAddresses
    const std::vector<ConfigItem>& items(std::string_view name) const;  // the same, and kStringMap
    const Config& table(std::string_view name) const;  // all defaults where the file has none
    const std::vector<Config>& tables(std::string_view name) const;

    // Whether the file says something for it, as against the default.
    bool is_written(std::string_view name) const;
    // Whether there is a value at all, written or default.
    bool has_value(std::string_view name) const;
    // Of the value; of the table where the key is not written.
    ConfigPosition position(std::string_view name) const;
    ConfigPosition position() const { return at_; }

    // Sets a value as if it had been written: `candela dev` moves ports so. Lists and tables: not
    // so. Fails where the schema refuses it.
    Result<> set(std::string_view name, std::string_view text);
    Config& mutable_table(std::string_view name);
    // Replaces every text and address, of nested tables too, by what the function makes of it; the
    // result is taken as it is.
    void rewrite_texts(
        const std::function<std::string(const ConfigKey& key, const std::string&)>& f);
    const ConfigSchema& schema() const { return *schema_; }

private:
    friend class ConfigReader;
    struct Value {
        bool is_written = false;
        bool has_value = false;
        ConfigPosition at;
        std::string text;
        int64_t integer = 0;  // also bool, duration (ns) and size
        double number = 0;
        std::vector<ConfigItem> items;
        std::vector<Config> tables;  // one for kTable
    };
    explicit Config(std::shared_ptr<const ConfigSchema> schema);
    static void set_default(const ConfigKey& key, Value& value);
    const Value& value(std::string_view name, std::initializer_list<ConfigType> types) const;
    size_t index_of(std::string_view name) const;

    std::shared_ptr<const ConfigSchema> schema_;
    std::vector<Value> values_;  // in the order of the schema's keys
    ConfigPosition at_;
};

constexpr size_t kConfigTextMax = 256 << 10;
constexpr size_t kConfigDepthMax = 32;

// Reads TOML 1.0. `problems` must be empty() afterwards for the Config to be trusted. A key that is
// required is asked for where its table is written; the outermost table always is.
Config read_config(std::string_view text, const ConfigSchema& schema, ConfigProblems& problems);

}  // namespace candela
