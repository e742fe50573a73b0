// Checks a TOML tree against a schema and makes the Config.

#include <algorithm>
#include <optional>

#include "base/config.h"
#include "base/config_value.h"
#include "base/text.h"
#include "base/toml_tree.h"

namespace candela {

namespace {
std::string_view describe(TomlNode::Kind kind) {
    switch (kind) {
        case TomlNode::Kind::kString: return "text";
        case TomlNode::Kind::kInt: return "a whole number";
        case TomlNode::Kind::kFloat: return "a number";
        case TomlNode::Kind::kBool: return "true or false";
        case TomlNode::Kind::kDate: return "a date";
        case TomlNode::Kind::kArray: return "a list";
        case TomlNode::Kind::kTable: return "a table";
    }
    return "a value";
}

std::string in_table(const std::string& path) {
    return path.empty() ? "" : fmt::format(" in [{}]", path);
}

std::string path_of(const std::string& table, const std::string& key) {
    return table.empty() ? key : fmt::format("{}.{}", table, key);
}
}  // namespace

class ConfigReader {
public:
    ConfigReader(ConfigProblems& problems, bool has_syntax_errors)
        : problems_(problems), has_syntax_errors_(has_syntax_errors) {}

    // `path` is the table's name for messages: "gateway.tls".
    void read(const TomlNode& node, Config& config, const std::string& path) {
        config.at_ = node.at;
        for (const auto& [name, member] : node.members) {
            const ConfigKey* key = config.schema_->find(name);
            if (key == nullptr) {
                unknown_key(name, member, *config.schema_, path);
                continue;
            }
            Config::Value& value = config.values_[config.index_of(name)];
            value.at = member.at;
            value.is_written = true;
            read_value(*key, member, value, path_of(path, name));
        }
        // What a faulty line was to say may be just what is missing.
        if (has_syntax_errors_) return;
        for (size_t i = 0; i < config.values_.size(); ++i) {
            const ConfigKey& key = config.schema_->keys()[i];
            if (!key.is_required || config.values_[i].is_written) continue;
            problems_.add(config.at_, "missing key \"{}\"{}: {}", key.name, in_table(path),
                          key.help);
        }
    }

private:
    void unknown_key(const std::string& name, const TomlNode& member, const ConfigSchema& schema,
                     const std::string& path) {
        std::vector<std::string> known;
        for (const ConfigKey& key : schema.keys()) known.push_back(key.name);
        std::vector<std::string_view> views(known.begin(), known.end());
        std::string hint;
        if (const auto near = nearest(name, views)) {
            hint = fmt::format("; did you mean \"{}\"?", *near);
        } else if (!known.empty()) {
            hint = fmt::format("; known are {}", fmt::join(known, ", "));
        }
        problems_.add(member.key_at, "unknown key \"{}\"{}{}", printable(name, 60), in_table(path),
                      hint);
    }

    void read_value(const ConfigKey& key, const TomlNode& node, Config::Value& value,
                    const std::string& path) {
        switch (key.type) {
            case ConfigType::kTable: read_table(key, node, value, path); return;
            case ConfigType::kTables: read_tables(key, node, value, path); return;
            case ConfigType::kStringMap: read_map(key, node, value); return;
            case ConfigType::kStrings:
            case ConfigType::kAddresses: read_list(key, node, value); return;
            default: read_scalar(key, node, value); return;
        }
    }

    void read_table(const ConfigKey& key, const TomlNode& node, Config::Value& value,
                    const std::string& path) {
        if (node.kind != TomlNode::Kind::kTable) {
            problems_.add(node.at, "\"{}\" must be a table: write [{}] and its keys below",
                          key.name, path);
            return;
        }
        read(node, value.tables.front(), path);
    }

    void read_tables(const ConfigKey& key, const TomlNode& node, Config::Value& value,
                     const std::string& path) {
        const bool is_list = node.kind == TomlNode::Kind::kArray;
        const bool all_tables =
            is_list && std::all_of(node.items.begin(), node.items.end(), [](const TomlNode& item) {
                return item.kind == TomlNode::Kind::kTable;
            });
        if (!all_tables) {
            problems_.add(node.at, "\"{}\" must be a list of tables: write [[{}]], once for each",
                          key.name, path);
            return;
        }
        if (too_many(key, node.items.size(), node.at)) return;
        for (const TomlNode& item : node.items) {
            value.tables.push_back(Config(key.table));
            read(item, value.tables.back(), path);
        }
    }

