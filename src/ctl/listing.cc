// `candela ctl nodes`, `services`, `instances`: one list each.

#include <nlohmann/json.hpp>

#include "ctl/api_model.h"
#include "ctl/show.h"
#include "ctl/table.h"
#include "ctl/verb.h"

namespace candela::ctl {

namespace {

Task<Result<int>> run_nodes(Session& session, Arguments) {
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
    return Verb{"", "nodes", "The cloud's nodes with their roles", {}, {}, true, run_nodes};
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
