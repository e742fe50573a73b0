#include "base/config.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "base/config_value.h"

namespace candela {

std::string_view to_string(ConfigType type) {
    switch (type) {
        case ConfigType::kString: return "text";
        case ConfigType::kInt: return "a whole number";
        case ConfigType::kBool: return "true or false";
        case ConfigType::kFloat: return "a number";
        case ConfigType::kDuration: return "a duration";
        case ConfigType::kSize: return "a size";
        case ConfigType::kAddress: return "an address";
        case ConfigType::kStrings: return "a list of texts";
        case ConfigType::kAddresses: return "a list of addresses";
        case ConfigType::kStringMap: return "a table of texts";
        case ConfigType::kTable: return "a table";
        case ConfigType::kTables: return "a list of tables";
    }
    return "a value";
}

ConfigKey&& ConfigKey::required() && {
    is_required = true;
    return std::move(*this);
}

ConfigKey&& ConfigKey::one_of(std::vector<std::string> values) && {
    allowed = std::move(values);
    return std::move(*this);
}

ConfigKey&& ConfigKey::range(std::string_view min, std::string_view max) && {
    min_text = min;
    max_text = max;
    return std::move(*this);
}

ConfigKey&& ConfigKey::at_most(size_t items) && {
    items_max = items;
    return std::move(*this);
}

namespace {
ConfigKey make_key(ConfigType type, std::string_view name, std::string_view fallback,
                   std::string_view help) {
    ConfigKey key;
    key.name = name;
    key.type = type;
    key.default_text = fallback;
    key.help = help;
    return key;
}

ConfigKey make_list(ConfigType type, std::string_view name, std::vector<std::string> fallback,
                    std::string_view help) {
    ConfigKey key = make_key(type, name, "", help);
    key.default_items = std::move(fallback);
    return key;
}

ConfigKey make_table(ConfigType type, std::string_view name, ConfigSchema table,
                     std::string_view help) {
    ConfigKey key = make_key(type, name, "", help);
    key.table = std::make_shared<const ConfigSchema>(std::move(table));
    return key;
}
}  // namespace

ConfigKey config_string(std::string_view name, std::string_view fallback, std::string_view help) {
    return make_key(ConfigType::kString, name, fallback, help);
}
ConfigKey config_int(std::string_view name, std::string_view fallback, std::string_view help) {
    return make_key(ConfigType::kInt, name, fallback, help);
}
ConfigKey config_bool(std::string_view name, std::string_view fallback, std::string_view help) {
    return make_key(ConfigType::kBool, name, fallback, help);
}
ConfigKey config_float(std::string_view name, std::string_view fallback, std::string_view help) {
    return make_key(ConfigType::kFloat, name, fallback, help);
}
ConfigKey config_duration(std::string_view name, std::string_view fallback, std::string_view help) {
    return make_key(ConfigType::kDuration, name, fallback, help);
}
ConfigKey config_size(std::string_view name, std::string_view fallback, std::string_view help) {
    return make_key(ConfigType::kSize, name, fallback, help);
}
ConfigKey config_address(std::string_view name, std::string_view fallback, std::string_view help) {
    return make_key(ConfigType::kAddress, name, fallback, help);
}
ConfigKey config_strings(std::string_view name, std::vector<std::string> fallback,
                         std::string_view help) {
    return make_list(ConfigType::kStrings, name, std::move(fallback), help);
}
ConfigKey config_addresses(std::string_view name, std::vector<std::string> fallback,
                           std::string_view help) {
    return make_list(ConfigType::kAddresses, name, std::move(fallback), help);
}
ConfigKey config_string_map(std::string_view name, std::string_view help) {
    return make_key(ConfigType::kStringMap, name, "", help);
}
ConfigKey config_table(std::string_view name, ConfigSchema table, std::string_view help) {
    return make_table(ConfigType::kTable, name, std::move(table), help);
}
ConfigKey config_tables(std::string_view name, ConfigSchema table, std::string_view help) {
    return make_table(ConfigType::kTables, name, std::move(table), help);
}

const ConfigKey* ConfigSchema::find(std::string_view name) const {
    const auto found = std::find_if(keys_.begin(), keys_.end(),
                                    [&](const ConfigKey& key) { return key.name == name; });
    return found == keys_.end() ? nullptr : &*found;
}

void ConfigProblems::add(ConfigPosition at, std::string message) {
    if (problems_.size() >= kProblemsMax) {
        ++dropped_;
        return;
    }
    problems_.push_back(ConfigProblem{at, std::move(message)});
}

std::string ConfigProblems::format() const {
    std::vector<const ConfigProblem*> sorted;
    for (const ConfigProblem& problem : problems_) sorted.push_back(&problem);
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
        return std::tie(a->at.line, a->at.column) < std::tie(b->at.line, b->at.column);
    });
    std::string out;
    for (const ConfigProblem* problem : sorted) {
        if (!out.empty()) out += '\n';
        if (problem->at.line == 0) {
            out += fmt::format("{}: error: {}", file_, problem->message);
        } else {
            out += fmt::format("{}:{}:{}: error: {}", file_, problem->at.line, problem->at.column,
                               problem->message);
        }
    }
    if (dropped_ > 0) out += fmt::format("\n{}: and {} more errors", file_, dropped_);
    return out;
}

