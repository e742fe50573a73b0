// `candela ctl secrets …` and `candela ctl config …`: what services of a space find as variables
// and files. Secrets only go in.

#include <unistd.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/rollout.h"
#include "ctl/table.h"
#include "ctl/verb.h"
#include "loop/fd.h"
#include "loop/file.h"
#include "node/passphrase.h"
#include "service/value_use.h"

namespace candela::ctl {

namespace {

using service::kValueBytesMax;

constexpr Duration kTimeoutDefault = 5min;
constexpr std::string_view kSecrets = "secrets";
constexpr std::string_view kConfig = "config";

std::string path_of(const Session& session, std::string_view group, std::string_view name = "") {
    std::string path = fmt::format("/v1/spaces/{}/{}", path_part(session.space), group);
    if (!name.empty()) path += "/" + path_part(name);
    return path;
}

Result<std::string> read_input() {
    std::string bytes(kValueBytesMax + 1, '\0');
    size_t count = 0;
    while (count < bytes.size()) {
        const ssize_t got = ::read(STDIN_FILENO, bytes.data() + count, bytes.size() - count);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno("standard input", errno);
        if (got == 0) break;
        count += static_cast<size_t>(got);
    }
    bytes.resize(count);
    return bytes;
}

// From the file that is named, or else asked for on a terminal, or else from a pipe, as it is.
Result<Secret> find_value(Session& session, const Arguments& arguments) {
    std::string bytes;
    if (arguments.has("VALUE")) {
        bytes = arguments.text("VALUE");
    } else if (arguments.has("--file")) {
        CANDELA_TRY_ASSIGN(bytes, read_file(arguments.text("--file"), kValueBytesMax + 1));
    } else if (isatty(STDIN_FILENO) == 1) {
        return read_secret_line(arguments.text("NAME"));
    } else {
        CANDELA_TRY_ASSIGN(bytes, read_input());
        if (bytes.ends_with('\n') && bytes.find('\n') == bytes.size() - 1) {
            session.terminal.note(
                "note: the value ends with a newline, as echo writes it; printf %s does not");
        }
    }
    if (bytes.size() > kValueBytesMax) {
        return fail(Code::kInvalid, "the value has more than {}", format_size(kValueBytesMax));
    }
    return Secret(std::move(bytes));
}

Task<Result<int>> list(Session& session, std::string_view group) {
    auto answer = co_await session.api.get(path_of(session, group));
    if (!answer) co_return fail(answer.error());
    const Json& items = list_of(*answer, group);
    if (session.json) {
        Json all = {{"space", session.space}};
        all[std::string(group)] = items;
        session.terminal.out_json(all);
        co_return kOk;
    }
    const WallTime now = session.loop.wall();
    Table table({"NAME", "VERSION", "SIZE", "AGE", "AUTHOR", "USED BY"});
    for (const Json& item : items) {
        const std::string used = join(string_list(item, "used_by"), ",");
        table.add({json_string_or(item, "name"), std::to_string(json_int_or(item, "version", 0)),
                   format_size(static_cast<uint64_t>(json_int_or(item, "size_bytes", 0))),
                   age(json_string_or(item, "created_at"), now), json_string_or(item, "author"),
                   used.empty() ? "-" : used});
    }
    session.terminal.out(table.render());
    co_return kOk;
}

Task<Result<int>> history(Session& session, Arguments arguments, std::string_view group) {
    auto answer = co_await session.api.get(path_of(session, group, arguments.text("NAME")));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        answer->erase("value");
        answer->erase("base64");
        session.terminal.out_json(*answer);
        co_return kOk;
    }
    const WallTime now = session.loop.wall();
    Table table({"VERSION", "SIZE", "AGE", "AUTHOR", "NOTE"});
    for (const Json& item : list_of(*answer, "versions")) {
        const int64_t copy_of = json_int_or(item, "copy_of", 0);
        table.add({std::to_string(json_int_or(item, "version", 0)),
                   format_size(static_cast<uint64_t>(json_int_or(item, "size_bytes", 0))),
                   age(json_string_or(item, "created_at"), now), json_string_or(item, "author"),
                   copy_of == 0 ? "" : fmt::format("rollback to {}", copy_of)});
    }
    session.terminal.out(table.render());
    co_return kOk;
}

// Says what came of a change, and waits for the services that it restarts.
Task<Result<int>> follow(Session& session, Arguments arguments, Json answer) {
    auto timeout = arguments.duration("--timeout", kTimeoutDefault);
    if (!timeout) co_return fail(timeout.error());
    if (session.json) session.terminal.out_json(answer);
    const std::string name = json_string_or(answer, "name");
    if (!session.json) {
        const bool is_changed = json_bool_or(answer, "changed", true);
        std::string line = fmt::format("{} version {}{}", name, json_int_or(answer, "version", 0),
                                       is_changed ? "" : ", unchanged");
        const std::string told = join(string_list(answer, "told"), ", ");
        if (!told.empty()) line += fmt::format("; replaced in {} as it runs", told);
        session.terminal.out(line + "\n");
    }
    int worst = kOk;
    if (!answer.contains("restarted") || arguments.has("--detach")) co_return worst;
    const Json restarted = answer["restarted"];
    for (const Json& item : restarted) {
        const auto release = static_cast<uint64_t>(json_int_or(item, "release", 0));
        auto followed =
            co_await follow_rollout(session, json_string_or(item, "service"), release, *timeout);
        if (!followed) co_return fail(followed.error());
        worst = std::max(worst, *followed);
    }
    co_return worst;
}

Task<Result<int>> set(Session& session, Arguments arguments, std::string_view group) {
    auto value = find_value(session, arguments);
    if (!value) co_return fail(value.error());
    Json wanted = {{"base64", base64_encode(as_bytes(value->reveal()))},
                   {"restart", !arguments.has("--no-restart")}};
    const std::string name = arguments.text("NAME");
    auto answer = co_await session.api.put(path_of(session, group, name), std::move(wanted));
    if (!answer) co_return fail(answer.error());
    auto followed = co_await follow(session, std::move(arguments), std::move(*answer));
    co_return followed;
}

Task<Result<int>> roll_back(Session& session, Arguments arguments, std::string_view group) {
    auto version = arguments.number("VERSION", 0, 1, UINT32_MAX);
    if (!version) co_return fail(version.error());
    Json wanted = {{"to", *version}, {"restart", !arguments.has("--no-restart")}};
    const std::string path = path_of(session, group, arguments.text("NAME")) + "/rollback";
    auto answer = co_await session.api.post(path, std::move(wanted));
    if (!answer) co_return fail(answer.error());
    auto followed = co_await follow(session, std::move(arguments), std::move(*answer));
    co_return followed;
}

Task<Result<int>> remove(Session& session, Arguments arguments, std::string_view group) {
    const std::string name = arguments.text("NAME");
    auto answer = co_await session.api.remove(path_of(session, group, name));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
    } else {
        session.terminal.note(fmt::format("{} is deleted", name));
    }
    co_return kOk;
}

