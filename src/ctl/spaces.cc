// `candela ctl spaces list|create|delete`.

#include <nlohmann/json.hpp>

#include "ctl/api_model.h"
#include "ctl/table.h"
#include "ctl/verb.h"

namespace candela::ctl {

namespace {

Task<Result<int>> run_list(Session& session, Arguments) {
    auto answer = co_await session.api.get("/v1/spaces");
    if (!answer) co_return fail(answer.error());
    const Json& spaces = list_of(*answer, "spaces");
    if (session.json) {
        const Json all = {{"spaces", spaces}};
        session.terminal.out_json(all);
        co_return kOk;
    }
    const WallTime now = session.loop.wall();
    Table table({"SPACE", "SERVICES", "AGE"});
    for (const Json& space : spaces) {
        table.add({json_string_or(space, "name"), std::to_string(json_int_or(space, "services", 0)),
                   age(json_string_or(space, "created_at"), now)});
    }
    session.terminal.out(table.render());
    co_return kOk;
}

Task<Result<int>> run_create(Session& session, Arguments arguments) {
    const std::string name = arguments.text("NAME");
    Json wanted = {{"name", name}};
    auto answer = co_await session.api.post("/v1/spaces", std::move(wanted));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
    } else {
        session.terminal.note(fmt::format("space {} created", name));
        session.terminal.note(fmt::format("next: candela ctl --space {} deploy DIR", name));
    }
    co_return kOk;
}

Task<Result<int>> run_delete(Session& session, Arguments arguments) {
    const std::string name = arguments.text("NAME");
    auto answer = co_await session.api.remove("/v1/spaces/" + path_part(name));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        const Json done = {{"name", name}, {"deleted", true}};
        session.terminal.out_json(done);
    } else {
        session.terminal.note(fmt::format("space {} deleted", name));
    }
    co_return kOk;
}

}  // namespace

Verb spaces_list_verb() {
    return Verb{"spaces", "list", "The spaces of the cloud", {}, {}, true, run_list};
}
Verb spaces_create_verb() {
    return Verb{"spaces", "create", "Makes a space", {{"NAME", "Its name."}}, {}, true, run_create};
}
Verb spaces_delete_verb() {
    return Verb{
        "spaces", "delete",  "Deletes a space that has no services", {{"NAME", "Its name."}}, {},
        true,     run_delete};
}

}  // namespace candela::ctl
