// `candela ctl status`: nodes and services at one glance.

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/show.h"
#include "ctl/verb.h"

namespace candela::ctl {

static Task<Result<int>> run(Session& session, Arguments) {
    auto counts = co_await session.api.get("/v1/status");
    if (!counts) co_return fail(counts.error());
    auto nodes = co_await session.api.get("/v1/nodes");
    if (!nodes) co_return fail(nodes.error());
    auto services = co_await session.api.get(service_path(session.space, ""));
    if (!services) co_return fail(services.error());
    const Json& node_list = list_of(*nodes, "nodes");
    const Json& service_list = list_of(*services, "services");
    if (session.json) {
        const Json all = {{"space", session.space},
                          {"trouble", json_string_or(*counts, "trouble")},
                          {"waiting_for_hosts", string_list(*counts, "waiting_for_hosts")},
                          {"nodes", node_list},
                          {"services", service_list}};
        session.terminal.out_json(all);
        co_return kOk;
    }
    if (const std::string trouble = json_string_or(*counts, "trouble"); !trouble.empty()) {
        session.terminal.note(fmt::format("{} {}",
                                          session.terminal.paint_note(Style::kRed, "trouble:"),
                                          printable(trouble, 2000)));
    }
    const std::vector<std::string> away = string_list(*counts, "waiting_for_hosts");
    if (!away.empty()) {
        session.terminal.note(
            fmt::format("{} most hosts vanished at once; nothing is moved while {} {} waited for\n"
                        "try: candela ctl nodes rm NODE, for those that will not come back",
                        session.terminal.paint_note(Style::kRed, "holding:"), join(away, ", "),
                        away.size() == 1 ? "is" : "are"));
    }
    const std::string acme = json_string_or(*counts, "acme_error");
    const int64_t failing = json_int_or(*counts, "certificates_failing", 0);
    if (!acme.empty()) {
        session.terminal.note(fmt::format(
            "{} {}", session.terminal.paint_note(Style::kRed, "acme:"), printable(acme, 2000)));
    }
    if (failing > 0) {
        session.terminal.note(
            fmt::format("certificates that have ended or could not be had: {}\n"
                        "try: candela ctl certificates list",
                        failing));
    }
    session.terminal.out(nodes_table(session, node_list) + "\n");
    if (service_list.empty()) {
        session.terminal.note(fmt::format("no services in the space {}", session.space));
        session.terminal.note("try: candela ctl deploy DIR");
        co_return kOk;
    }
    session.terminal.out(services_table(session, service_list));
    co_return kOk;
}

Verb status_verb() {
    return Verb{"", "status", "Nodes and services at a glance", {}, {}, true, run};
}

}  // namespace candela::ctl
