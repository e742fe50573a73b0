// `candela ctl services`, `instances`: one list each.

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/show.h"
#include "ctl/verb.h"
#include "http/target.h"

namespace candela::ctl {

namespace {

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
