// `candela ctl nodes`, and what people want of one: `nodes show | cordon | uncordon | drain | rm`.

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/show.h"
#include "ctl/table.h"
#include "ctl/verb.h"
#include "loop/flow.h"

namespace candela::ctl {

namespace {

constexpr Duration kDrainTimeoutDefault = 5min;
constexpr Duration kPollInterval = 200ms;

std::string node_path(std::string_view name) { return "/v1/nodes/" + path_part(name); }

Task<Result<int>> run_list(Session& session, Arguments) {
    auto answer = co_await session.api.get("/v1/nodes");
    if (!answer) co_return fail(answer.error());
    const Json& nodes = list_of(*answer, "nodes");
    if (session.json) {
        const Json all = {{"nodes", nodes}};
        session.terminal.out_json(all);
    } else {
        session.terminal.out(nodes_table(session, nodes));
    }
    co_return kOk;
}

void note_waiting(Session& session, const Json& node) {
    for (const Json& item : list_of(node, "waiting")) {
        session.terminal.note(fmt::format("  {}/{} waits: {}", json_string_or(item, "space"),
                                          json_string_or(item, "service"),
                                          printable(json_string_or(item, "why"), 2000)));
    }
}

// What runs instances there, but for the host itself.
std::string drivers_text(const Session& session, const Json& node) {
    std::string out;
    for (const Json& each : list_of(node, "drivers")) {
        const bool is_on = json_bool_or(each, "on", false);
        const std::string level = json_string_or(each, "sandbox_level");
        const std::string state =
            session.terminal.paint(is_on ? Style::kGreen : Style::kYellow, is_on ? "on" : "off");
        out += fmt::format("\n{}: {} ({}{})\n", json_string_or(each, "name"), state,
                           printable(json_string_or(each, "detail"), 500),
                           is_on ? fmt::format("; sandbox level: {}", level) : "");
    }
    return out;
}

// The walls that it builds around instances, and how; empty for nodes that say nothing of them.
std::string protections_text(const Session& session, const Json& node) {
    const Json& protections = list_of(node, "protections");
    if (protections.empty()) return "";
    const std::string level = json_string_or(node, "sandbox_level");
    Table table({"PROTECTION", "STATE", "HOW"});
    for (const Json& each : protections) {
        table.add({json_string_or(each, "name"), json_bool_or(each, "on", false) ? "on" : "off",
                   json_string_or(each, "detail")});
    }
    const auto paint = [&](size_t column, const std::string& cell) {
        if (column != 1) return cell;
        return session.terminal.paint(cell == "on" ? Style::kGreen : Style::kYellow, cell);
    };
    return fmt::format("\nsandbox level: {}\n", level.empty() ? "none" : level) +
           table.render(paint);
}

Task<Result<int>> run_show(Session& session, Arguments arguments) {
    auto node = co_await session.api.get(node_path(arguments.text("NODE")));
    if (!node) co_return fail(node.error());
    if (session.json) {
        session.terminal.out_json(*node);
        co_return kOk;
    }
    Json list = Json::array();
    list.push_back(*node);
    session.terminal.out(nodes_table(session, list));
    const Json& placed = list_of(*node, "placed");
    if (!placed.empty()) session.terminal.out("\n" + instances_table(session, placed));
    const std::string trouble = json_string_or(*node, "trouble");
    if (!trouble.empty()) {
        const std::string text = fmt::format("\ntrouble: {}\n", printable(trouble, 500));
        session.terminal.out(session.terminal.paint(Style::kRed, text));
    }
    session.terminal.out(protections_text(session, *node));
    session.terminal.out(drivers_text(session, *node));
    note_waiting(session, *node);
    co_return kOk;
}

// Says to the lighthouse what is wanted of the node; the answer is the node.
Task<Result<Json>> ask(Session& session, std::string name, std::string_view wish) {
    auto answer =
        co_await session.api.post(fmt::format("{}/{}", node_path(name), wish), Json::object());
    co_return answer;
}

Task<Result<int>> run_cordon(Session& session, Arguments arguments) {
    const std::string name = arguments.text("NODE");
    auto node = co_await ask(session, name, "cordon");
    if (!node) co_return fail(node.error());
    if (session.json)
        session.terminal.out_json(*node);
    else
        session.terminal.out(fmt::format("{} is cordoned: nothing new is placed on it\n", name));
    co_return kOk;
}

Task<Result<int>> run_uncordon(Session& session, Arguments arguments) {
    const std::string name = arguments.text("NODE");
    auto node = co_await ask(session, name, "uncordon");
    if (!node) co_return fail(node.error());
    if (session.json)
        session.terminal.out_json(*node);
    else
        session.terminal.out(fmt::format("{} is open again\n", name));
    co_return kOk;
}

Task<Result<int>> run_drain(Session& session, Arguments arguments) {
    auto timeout = arguments.duration("--timeout", kDrainTimeoutDefault);
    if (!timeout) co_return fail(timeout.error());
    const std::string name = arguments.text("NODE");
    auto node = co_await ask(session, name, "drain");
    if (!node) co_return fail(node.error());
    const MonoTime end = session.loop.now() + *timeout;
    const bool waits = !arguments.has("--detach");
    while (waits && node_view(*node).unfinished > 0 && session.loop.now() < end) {
        session.terminal.live(fmt::format("{}  {} still on it", name, node_view(*node).unfinished));
        co_await sleep_for(session.loop, kPollInterval);
        node = co_await session.api.get(node_path(name));
        if (!node) co_return fail(node.error());
    }
    session.terminal.end_live();
    const NodeView view = node_view(*node);
    if (session.json) session.terminal.out_json(*node);
    if (view.unfinished == 0 || !waits) {
        if (!session.json) {
            session.terminal.out(view.unfinished == 0
                                     ? fmt::format("{} is drained: nothing runs on it\n", name)
                                     : fmt::format("{} is being drained\n", name));
        }
        co_return kOk;
    }
    session.terminal.note(fmt::format("{}: {} still on it after {}; the drain goes on by itself",
                                      name, view.unfinished, format_duration(*timeout)));
    note_waiting(session, *node);
    session.terminal.note(fmt::format("try: candela ctl nodes show {}", name));
    co_return kStillGoing;
}

Task<Result<int>> run_remove(Session& session, Arguments arguments) {
    const std::string name = arguments.text("NODE");
    auto answer = co_await session.api.remove(node_path(name));
    if (!answer) co_return fail(answer.error());
    if (session.json)
        session.terminal.out_json(*answer);
    else
        session.terminal.out(fmt::format("{} is removed\n", name));
    co_return kOk;
}

const VerbArgument kNode{"NODE", "Its name."};

}  // namespace

Verb nodes_list_verb() {
    return Verb{"nodes", "list", "The cloud's nodes with their roles", {}, {}, true, run_list};
}
Verb nodes_show_verb() {
    return Verb{"nodes", "show", "One node, and what is placed on it", {kNode}, {}, true, run_show};
}
Verb nodes_cordon_verb() {
    return Verb{"nodes", "cordon", "Places nothing new on a node", {kNode}, {}, true, run_cordon};
}
Verb nodes_uncordon_verb() {
    return Verb{"nodes", "uncordon",  "Uses a node again that was cordoned or drained", {kNode}, {},
                true,    run_uncordon};
}
Verb nodes_drain_verb() {
    return Verb{
        "nodes",
        "drain",
        "Moves what is on a node elsewhere, and waits until it is empty",
        {kNode},
        {{"--timeout", "", "TIME", "How long to wait (5m)"}, {"--detach", "", "", "Do not wait"}},
        true,
        run_drain};
}
Verb nodes_remove_verb() {
    return Verb{"nodes",   "rm", "Forgets a node that is gone; what was on it is placed elsewhere",
                {kNode},   {},   true,
                run_remove};
}

}  // namespace candela::ctl