Error ConfigProblems::as_error() const { return Error(Code::kInvalid, format()); }

Config::Config(const ConfigSchema& schema) : Config(std::make_shared<const ConfigSchema>(schema)) {}

Config::Config(std::shared_ptr<const ConfigSchema> schema) : schema_(std::move(schema)) {
    values_.resize(schema_->keys().size());
    for (size_t i = 0; i < values_.size(); ++i) set_default(schema_->keys()[i], values_[i]);
}

void Config::set_default(const ConfigKey& key, Value& value) {
    if (key.type == ConfigType::kTable) {
        value.tables.push_back(Config(key.table));
        return;
    }
    for (const std::string& item : key.default_items) {
        value.items.push_back(ConfigItem{"", item, {}});
        value.has_value = true;
    }
    const bool is_list = key.type == ConfigType::kStrings || key.type == ConfigType::kAddresses ||
                         key.type == ConfigType::kStringMap || key.type == ConfigType::kTables;
    if (is_list || key.default_text.empty()) return;
    const auto parsed = parse_config_scalar(key, key.default_text);
    CANDELA_CHECK(parsed.has_value());  // a default that its own schema refuses is a bug
    value.text = key.default_text;
    value.integer = parsed->integer;
    value.number = parsed->number;
    value.has_value = true;
}

size_t Config::index_of(std::string_view name) const {
    const ConfigKey* key = schema_->find(name);
    CANDELA_CHECK(key != nullptr);
    return static_cast<size_t>(key - schema_->keys().data());
}

const Config::Value& Config::value(std::string_view name,
                                   std::initializer_list<ConfigType> types) const {
    const size_t index = index_of(name);
    CANDELA_CHECK(std::find(types.begin(), types.end(), schema_->keys()[index].type) !=
                  types.end());
    return values_[index];
}

std::string_view Config::string(std::string_view name) const {
    return value(name, {ConfigType::kString, ConfigType::kAddress}).text;
}
int64_t Config::integer(std::string_view name) const {
    return value(name, {ConfigType::kInt}).integer;
}
bool Config::boolean(std::string_view name) const {
    return value(name, {ConfigType::kBool}).integer != 0;
}
double Config::number(std::string_view name) const {
    return value(name, {ConfigType::kFloat}).number;
}
Duration Config::duration(std::string_view name) const {
    return Duration(value(name, {ConfigType::kDuration}).integer);
}
uint64_t Config::size_bytes(std::string_view name) const {
    return static_cast<uint64_t>(value(name, {ConfigType::kSize}).integer);
}
std::vector<std::string> Config::strings(std::string_view name) const {
    std::vector<std::string> out;
    for (const ConfigItem& item :
         value(name, {ConfigType::kStrings, ConfigType::kAddresses}).items) {
        out.push_back(item.value);
    }
    return out;
}
const std::vector<ConfigItem>& Config::items(std::string_view name) const {
    return value(name, {ConfigType::kStrings, ConfigType::kAddresses, ConfigType::kStringMap})
        .items;
}
const Config& Config::table(std::string_view name) const {
    return value(name, {ConfigType::kTable}).tables.front();
}
const std::vector<Config>& Config::tables(std::string_view name) const {
    return value(name, {ConfigType::kTables}).tables;
}
Config& Config::mutable_table(std::string_view name) {
    const size_t index = index_of(name);
    CANDELA_CHECK(schema_->keys()[index].type == ConfigType::kTable);
    return values_[index].tables.front();
}

bool Config::is_written(std::string_view name) const { return values_[index_of(name)].is_written; }
bool Config::has_value(std::string_view name) const {
    const Value& found = values_[index_of(name)];
    return found.has_value || found.is_written;
}
ConfigPosition Config::position(std::string_view name) const {
    const Value& found = values_[index_of(name)];
    return found.is_written ? found.at : at_;
}

Result<> Config::set(std::string_view name, std::string_view text) {
    const size_t index = index_of(name);
    CANDELA_TRY_ASSIGN(const ConfigScalar parsed,
                       parse_config_scalar(schema_->keys()[index], text));
    Value& target = values_[index];
    target.text = text;
    target.integer = parsed.integer;
    target.number = parsed.number;
    target.is_written = true;
    target.has_value = true;
    return {};
}

void Config::rewrite_texts(
    const std::function<std::string(const ConfigKey& key, const std::string&)>& f) {
    for (size_t i = 0; i < values_.size(); ++i) {
        const ConfigKey& key = schema_->keys()[i];
        Value& target = values_[i];
        if (key.type == ConfigType::kString || key.type == ConfigType::kAddress) {
            target.text = f(key, target.text);
        }
        if (key.type == ConfigType::kStrings || key.type == ConfigType::kAddresses) {
            for (ConfigItem& item : target.items) item.value = f(key, item.value);
        }
        for (Config& table : target.tables) table.rewrite_texts(f);
    }
}

}  // namespace candela