    void read_map(const ConfigKey& key, const TomlNode& node, Config::Value& value) {
        if (node.kind != TomlNode::Kind::kTable) {
            problems_.add(node.at, "\"{}\" must be a table: write [{}] and lines NAME = \"text\"",
                          key.name, key.name);
            return;
        }
        if (too_many(key, node.members.size(), node.at)) return;
        for (const auto& [name, member] : node.members) {
            if (member.kind != TomlNode::Kind::kString) {
                problems_.add(member.at, "\"{}\" must be text: put it in quotes",
                              printable(name, 60));
                continue;
            }
            value.items.push_back(ConfigItem{name, member.text, member.key_at});
        }
        value.has_value = true;
    }

    void read_list(const ConfigKey& key, const TomlNode& node, Config::Value& value) {
        if (node.kind != TomlNode::Kind::kArray) {
            problems_.add(node.at, "\"{}\" must be a list of texts: [\"a\", \"b\"]", key.name);
            return;
        }
        if (too_many(key, node.items.size(), node.at)) return;
        value.items.clear();
        value.has_value = true;
        for (const TomlNode& item : node.items) {
            if (item.kind != TomlNode::Kind::kString) {
                problems_.add(item.at, "\"{}\" holds texts: put this in quotes", key.name);
                continue;
            }
            if (const auto parsed = parse_config_scalar(key, item.text); !parsed) {
                problems_.add(item.at, "{}: {}", key.name, parsed.error().message());
                continue;
            }
            value.items.push_back(ConfigItem{"", item.text, item.at});
        }
    }

    bool too_many(const ConfigKey& key, size_t count, ConfigPosition at) {
        if (count <= key.items_max) return false;
        problems_.add(at, "\"{}\" has {} entries; {} are the most", key.name, count, key.items_max);
        return true;
    }

    void read_scalar(const ConfigKey& key, const TomlNode& node, Config::Value& value) {
        const auto text = text_of(key.type, node);
        if (!text) {
            problems_.add(node.at, "\"{}\" must be {}{}, not {}", key.name, to_string(key.type),
                          example(key), describe(node.kind));
            return;
        }
        const auto parsed = parse_config_scalar(key, *text);
        if (!parsed) {
            problems_.add(node.at, "{}: {}", key.name, parsed.error().message());
            return;
        }
        value.text = *text;
        value.integer = parsed->integer;
        value.number = parsed->number;
        value.has_value = true;
    }

    // How the value would be written as text, where its TOML type fits.
    static std::optional<std::string> text_of(ConfigType type, const TomlNode& node) {
        using Kind = TomlNode::Kind;
        switch (type) {
            case ConfigType::kInt:
                if (node.kind == Kind::kInt) return std::to_string(node.integer);
                break;
            case ConfigType::kBool:
                if (node.kind == Kind::kBool) return node.integer != 0 ? "true" : "false";
                break;
            case ConfigType::kFloat:
                if (node.kind == Kind::kInt) return std::to_string(node.integer);
                if (node.kind == Kind::kFloat) return fmt::format("{}", node.number);
                break;
            case ConfigType::kSize:
                if (node.kind == Kind::kInt && node.integer >= 0)
                    return std::to_string(node.integer);
                [[fallthrough]];
            default:
                if (node.kind == Kind::kString) return node.text;
        }
        return std::nullopt;
    }

    static std::string example(const ConfigKey& key) {
        switch (key.type) {
            case ConfigType::kString: return " in quotes";
            case ConfigType::kDuration: return " in quotes, such as \"1m30s\"";
            case ConfigType::kSize: return ", such as \"64MiB\"";
            case ConfigType::kAddress: return " in quotes, such as \"127.0.0.1:8080\"";
            default: return "";
        }
    }

    ConfigProblems& problems_;
    const bool has_syntax_errors_;
};

Config read_config(std::string_view text, const ConfigSchema& schema, ConfigProblems& problems) {
    const size_t problems_before = problems.size();
    TomlNode root = parse_toml(text, problems);
    if (root.at.line == 0) root.at = ConfigPosition{1, 1};
    Config config(schema);
    ConfigReader(problems, problems.size() > problems_before).read(root, config, "");
    return config;
}

}  // namespace candela
