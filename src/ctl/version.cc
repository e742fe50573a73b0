// `candela ctl version`: this executable's version, and the lighthouse's where there is one.

#include <nlohmann/json.hpp>

#include "ctl/verb.h"

namespace candela::ctl {

static Task<Result<int>> run(Session& session, Arguments) {
    auto answer = co_await session.api.get("/v1/version");
    if (!answer) co_return fail(answer.error());
    const std::string theirs = json_string_or(*answer, "version");
    if (session.json) {
        const Json both = {{"ctl", CANDELA_VERSION}, {"lighthouse", theirs}};
        session.terminal.out_json(both);
    } else {
        session.terminal.out(
            fmt::format("ctl         {}\nlighthouse  {}\n", CANDELA_VERSION, theirs));
    }
    co_return kOk;
}

Verb version_verb() {
    return Verb{"", "version", "Versions of ctl and of the lighthouse", {}, {}, true, run};
}

}  // namespace candela::ctl
