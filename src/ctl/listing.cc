// `candela ctl nodes`, `services`, `instances`: one list each.

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/show.h"
#include "ctl/table.h"
#include "ctl/verb.h"
#include "http/target.h"

namespace candela::ctl {

namespace {

// What one node is, and what it can do for services.
Task<Result<int>> show_node(Session& session, std::string name) {
    auto answer = co_await session.api.get("/v1/nodes/" + http::percent_encode(name));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
        co_return kOk;
    }
    const Json one = Json::array({*answer});
    session.terminal.out(nodes_table(session, one));
    const Json& protections = list_of(*answer, "protections");
    if (protections.empty()) co_return kOk;
    const std::string level = json_string_or(*answer, "sandbox_level");
    session.terminal.out(fmt::format("\nsandbox level: {}\n", level.empty() ? "none" : level));
    Table table({"PROTECTION", "STATE", "HOW"});
    for (const Json& each : protections) {
        table.add({json_string_or(each, "name"), json_bool_or(each, "on", false) ? "on" : "off",
                   json_string_or(each, "detail")});
    }
    const auto paint = [&](size_t column, const std::string& cell) {
        if (column != 1) return cell;
        return session.terminal.paint(cell == "on" ? Style::kGreen : Style::kYellow, cell);
    };
    session.terminal.out(table.render(paint));
    co_return kOk;
}

Task<Result<int>> run_nodes(Session& session, Arguments arguments) {
    const std::string action = arguments.text("ACTION");
    if (action == "show") {
        std::string name = arguments.text("NODE");
        if (name.empty()) {
            co_return fail(Code::kInvalid, "which node? try: candela ctl nodes show NODE");
        }
        auto shown = co_await show_node(session, std::move(name));
        co_return shown;
    }
    if (!action.empty()) {
        co_return fail(Code::kInvalid, "\"{}\" is no action; try: candela ctl nodes show {}",
                       printable(action), printable(action));
    }
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

Task<Result<int>> run_services(Session& session, Arguments) {
    auto answer = co_await session.api.get(service_path(session.space, ""));
    if (!answer) co_return fail(answer.error());
    const Json& services = list_of(*answer, "services");
    if (session.json) {
        const Json all = {{"space", session.space}, {"services", services}};
        session.terminal.out_json(all);
    } else {
        session.terminal.out(services_table(session, services));
    }
    co_return kOk;
}

std::string instances_table(const Session& session, const Json& instances) {
    const WallTime now = session.loop.wall();
    Table table({"INSTANCE", "STATE", "SERVICE", "RELEASE", "NODE", "RESTARTS", "AGE", "NOTE"});
    for (const Json& item : instances) {
        const InstanceView view = instance_view(item);
        std::string note = view.cause;
        if (note.empty() && view.state != "ready") note = view.probe_answer;
        table.add({view.id, view.state, view.service, std::to_string(view.release), view.node,
                   std::to_string(view.restarts), age(view.started_at, now), note});
    }
    return table.render([&](size_t column, const std::string& cell) {
        return column == 1 ? session.terminal.paint(style_of_state(cell), cell) : cell;
    });
}

Task<Result<int>> run_instances(Session& session, Arguments arguments) {
    std::string path = "/v1/spaces/" + path_part(session.space) + "/instances";
    const std::string service = arguments.text("SERVICE", arguments.text("--service"));
    if (!service.empty()) path += "?service=" + path_part(service);
    auto answer = co_await session.api.get(path);
    if (!answer) co_return fail(answer.error());
    const Json& instances = list_of(*answer, "instances");
    if (session.json) {
        const Json all = {{"space", session.space}, {"instances", instances}};
        session.terminal.out_json(all);
    } else {
        session.terminal.out(instances_table(session, instances));
    }
    co_return kOk;
}

}  // namespace

Verb nodes_verb() {
    return Verb{"",
                "nodes",
                "The cloud's nodes with their roles; \"nodes show NODE\": what one can do",
                {{"ACTION", "show: one node, with the walls around its services.", false},
                 {"NODE", "Its name.", false}},
                {},
                true,
                run_nodes};
}
Verb services_verb() {
    return Verb{"", "services", "The services of the space", {}, {}, true, run_services};
}
Verb instances_verb() {
    return Verb{"",
                "instances",
                "The running copies of services",
                {{"SERVICE", "Only those of this service.", false}},
                {{"--service", "", "SERVICE", "The same"}},
                true,
                run_instances};
}

}  // namespace candela::ctl
