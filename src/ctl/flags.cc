// `candela ctl flags …`: named values that services read live, and that people change without a
// release.

#include <algorithm>
#include <charconv>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/table.h"
#include "ctl/verb.h"
#include "loop/file.h"

namespace candela::ctl {

namespace {

constexpr size_t kFileBytesMax = 1 << 20;
constexpr size_t kShownWidth = 48;
constexpr std::string_view kKinds[] = {"bool", "string", "percentage"};

std::string path_of(const Session& session, std::string_view name = "") {
    std::string path = fmt::format("/v1/spaces/{}/flags", path_part(session.space));
    if (!name.empty()) path += "/" + path_part(name);
    return path;
}

// ---- what people write and read

std::optional<bool> parse_switch(std::string_view text) {
    if (text == "on" || text == "true") return true;
    if (text == "off" || text == "false") return false;
    return std::nullopt;
}

std::optional<double> parse_percent(std::string_view text) {
    if (text.ends_with('%')) text.remove_suffix(1);
    double number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

std::string text_of(const Json& value) {
    if (value.is_boolean()) return value.get<bool>() ? "on" : "off";
    return value.is_string() ? value.get<std::string>() : dump_json(value);
}

// What everybody gets whom no rule names.
std::string value_text(const Json& flag) {
    if (const auto percent = flag.find("percent"); percent != flag.end()) {
        return dump_json(*percent) + "%";
    }
    const auto value = flag.find("value");
    if (value == flag.end()) return "";
    return value->is_string() ? fmt::format("\"{}\"", printable(value->get<std::string>(), 500))
                              : text_of(*value);
}

size_t named_clients(const Json& flag) {
    size_t count = 0;
    for (const Json& rule : list_of(flag, "rules")) count += string_list(rule, "clients").size();
    return count;
}

std::string summary_of(const Json& flag) {
    std::string text = fmt::format("{}: {}", json_string_or(flag, "kind"), value_text(flag));
    if (flag.contains("percent")) text += " of the clients";
    const size_t named = named_clients(flag);
    if (named != 0) text += fmt::format(", {} by name", named);
    return text;
}

// The value of one client's rule, as the flag's kind has it.
Result<Json> rule_value(std::string_view kind, std::string_view text) {
    if (kind == "string") return Json(std::string(text));
    if (const auto on = parse_switch(text)) return Json(*on);
    return fail(Code::kInvalid, "\"{}\" is neither on nor off, and the flag is a {}",
                printable(text, 60), kind);
}

// ---- changing one

Json find_flag_json(const Json& answer) {
    Json flag = {{"kind", json_string_or(answer, "kind")}};
    for (const char* member : {"value", "percent", "rules", "description"}) {
        if (answer.contains(member)) flag[member] = answer[member];
    }
    return flag;
}

Result<std::string> find_kind(const Arguments& arguments, const Json& before) {
    if (arguments.has("--kind")) {
        const std::string kind = arguments.text("--kind");
        if (std::ranges::find(kKinds, kind) != std::end(kKinds)) return kind;
        return fail(Code::kInvalid, "--kind is bool, string or percentage, not \"{}\"",
                    printable(kind, 40));
    }
    if (!before.is_null()) return json_string_or(before, "kind");
    const std::string value = arguments.text("VALUE");
    if (parse_switch(value)) return std::string("bool");
    if (value.ends_with('%') && parse_percent(value)) return std::string("percentage");
    if (value.empty()) {
        return fail(Code::kInvalid,
                    "there is no flag {} yet: what should it be?\ntry: candela ctl flags set {} "
                    "on; off; 25%; or a text with --kind string",
                    arguments.text("NAME"), arguments.text("NAME"));
    }
    return fail(Code::kInvalid,
                "\"{}\" is neither on, off nor a percentage like 25%\ntry: --kind string, if it is "
                "meant as a text",
                printable(value, 60));
}

Result<> set_value(Json& flag, std::string_view kind, std::string_view text) {
    if (kind == "percentage") {
        const auto percent = parse_percent(text);
        if (!percent || *percent < 0 || *percent > 100) {
            return fail(Code::kInvalid,
                        "\"{}\" is no percentage from 0% to 100%, which the flag is\ntry: --kind "
                        "bool turns it into one that is on or off",
                        printable(text, 60));
        }
        flag["percent"] = *percent;
        return {};
    }
    if (kind == "bool" && !parse_switch(text)) {
        return fail(Code::kInvalid,
                    "\"{}\" is neither on nor off, and the flag is a bool\ntry: --kind string or "
                    "--kind percentage turns it into another",
                    printable(text, 60));
    }
    CANDELA_TRY_ASSIGN(flag["value"], rule_value(kind, text));
    return {};
}

// No rule names the client any more.
void forget(Json& rules, const std::string& client) {
    Json kept = Json::array();
    for (const Json& rule : rules) {
        Json clients = Json::array();
        for (const std::string& each : string_list(rule, "clients")) {
            if (each != client) clients.push_back(each);
        }
        if (clients.empty()) continue;
        Json changed = rule;
        changed["clients"] = std::move(clients);
        kept.push_back(std::move(changed));
    }
    rules = std::move(kept);
}

// A client that the value is given to stands with those who have the same.
void add_client(Json& rules, const std::string& client, const Json& value) {
    for (Json& rule : rules) {
        if (rule.value("value", Json()) != value) continue;
        rule["clients"].push_back(client);
        return;
    }
    rules.push_back({{"clients", Json::array({client})}, {"value", value}});
}

Result<> change_rules(Json& flag, std::string_view kind, const Arguments& arguments) {
    Json rules = flag.value("rules", Json::array());
    for (const std::string& client : arguments.list("--forget")) {
        const std::string before = dump_json(rules);
        forget(rules, client);
        if (dump_json(rules) == before) {
            return fail(Code::kNotFound, "no rule names the client \"{}\"", printable(client, 60));
        }
    }
    for (const std::string& wish : arguments.list("--for")) {
        const auto pair = split_once(wish, '=');
        if (!pair || pair->first.empty()) {
            return fail(Code::kInvalid, "--for takes CLIENT=VALUE, not \"{}\"\ntry: --for alice=on",
                        printable(wish, 60));
        }
        const std::string client(pair->first);
        CANDELA_TRY_ASSIGN(const Json value, rule_value(kind, pair->second));
        forget(rules, client);
        add_client(rules, client, value);
    }
    flag["rules"] = std::move(rules);
    return {};
}

// `before` is null where there is no such flag.
Result<Json> make_flag(const Arguments& arguments, const Json& before) {
    if (arguments.has("--file")) {
        for (const char* other : {"VALUE", "--kind", "--description"}) {
            if (!arguments.has(other)) continue;
            return fail(Code::kInvalid, "--file says all of the flag; leave {} out", other);
        }
        CANDELA_TRY_ASSIGN(const std::string text,
                           read_file(arguments.text("--file"), kFileBytesMax));
        return parse_json(text).in(arguments.text("--file"));
    }
    CANDELA_TRY_ASSIGN(const std::string kind, find_kind(arguments, before));
    Json flag = before.is_null() ? Json::object() : before;
    const bool is_same_kind = !before.is_null() && json_string_or(before, "kind") == kind;
    if (!is_same_kind && !before.is_null()) {
        if (!arguments.has("VALUE")) {
            return fail(Code::kInvalid, "a flag that becomes a {} needs a new value", kind);
        }
        // What its rules said was of the other kind; on and off mean the same in both.
        if (kind == "string" || json_string_or(before, "kind") == "string") flag.erase("rules");
        flag.erase("value");
        flag.erase("percent");
    }
    flag["kind"] = kind;
    if (arguments.has("VALUE")) {
        CANDELA_TRY(set_value(flag, kind, arguments.text("VALUE")));
    } else if (before.is_null()) {
        return fail(Code::kInvalid, "a new flag needs a value");
    }
    if (arguments.has("--description")) flag["description"] = arguments.text("--description");
    CANDELA_TRY(change_rules(flag, kind, arguments));
    return flag;
}

// Whether services have what was done; says so where they do not.
int exit_of(Session& session, const Json& answer) {
    if (json_bool_or(answer, "published", true)) return kOk;
    const std::string trouble = json_string_or(answer, "trouble");
    session.terminal.note(
        fmt::format("services do not see it yet{}; they will as soon as the bus has it",
                    trouble.empty() ? "" : ": " + printable(trouble, 300)));
    return kStillGoing;
}

// ---- the verbs

Task<Result<int>> run_list(Session& session, Arguments) {
    auto answer = co_await session.api.get(path_of(session));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
        co_return kOk;
    }
    const WallTime now = session.loop.wall();
    Table table({"NAME", "KIND", "VALUE", "BY NAME", "VERSION", "AGE", "AUTHOR", "DESCRIPTION"});
    for (const Json& flag : list_of(*answer, "flags")) {
        table.add({json_string_or(flag, "name"), json_string_or(flag, "kind"),
                   cut_to_width(value_text(flag), kShownWidth), std::to_string(named_clients(flag)),
                   std::to_string(json_int_or(flag, "version", 0)),
                   age(json_string_or(flag, "created_at"), now), json_string_or(flag, "author"),
                   cut_to_width(printable(json_string_or(flag, "description"), 500), kShownWidth)});
    }
    session.terminal.out(table.render());
    if (!json_bool_or(*answer, "published", true)) exit_of(session, *answer);
    co_return kOk;
}

void print_flag(Session& session, const Json& flag) {
    std::string text = fmt::format("{} version {} by {}, {} ago\n", json_string_or(flag, "name"),
                                   json_int_or(flag, "version", 0), json_string_or(flag, "author"),
                                   age(json_string_or(flag, "created_at"), session.loop.wall()));
    const std::string description = json_string_or(flag, "description");
    if (!description.empty()) text += fmt::format("  {}\n", printable(description, 1000));
    for (const Json& rule : list_of(flag, "rules")) {
        text += fmt::format("  {} for {}\n", text_of(rule.value("value", Json())),
                            printable(join(string_list(rule, "clients"), ", "), 2000));
    }
    const bool has_rules = !list_of(flag, "rules").empty();
    text += fmt::format("  {}{} ({})\n", value_text(flag),
                        flag.contains("percent") ? " of the clients"
                        : has_rules              ? " for everybody else"
                                                 : " for everybody",
                        json_string_or(flag, "kind"));
    session.terminal.out(text);
}

Task<Result<int>> run_get(Session& session, Arguments arguments) {
    std::string path = path_of(session, arguments.text("NAME"));
    if (arguments.has("--client")) path += "?client=" + path_part(arguments.text("--client"));
    auto answer = co_await session.api.get(path);
    if (!answer) co_return fail(answer.error());
    answer->erase("versions");
    if (session.json) {
        session.terminal.out_json(*answer);
        co_return kOk;
    }
    if (const auto said = answer->find("answer"); said != answer->end()) {
        session.terminal.out(text_of(said->value("value", Json())) + "\n");
        session.terminal.note(json_string_or(*said, "reason"));
        co_return kOk;
    }
    print_flag(session, *answer);
    if (!json_bool_or(*answer, "published", true)) exit_of(session, *answer);
    co_return kOk;
}

Task<Result<int>> run_set(Session& session, Arguments arguments) {
    const std::string path = path_of(session, arguments.text("NAME"));
    auto before = co_await session.api.get(path);
    if (!before && before.error().code() != Code::kNotFound) co_return fail(before.error());
    Json known;
    std::string revision;
    if (before) {
        known = find_flag_json(*before);
        revision = json_string_or(*before, "revision");
    }
    auto flag = make_flag(arguments, known);
    if (!flag) co_return fail(flag.error());
    auto answer = co_await session.api.put(path, std::move(*flag), std::move(revision));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
    } else {
        session.terminal.out(fmt::format(
            "{} version {}{}, {}\n", json_string_or(*answer, "name"),
            json_int_or(*answer, "version", 0),
            json_bool_or(*answer, "changed", true) ? "" : " (unchanged)", summary_of(*answer)));
    }
    co_return exit_of(session, *answer);
}

Task<Result<int>> run_history(Session& session, Arguments arguments) {
    auto answer = co_await session.api.get(path_of(session, arguments.text("NAME")));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
        co_return kOk;
    }
    const WallTime now = session.loop.wall();
    Table table({"VERSION", "VALUE", "BY NAME", "AGE", "AUTHOR"});
    for (const Json& version : list_of(*answer, "versions")) {
        table.add(
            {std::to_string(json_int_or(version, "version", 0)),
             cut_to_width(value_text(version), kShownWidth), std::to_string(named_clients(version)),
             age(json_string_or(version, "created_at"), now), json_string_or(version, "author")});
    }
    session.terminal.out(table.render());
    co_return kOk;
}

