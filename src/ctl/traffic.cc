// `candela ctl purge SERVICE [PATH]` and `candela ctl maintenance SERVICE on|off`: what gateways do
// with a service's requests, changed without a release.

#include <nlohmann/json.hpp>

#include "ctl/show.h"
#include "ctl/verb.h"

namespace candela::ctl {

namespace {

// Says which gateways have not confirmed, and returns the exit code for that.
int tell_missing(Session& session, const Json& answer) {
    std::string missing;
    for (const Json& name : list_of(answer, "missing")) {
        if (!missing.empty()) missing += ", ";
        missing += name.get<std::string>();
    }
    if (missing.empty()) return kOk;
    session.terminal.note(fmt::format("not confirmed yet by {}; it goes on by itself", missing));
    session.terminal.note("try: candela ctl nodes");
    return kStillGoing;
}

Task<Result<int>> run_purge(Session& session, Arguments arguments) {
    const std::string service = arguments.text("SERVICE");
    Json wanted = {{"path", arguments.text("PATH", "/")},
                   {"host", arguments.text("--host")},
                   {"exact", arguments.has("--exact")}};
    auto answer = co_await session.api.post(service_path(session.space, service) + "/purge",
                                            std::move(wanted));
    if (!answer) co_return fail(answer.error());
    const int code = tell_missing(session, *answer);
    if (session.json) {
        session.terminal.out_json(*answer);
    } else if (code == kOk) {
        session.terminal.out(fmt::format("{}: purged at {} gateway(s)\n", service,
                                         list_of(*answer, "gateways").size()));
    }
    co_return code;
}

Task<Result<int>> run_maintenance(Session& session, Arguments arguments) {
    const std::string service = arguments.text("SERVICE");
    const std::string wanted_state = arguments.text("STATE");
    if (wanted_state != "on" && wanted_state != "off") {
        co_return fail(Code::kInvalid, "STATE is on or off, not \"{}\"", wanted_state);
    }
    Json wanted = {{"on", wanted_state == "on"}};
    auto answer = co_await session.api.post(service_path(session.space, service) + "/maintenance",
                                            std::move(wanted));
    if (!answer) co_return fail(answer.error());
    const int code = tell_missing(session, *answer);
    if (session.json) {
        session.terminal.out_json(*answer);
    } else if (code == kOk) {
        session.terminal.out(fmt::format("{}: maintenance is {}\n", service, wanted_state));
    }
    co_return code;
}

}  // namespace

Verb purge_verb() {
    return Verb{"",
                "purge",
                "Drops what gateways keep of a service's answers",
                {{"SERVICE", "Its name."}, {"PATH", "At and below it; /.", false}},
                {{"--host", "", "HOST", "Only of this host"},
                 {"--exact", "", "", "The path itself, and nothing below it"}},
                true,
                run_purge};
}
Verb maintenance_verb() {
    return Verb{"",
                "maintenance",
                "Answers 503 in a service's stead, or no longer",
                {{"SERVICE", "Its name."}, {"STATE", "on or off."}},
                {},
                true,
                run_maintenance};
}

}  // namespace candela::ctl
