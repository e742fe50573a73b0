#include "ctl/show.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api.h"
#include "ctl/table.h"

namespace candela::ctl {

std::string service_path(std::string_view space, std::string_view service) {
    std::string path = fmt::format("/v1/spaces/{}/services", path_part(space));
    if (!service.empty()) path += "/" + path_part(service);
    return path;
}

Style style_of_state(std::string_view state) {
    if (state == "ready" || state == "done" || state == "serving") return Style::kGreen;
    if (state == "failed" || state == "rolled_back" || state == "silent" || state == "lost" ||
        state == "exited" || state == "down") {
        return Style::kRed;
    }
    if (state == "superseded" || state == "stopped") return Style::kDim;
    return Style::kYellow;
}

std::string nodes_table(const Session& session, const Json& nodes) {
    const WallTime now = session.loop.wall();
    Table table({"NODE", "STATE", "ROLES", "INSTANCES", "CPU", "MEMORY", "VERSION", "HEARD"});
    for (const Json& item : nodes) {
        const NodeView node = node_view(item);
        const std::string heard = age(node.heard_at, now);
        table.add({node.name, node.state, join(node.roles, ","), std::to_string(node.instances),
                   fmt::format("{}% of {}", node.load_percent, node.cpus),
                   format_size(node.memory_bytes), node.version,
                   heard == "-" || heard == "now" ? heard : heard + " ago"});
    }
    return table.render([&](size_t column, const std::string& cell) {
        return column == 1 ? session.terminal.paint(style_of_state(cell), cell) : cell;
    });
}

std::string services_table(const Session& session, const Json& services) {
    Table table({"SERVICE", "STATE", "KIND", "READY", "RELEASE", "ROUTES", "NOTE"});
    for (const Json& item : services) {
        const ServiceView service = service_view(item);
        table.add({service.name, service.state, service.kind,
                   fmt::format("{}/{}", service.ready, service.wanted),
                   service.release == 0 ? "-" : std::to_string(service.release),
                   join(service.routes, " "), service.waiting});
    }
    return table.render([&](size_t column, const std::string& cell) {
        return column == 1 ? session.terminal.paint(style_of_state(cell), cell) : cell;
    });
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

void explain_failure(Session& session, const std::string& service, const ReleaseView& release) {
    constexpr size_t kLogLines = 20;
    Terminal& terminal = session.terminal;
    const auto say = [&](std::string_view label, const std::string& value) {
        if (!value.empty()) terminal.note(fmt::format("  {:<9} {}", label, printable(value, 2000)));
    };
    const ReleaseView::Failing& failing = release.failing;
    say("cause", release.cause);
    say("instance",
        failing.node.empty() ? failing.instance : failing.instance + " on " + failing.node);
    say("probe", failing.probe_answer);
    say("ended", failing.last_exit);
    if (failing.log_tail.empty()) {
        if (!failing.instance.empty()) terminal.note("  it logged nothing");
    } else {
        const size_t first =
            failing.log_tail.size() > kLogLines ? failing.log_tail.size() - kLogLines : 0;
        terminal.note("  its last lines:");
        for (size_t i = first; i < failing.log_tail.size(); ++i) {
            terminal.note(
                terminal.paint_note(Style::kDim, "    | " + printable(failing.log_tail[i], 2000)));
        }
    }
    terminal.note(fmt::format("try: candela ctl logs {} --tail 100", service));
}

}  // namespace candela::ctl
