// `candela ctl releases SERVICE` and `candela ctl rollback SERVICE [N]`.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/rollout.h"
#include "ctl/show.h"
#include "ctl/table.h"
#include "ctl/verb.h"

namespace candela::ctl {

namespace {

constexpr Duration kTimeoutDefault = 5min;

Task<Result<int>> run_releases(Session& session, Arguments arguments) {
    const std::string service = arguments.text("SERVICE");
    auto answer = co_await session.api.get(service_path(session.space, service) + "/releases");
    if (!answer) co_return fail(answer.error());
    const Json& releases = list_of(*answer, "releases");
    if (session.json) {
        const Json all = {{"space", session.space}, {"service", service}, {"releases", releases}};
        session.terminal.out_json(all);
        co_return kOk;
    }
    std::vector<ReleaseView> views;
    for (const Json& item : releases) views.push_back(release_view(item));
    std::sort(views.begin(), views.end(),
              [](const ReleaseView& a, const ReleaseView& b) { return a.number > b.number; });
    const WallTime now = session.loop.wall();
    Table table({"RELEASE", "STATE", "AGE", "BUNDLE", "AUTHOR", "NOTE"});
    for (const ReleaseView& view : views) {
        std::string note = view.cause;
        if (note.empty() && view.copy_of != 0) {
            note = fmt::format("{} {}", view.reason == "restart" ? "restart of" : "rollback to",
                               view.copy_of);
        }
        table.add({std::to_string(view.number), view.state, age(view.created_at, now),
                   view.bundle.substr(0, 12), view.author, note});
    }
    session.terminal.out(table.render([&](size_t column, const std::string& cell) {
        return column == 1 ? session.terminal.paint(style_of_state(cell), cell) : cell;
    }));
    co_return kOk;
}

Task<Result<int>> run_rollback(Session& session, Arguments arguments) {
    auto number = arguments.number("RELEASE", 0, 1, UINT32_MAX);
    if (!number) co_return fail(number.error());
    auto timeout = arguments.duration("--timeout", kTimeoutDefault);
    if (!timeout) co_return fail(timeout.error());
    const std::string service = arguments.text("SERVICE");
    Json wanted = Json::object();
    if (*number != 0) wanted["to"] = *number;
    if (arguments.has("--idempotency-key"))
        wanted["idempotency_key"] = arguments.text("--idempotency-key");
    auto answer = co_await session.api.post(service_path(session.space, service) + "/rollback",
                                            std::move(wanted));
    if (!answer) co_return fail(answer.error());
    const ReleaseView release = release_view(*answer);
    if (release.state == "rolled_back") {
        // It was on its way: the one before has never stopped serving.
        if (session.json) {
            session.terminal.out_json(*answer);
        } else {
            session.terminal.out(
                fmt::format("{} release {} is taken back: the release before "
                            "serves on\n",
                            service, release.number));
        }
        co_return kOk;
    }
    session.terminal.note(fmt::format("{} release {} goes back to release {}", service,
                                      release.number, release.copy_of));
    if (arguments.has("--detach")) {
        if (session.json) session.terminal.out_json(*answer);
        co_return kOk;
    }
    auto followed = co_await follow_rollout(session, service, release.number, *timeout);
    co_return followed;
}

}  // namespace

Verb releases_verb() {
    return Verb{"",
                "releases",
                "The releases of a service, the newest first",
                {{"SERVICE", "Its name."}},
                {},
                true,
                run_releases};
}
Verb rollback_verb() {
    return Verb{"",
                "rollback",
                "Goes back to the release before, or to the one named",
                {{"SERVICE", "Its name."}, {"RELEASE", "The release's number.", false}},
                {{"--timeout", "", "TIME", "How long to wait (5m)"},
                 {"--detach", "", "", "Do not wait"},
                 {"--idempotency-key", "", "KEY", "Asked for twice by this key, done once"}},
                true,
                run_rollback};
}

}  // namespace candela::ctl
