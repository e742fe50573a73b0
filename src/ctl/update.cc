// What people do to a service between deployments: `restart`, `pause`, `resume`, `promote`, `lock`
// and `unlock`.

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/rollout.h"
#include "ctl/show.h"
#include "ctl/verb.h"

namespace candela::ctl {

namespace {

constexpr Duration kTimeoutDefault = 5min;
constexpr Duration kLockDefault = 1h;

std::string path_of(const Session& session, const Arguments& arguments, std::string_view action) {
    return fmt::format("{}/{}", service_path(session.space, arguments.text("SERVICE")), action);
}

// Follows the release that the answer is, unless that is not wanted.
Task<Result<int>> follow(Session& session, Arguments arguments, Json release) {
    auto timeout = arguments.duration("--timeout", kTimeoutDefault);
    if (!timeout) co_return fail(timeout.error());
    if (arguments.has("--detach")) {
        if (session.json) session.terminal.out_json(release);
        co_return kOk;
    }
    auto followed = co_await follow_rollout(session, arguments.text("SERVICE"),
                                            release_view(release).number, *timeout);
    co_return followed;
}

Task<Result<int>> run_restart(Session& session, Arguments arguments) {
    Json wanted = Json::object();
    if (arguments.has("--idempotency-key"))
        wanted["idempotency_key"] = arguments.text("--idempotency-key");
    auto answer =
        co_await session.api.post(path_of(session, arguments, "restart"), std::move(wanted));
    if (!answer) co_return fail(answer.error());
    const ReleaseView release = release_view(*answer);
    session.terminal.note(fmt::format("{} release {} starts release {} anew",
                                      arguments.text("SERVICE"), release.number, release.copy_of));
    auto followed = co_await follow(session, std::move(arguments), std::move(*answer));
    co_return followed;
}

Task<Result<int>> run_promote(Session& session, Arguments arguments) {
    auto answer = co_await session.api.post(path_of(session, arguments, "promote"), Json::object());
    if (!answer) co_return fail(answer.error());
    session.terminal.note(fmt::format("{} release {} is promoted", arguments.text("SERVICE"),
                                      release_view(*answer).number));
    auto followed = co_await follow(session, std::move(arguments), std::move(*answer));
    co_return followed;
}

Task<Result<int>> run_pause(Session& session, Arguments arguments) {
    auto answer = co_await session.api.post(path_of(session, arguments, "pause"), Json::object());
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
    } else {
        session.terminal.out(fmt::format("{}: its update stands still; what fails is replaced\n",
                                         arguments.text("SERVICE")));
    }
    co_return kOk;
}

Task<Result<int>> run_resume(Session& session, Arguments arguments) {
    auto answer = co_await session.api.post(path_of(session, arguments, "resume"), Json::object());
    if (!answer) co_return fail(answer.error());
    auto followed = co_await follow(session, std::move(arguments), std::move(*answer));
    co_return followed;
}

Task<Result<int>> run_lock(Session& session, Arguments arguments) {
    auto time = arguments.duration("--for", kLockDefault);
    if (!time) co_return fail(time.error());
    Json wanted = {{"seconds", std::chrono::duration_cast<std::chrono::seconds>(*time).count()},
                   {"reason", arguments.text("--reason")}};
    auto answer = co_await session.api.post(path_of(session, arguments, "lock"), std::move(wanted));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
    } else {
        session.terminal.out(fmt::format("{} is locked for {}: only you change it\n",
                                         arguments.text("SERVICE"), format_duration(*time)));
    }
    co_return kOk;
}

Task<Result<int>> run_unlock(Session& session, Arguments arguments) {
    auto answer = co_await session.api.remove(path_of(session, arguments, "lock"));
    if (!answer) co_return fail(answer.error());
    if (session.json)
        session.terminal.out_json(*answer);
    else
        session.terminal.out(fmt::format("{} is unlocked\n", arguments.text("SERVICE")));
    co_return kOk;
}

std::vector<VerbArgument> service_argument() { return {{"SERVICE", "Its name."}}; }

std::vector<VerbOption> wait_options() {
    return {{"--timeout", "", "TIME", "How long to wait (5m)"},
            {"--detach", "", "", "Do not wait for the rollout"}};
}

}  // namespace

Verb restart_verb() {
    std::vector<VerbOption> options = wait_options();
    options.push_back({"--idempotency-key", "", "KEY", "Asked for twice by this key, done once"});
    return Verb{"",
                "restart",
                "Starts all instances anew, a few at a time",
                service_argument(),
                std::move(options),
                true,
                run_restart};
}
Verb promote_verb() {
    return Verb{"",
                "promote",
                "Lets the release that waits as a canary, or in green, take over",
                service_argument(),
                wait_options(),
                true,
                run_promote};
}
Verb pause_verb() {
    return Verb{"", "pause", "Lets an update stand still", service_argument(), {}, true, run_pause};
}
Verb resume_verb() {
    return Verb{
        "",   "resume",  "Lets an update go on that was paused", service_argument(), wait_options(),
        true, run_resume};
}
Verb lock_verb() {
    return Verb{"",
                "lock",
                "Keeps everybody else from changing a service, for a while",
                service_argument(),
                {{"--for", "", "TIME", "How long (1h)"},
                 {"--reason", "", "TEXT", "What the others are told"}},
                true,
                run_lock};
}
Verb unlock_verb() {
    return Verb{
        "",   "unlock",  "Ends a lock before its time, whoever holds it", service_argument(), {},
        true, run_unlock};
}

}  // namespace candela::ctl