Task<Result<int>> run_remove(Session& session, Arguments arguments) {
    const std::string name = arguments.text("NAME");
    auto answer = co_await session.api.remove(path_of(session, name));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
    } else {
        session.terminal.note(fmt::format("{} is deleted", name));
    }
    co_return exit_of(session, *answer);
}

const VerbArgument kName{"NAME", "A letter, then letters, digits, _ and -, in parts between dots."};

}  // namespace

Verb flags_list_verb() {
    return Verb{"flags", "list", "The feature flags of the space", {}, {}, true, run_list};
}
Verb flags_get_verb() {
    return Verb{"flags",
                "get",
                "A feature flag, or what it says to one client",
                {kName},
                {{"--client", "", "CLIENT", "Only what it says to this client, and why"}},
                true,
                run_get};
}
Verb flags_set_verb() {
    return Verb{
        "flags",
        "set",
        "Makes or changes a feature flag; services read it at once",
        {kName, {"VALUE", "on, off, 25% of the clients, or a text.", false}},
        {{"--for", "", "CLIENT=VALUE", "What one client gets, whatever others do; repeated", true},
         {"--forget", "", "CLIENT", "Names the client in no rule any more; repeated", true},
         {"--kind", "", "KIND", "bool, string or percentage (as it is, or by the value)"},
         {"--description", "", "TEXT", "What it is for"},
         {"--file", "", "FILE", "The whole flag as JSON (docs/flags.md)"}},
        true,
        run_set};
}
Verb flags_history_verb() {
    return Verb{"flags", "history",  "The versions of a feature flag", {kName}, {},
                true,    run_history};
}
Verb flags_remove_verb() {
    return Verb{"flags", "rm",      "Deletes a feature flag, for services as well", {kName}, {},
                true,    run_remove};
}

}  // namespace candela::ctl