Task<Result<int>> run_get(Session& session, Arguments arguments) {
    auto version = arguments.number("VERSION", 0, 1, UINT32_MAX);
    if (!version) co_return fail(version.error());
    std::string path = path_of(session, kConfig, arguments.text("NAME"));
    if (*version != 0) path += fmt::format("?version={}", *version);
    auto answer = co_await session.api.get(path);
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        answer->erase("versions");
        session.terminal.out_json(*answer);
        co_return kOk;
    }
    std::string text = json_string_or(*answer, "value");
    if (answer->contains("base64")) {
        CO_TRY_ASSIGN(text, base64_decode(json_string_or(*answer, "base64")));
    }
    const bool is_bare = session.terminal.out_is_terminal() && !text.ends_with('\n');
    session.terminal.out(is_bare ? text + "\n" : text);
    co_return kOk;
}

Task<Result<int>> run_rotate(Session& session, Arguments) {
    Json nothing = Json::object();
    auto answer = co_await session.api.post("/v1/sealing-key/rotate", std::move(nothing));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
    } else {
        session.terminal.note(
            fmt::format("a new key seals; {} sealed anew", json_int_or(*answer, "sealed", 0)));
    }
    co_return kOk;
}

std::vector<VerbOption> change_options() {
    return {{"--no-restart", "", "", "Services get it with their next release"},
            {"--detach", "", "", "Do not wait for the services that are restarted"},
            {"--timeout", "", "TIME", "How long to wait for each (5m)"}};
}

