#include "flags.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "changes.h"
#include "crypto/hash.h"

namespace candela::lighthouse {

namespace {

bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

constexpr uint32_t kWhole = 10'000;  // hundredths of a percent

constexpr std::pair<FlagKind, std::string_view> kKinds[] = {{FlagKind::kBool, "bool"},
                                                            {FlagKind::kString, "string"},
                                                            {FlagKind::kPercentage, "percentage"}};

// What is not there is left out by a mistake of writing: "vaule" must not be ignored.
Result<> check_members(const Json& json, std::string_view where,
                       std::initializer_list<std::string_view> known) {
    for (const auto& [name, value] : json.items()) {
        if (std::ranges::find(known, name) != known.end()) continue;
        return fail(Code::kInvalid, "{} has no member \"{}\"; its members are {}", where,
                    printable(name, 40), fmt::join(known, ", "));
    }
    return {};
}

Result<FlagValue> value_from_json(const Json& object, FlagKind kind, std::string_view where) {
    const auto found = object.find("value");
    if (kind == FlagKind::kString) {
        if (found == object.end() || !found->is_string()) {
            return fail(Code::kInvalid, "{}: \"value\" must be a string, as the flag is one",
                        where);
        }
        std::string text = found->get<std::string>();
        if (text.size() > kFlagStringBytesMax) {
            return fail(Code::kInvalid, "{}: \"value\" has {}; at most {}", where,
                        format_size(text.size()), format_size(kFlagStringBytesMax));
        }
        return FlagValue(std::move(text));
    }
    if (found == object.end() || !found->is_boolean()) {
        return fail(Code::kInvalid, "{}: \"value\" must be true or false", where);
    }
    return FlagValue(found->get<bool>());
}

Result<uint32_t> percent_from_json(const Json& object) {
    const auto found = object.find("percent");
    if (found == object.end() || !found->is_number()) {
        return fail(Code::kInvalid, "a percentage has \"percent\", a number from 0 to 100");
    }
    const double hundredths = found->get<double>() * 100;
    const double rounded = std::round(hundredths);
    if (!(rounded >= 0 && rounded <= kWhole) || std::abs(hundredths - rounded) > 1e-6) {
        return fail(Code::kInvalid,
                    "\"percent\" is a number from 0 to 100 with at most two digits behind the "
                    "point");
    }
    return static_cast<uint32_t>(rounded);
}

Result<FlagRule> rule_from_json(const Json& json, FlagKind kind, size_t place) {
    const std::string where = fmt::format("rule {}", place);
    if (!json.is_object()) return fail(Code::kInvalid, "{} is no object", where);
    CANDELA_TRY(check_members(json, where, {"clients", "value"}));
    FlagRule rule;
    CANDELA_TRY_ASSIGN(rule.value, value_from_json(json, kind, where));
    const auto clients = json.find("clients");
    if (clients == json.end() || !clients->is_array() || clients->empty()) {
        return fail(Code::kInvalid, "{}: \"clients\" must be a list of client ids", where);
    }
    for (const Json& client : *clients) {
        const bool is_id = client.is_string() && !client.get<std::string>().empty() &&
                           client.get<std::string>().size() <= kFlagClientBytesMax;
        if (!is_id) {
            return fail(Code::kInvalid, "{}: a client id is a text of 1 to {} bytes", where,
                        kFlagClientBytesMax);
        }
        rule.clients.push_back(client.get<std::string>());
    }
    return rule;
}

Result<std::vector<FlagRule>> rules_from_json(const Json& json, FlagKind kind) {
    std::vector<FlagRule> rules;
    const auto list = json.find("rules");
    if (list == json.end()) return rules;
    if (!list->is_array()) return fail(Code::kInvalid, "\"rules\" must be a list");
    if (list->size() > kFlagRulesMax) {
        return fail(Code::kInvalid, "there are {} rules; at most {}", list->size(), kFlagRulesMax);
    }
    size_t clients = 0;
    for (const Json& item : *list) {
        CANDELA_TRY_ASSIGN(FlagRule rule, rule_from_json(item, kind, rules.size() + 1));
        clients += rule.clients.size();
        rules.push_back(std::move(rule));
    }
    if (clients > kFlagClientsMax) {
        return fail(Code::kInvalid,
                    "the rules name {} clients; at most {}: ask about a group, a tenant for "
                    "example, in place of each of its members",
                    clients, kFlagClientsMax);
    }
    return rules;
}

Json json_of(const FlagValue& value) {
    if (const bool* on = std::get_if<bool>(&value)) return *on;
    return std::get<std::string>(value);
}

std::string percent_text(uint32_t hundredths) {
    return fmt::format("{}%", static_cast<double>(hundredths) / 100);
}

}  // namespace

std::string_view to_string(FlagKind kind) {
    for (const auto& [known, name] : kKinds) {
        if (known == kind) return name;
    }
    return "";
}

Result<Flag> flag_from_json(const Json& json) {
    if (!json.is_object()) return fail(Code::kInvalid, "a flag is a JSON object");
    const std::string named = json_string_or(json, "kind");
    const auto kind =
        std::ranges::find(kKinds, named, [](const auto& each) { return each.second; });
    if (kind == std::end(kKinds)) {
        return fail(Code::kInvalid, "\"kind\" must be bool, string or percentage");
    }
    Flag flag;
    flag.kind = kind->first;
    if (flag.kind == FlagKind::kPercentage) {
        CANDELA_TRY(
            check_members(json, "a percentage", {"kind", "percent", "rules", "description"}));
        CANDELA_TRY_ASSIGN(flag.percent_hundredths, percent_from_json(json));
    } else {
        const std::string where = fmt::format("a {}", named);
        CANDELA_TRY(check_members(json, where, {"kind", "value", "rules", "description"}));
        CANDELA_TRY_ASSIGN(flag.value, value_from_json(json, flag.kind, "the flag"));
    }
    CANDELA_TRY_ASSIGN(flag.rules, rules_from_json(json, flag.kind));
    const auto description = json.find("description");
    if (description != json.end()) {
        if (!description->is_string() ||
            description->get<std::string>().size() > kFlagDescriptionBytesMax) {
            return fail(Code::kInvalid, "\"description\" must be a text of at most {} bytes",
                        kFlagDescriptionBytesMax);
        }
        flag.description = description->get<std::string>();
    }
    if (dump_json(to_json(flag)).size() > kFlagBytesMax) {
        return fail(Code::kInvalid, "the flag has more than {} in all", format_size(kFlagBytesMax));
    }
    return flag;
}

Json to_json(const Flag& flag) {
    Json json = Json::object();
    json["kind"] = to_string(flag.kind);
    if (flag.kind != FlagKind::kPercentage) {
        json["value"] = json_of(flag.value);
    } else if (flag.percent_hundredths % 100 == 0) {
        json["percent"] = flag.percent_hundredths / 100;
    } else {
        json["percent"] = static_cast<double>(flag.percent_hundredths) / 100;
    }
    Json rules = Json::array();
    for (const FlagRule& rule : flag.rules) {
        rules.push_back({{"clients", rule.clients}, {"value", json_of(rule.value)}});
    }
    json["rules"] = std::move(rules);
    if (!flag.description.empty()) json["description"] = flag.description;
    return json;
}

std::string document_of(const Flag& flag, uint64_t version) {
    Json json = to_json(flag);
    json["version"] = version;
    if (flag.kind == FlagKind::kPercentage) json["below"] = numbers_below(flag.percent_hundredths);
    return dump_json(json);
}

uint32_t client_number(std::string_view flag, std::string_view client) {
    const auto digest = crypto::sha256(as_bytes(fmt::format("{}:{}", flag, client)));
    uint32_t number = 0;
    for (size_t i = 0; i < 4; ++i) number = number << 8 | digest[i];
    return number;
}

// Rounded up, so that the smallest share is not nothing; 100% is 2^32, above all numbers.
uint64_t numbers_below(uint32_t percent_hundredths) {
    return ((uint64_t{percent_hundredths} << 32) + kWhole - 1) / kWhole;
}

FlagAnswer evaluate(const Flag& flag, std::string_view name, std::string_view client) {
    for (size_t i = 0; i < flag.rules.size(); ++i) {
        if (std::ranges::find(flag.rules[i].clients, client) == flag.rules[i].clients.end()) {
            continue;
        }
        return FlagAnswer(flag.rules[i].value, fmt::format("rule {} names the client", i + 1));
    }
    if (flag.kind != FlagKind::kPercentage)
        return FlagAnswer(flag.value, "no rule names the client");
    const uint32_t number = client_number(name, client);
    const bool is_on = number < numbers_below(flag.percent_hundredths);
    constexpr double kNumbers = 4294967296.0;
    return FlagAnswer(is_on, fmt::format("the client is at {:.2f}% of {}", number * 100 / kNumbers,
                                         percent_text(flag.percent_hundredths)));
}

bool is_flag_name(std::string_view name) {
    if (name.empty() || name.size() > kFlagNameMax || !is_alpha(name.front())) return false;
    return std::ranges::all_of(split(name, '.'), [](std::string_view part) {
        return !part.empty() && std::ranges::all_of(part, [](char c) {
            return is_alpha(c) || is_digit(c) || c == '_' || c == '-';
        });
    });
}

std::string revision_of(const FlagVersion& version) {
    // The time tells a flag from one of the same name that was deleted.
    return fmt::format("{}-{:x}", version.number, unix_millis(version.created_at));
}

Result<Change> change_flag(const Wanted& wanted, const FlagKey& key, const Flag& flag,
                           std::string_view who, WallTime wall) {
    const auto known = wanted.flags.find(key);
    const auto count = std::ranges::count_if(
        wanted.flags, [&](const auto& entry) { return entry.first.space == key.space; });
    if (known == wanted.flags.end() && static_cast<size_t>(count) >= kFlagsOfSpaceMax) {
        return fail(Code::kExhausted, "the space {} has {} flags already", key.space,
                    kFlagsOfSpaceMax);
    }
    FlagVersion version;
    version.bytes = dump_json(to_json(flag)).size();
    uint64_t bytes = version.bytes;
    for (const auto& [name, versions] : wanted.flags) {
        if (name.space != key.space) continue;
        for (const auto& [number, kept] : versions) bytes += kept.bytes;
    }
    if (bytes > kFlagsOfSpaceBytesMax) {
        return fail(Code::kExhausted,
                    "all versions of the flags of the space {} would have {}; at most {}",
                    key.space, format_size(bytes), format_size(kFlagsOfSpaceBytesMax));
    }
    Change change;
    version.number = known == wanted.flags.end() ? 1 : known->second.rbegin()->first + 1;
    version.flag = flag;
    version.author = who;
    version.created_at = wall;
    if (known != wanted.flags.end()) {
        size_t kept = known->second.size() + 1;
        for (const auto& [number, old] : known->second) {
            if (kept-- > kFlagVersionsMax) change.gone_flags.emplace_back(key, number);
        }
    }
    change.events.push_back(
        EventRecord("flag_set", key.space, "", key.name,
                    fmt::format("version {} by {}", version.number, version.author)));
    change.flags.emplace_back(key, std::move(version));
    return change;
}

Result<Change> remove_flag(const Wanted& wanted, const FlagKey& key, std::string_view who) {
    const auto found = wanted.flags.find(key);
    if (found == wanted.flags.end()) {
        return fail(Code::kNotFound, "the space {} has no flag {}", key.space, key.name);
    }
    Change change;
    for (const auto& [number, version] : found->second) change.gone_flags.emplace_back(key, number);
    change.events.push_back(
        EventRecord("flag_removed", key.space, "", key.name, fmt::format("by {}", who)));
    return change;
}

std::map<std::string, std::string> documents_of(const Flags& flags, const std::string& space) {
    std::map<std::string, std::string> documents;
    for (auto at = flags.lower_bound(FlagKey(space, "")); at != flags.end(); ++at) {
        if (at->first.space != space) break;
        const FlagVersion& version = at->second.rbegin()->second;
        documents.emplace(at->first.name, document_of(version.flag, version.number));
    }
    return documents;
}

}  // namespace candela::lighthouse