std::vector<VerbOption> set_options() {
    std::vector<VerbOption> options = {
        {"--file", "", "FILE", "Take what is in the file (default: standard input)"}};
    for (const VerbOption& option : change_options()) options.push_back(option);
    return options;
}

const VerbArgument kName{"NAME", "A letter, then letters, digits, _, - and ."};

}  // namespace

Verb secrets_list_verb() {
    return Verb{"secrets", "list", "The secrets of the space, without what is in them",    {},
                {},        true,   [](Session& s, Arguments) { return list(s, kSecrets); }};
}
Verb secrets_set_verb() {
    return Verb{"secrets",
                "set",
                "Sets a secret, from a file, standard input or a prompt",
                {kName},
                set_options(),
                true,
                [](Session& s, Arguments a) { return set(s, std::move(a), kSecrets); }};
}
Verb secrets_history_verb() {
    return Verb{"secrets",
                "history",
                "The versions of a secret",
                {kName},
                {},
                true,
                [](Session& s, Arguments a) { return history(s, std::move(a), kSecrets); }};
}
Verb secrets_rollback_verb() {
    return Verb{"secrets",
                "rollback",
                "Makes a new version of the one before, or of the one named",
                {kName, {"VERSION", "As secrets history shows it.", false}},
                change_options(),
                true,
                [](Session& s, Arguments a) { return roll_back(s, std::move(a), kSecrets); }};
}
Verb secrets_remove_verb() {
    return Verb{"secrets",
                "rm",
                "Deletes a secret that nothing uses",
                {kName},
                {},
                true,
                [](Session& s, Arguments a) { return remove(s, std::move(a), kSecrets); }};
}
Verb secrets_rotate_key_verb() {
    return Verb{
        "secrets", "rotate-key", "Seals all that the lighthouse keeps sealed with a new key",
        {},        {},           true,
        run_rotate};
}
Verb config_list_verb() {
    return Verb{"config",
                "list",
                "The config values of the space",
                {},
                {},
                true,
                [](Session& s, Arguments) { return list(s, kConfig); }};
}
Verb config_get_verb() {
    return Verb{"config",
                "get",
                "What a config value is, or was",
                {kName, {"VERSION", "As config history shows it.", false}},
                {},
                true,
                run_get};
}
Verb config_set_verb() {
    return Verb{"config",
                "set",
                "Sets a config value, from the command line, a file or standard input",
                {kName, {"VALUE", "The value itself.", false}},
                set_options(),
                true,
                [](Session& s, Arguments a) { return set(s, std::move(a), kConfig); }};
}
Verb config_history_verb() {
    return Verb{"config",
                "history",
                "The versions of a config value",
                {kName},
                {},
                true,
                [](Session& s, Arguments a) { return history(s, std::move(a), kConfig); }};
}
Verb config_rollback_verb() {
    return Verb{"config",
                "rollback",
                "Makes a new version of the one before, or of the one named",
                {kName, {"VERSION", "As config history shows it.", false}},
                change_options(),
                true,
                [](Session& s, Arguments a) { return roll_back(s, std::move(a), kConfig); }};
}
Verb config_remove_verb() {
    return Verb{"config",
                "rm",
                "Deletes a config value that nothing uses",
                {kName},
                {},
                true,
                [](Session& s, Arguments a) { return remove(s, std::move(a), kConfig); }};
}

}  // namespace candela::ctl
