// `candela ctl jobs …`: what runs to its end, by hand or by a schedule.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/show.h"
#include "ctl/table.h"
#include "ctl/verb.h"
#include "loop/flow.h"

namespace candela::ctl {

namespace {

constexpr Duration kPollInterval = 200ms;
constexpr Duration kLastLinesTimeout = 5s;

// "shop/report", or "report" where only one service has it;
// "/v1/spaces/…/services/shop/jobs/report".
Task<Result<std::string>> find_job(Session& session, std::string name) {
    auto answer =
        co_await session.api.get(fmt::format("/v1/spaces/{}/jobs", path_part(session.space)));
    if (!answer) co_return fail(answer.error());
    std::vector<std::string> found;
    std::vector<std::string> known;
    std::string path;
    for (const Json& job : list_of(*answer, "jobs")) {
        const std::string service = json_string_or(job, "service");
        const std::string own = json_string_or(job, "job");
        const std::string full = service + "/" + own;
        known.push_back(full);
        known.push_back(own);
        if (name != full && name != own) continue;
        found.push_back(full);
        path = service_path(session.space, service) + "/jobs/" + path_part(own);
    }
    if (found.size() == 1) co_return path;
    if (found.size() > 1) {
        co_return fail(Code::kInvalid, "there are {}: name one of them", join(found, ", "));
    }
    const std::vector<std::string_view> views(known.begin(), known.end());
    const auto near = nearest(name, views);
    co_return fail(
        Code::kNotFound, "there is no job {} in the space {}{}\ntry: candela ctl jobs list",
        printable(name), session.space, near ? fmt::format("; did you mean {}?", *near) : "");
}

std::string when(const Json& run) {
    const std::string scheduled = json_string_or(run, "scheduled_at");
    return scheduled.empty() ? "by " + json_string_or(run, "author") : scheduled;
}

std::string result_of(const Json& run) {
    std::string text = json_string_or(run, "state");
    const std::string cause = json_string_or(run, "cause");
    if (!cause.empty()) text += ": " + cause;
    return text;
}

std::string duration_of(const Json& run, WallTime now) {
    const auto start = parse_rfc3339(json_string_or(run, "started_at"));
    if (!start) return "-";
    const auto end = parse_rfc3339(json_string_or(run, "ended_at"));
    return short_duration((end ? *end : now) - *start);
}

// "in 5m".
std::string until(const std::string& time, WallTime now) {
    const auto parsed = parse_rfc3339(time);
    if (!parsed) return "-";
    return *parsed <= now ? "now" : "in " + short_duration(*parsed - now);
}

Task<Result<int>> run_list(Session& session, Arguments arguments) {
    std::string path = fmt::format("/v1/spaces/{}/jobs", path_part(session.space));
    if (arguments.has("SERVICE")) path += "?service=" + path_part(arguments.text("SERVICE"));
    auto answer = co_await session.api.get(path);
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
        co_return kOk;
    }
    const WallTime now = session.loop.wall();
    Table table({"JOB", "SCHEDULE", "ZONE", "NEXT", "ACTIVE", "LAST", "RESULT"});
    for (const Json& job : list_of(*answer, "jobs")) {
        const std::string schedule = json_string_or(job, "schedule");
        const std::string next = json_bool_or(job, "paused", false)
                                     ? "paused"
                                     : until(json_string_or(job, "next_at"), now);
        const Json last = job.contains("last") ? job["last"] : Json::object();
        const std::string zone = json_string_or(job, "time_zone");
        table.add({json_string_or(job, "service") + "/" + json_string_or(job, "job"),
                   schedule.empty() ? "-" : schedule, zone.empty() ? "-" : zone, next,
                   std::to_string(json_int_or(job, "active", 0)),
                   age(json_string_or(last, "created_at"), now),
                   cut_to_width(result_of(last), 60)});
    }
    session.terminal.out(table.render());
    co_return kOk;
}

Task<Result<int>> run_history(Session& session, Arguments arguments) {
    auto path = co_await find_job(session, arguments.text("JOB"));
    if (!path) co_return fail(path.error());
    auto answer = co_await session.api.get(*path);
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
        co_return kOk;
    }
    const WallTime now = session.loop.wall();
    Table table({"RUN", "STATE", "FOR", "STARTED", "TOOK", "ATTEMPTS", "EXIT", "CAUSE"});
    for (const Json& run : list_of(*answer, "runs")) {
        const bool has_ended =
            json_int_or(run, "attempts", 0) > 0 && !json_string_or(run, "ended_at").empty();
        table.add({std::to_string(json_int_or(run, "run", 0)), json_string_or(run, "state"),
                   when(run), age(json_string_or(run, "started_at"), now), duration_of(run, now),
                   std::to_string(json_int_or(run, "attempts", 0)),
                   has_ended ? std::to_string(json_int_or(run, "exit_code", 0)) : "-",
                   cut_to_width(json_string_or(run, "cause"), 80)});
    }
    session.terminal.out(table.render([&](size_t column, const std::string& cell) {
        if (column != 1) return cell;
        const Style style = cell == "done"     ? Style::kGreen
                            : cell == "failed" ? Style::kRed
                                               : Style::kYellow;
        return session.terminal.paint(style, cell);
    }));
    co_return kOk;
}

// The run that is named, or the job's last one.
Task<Result<std::string>> find_run(Session& session, Arguments arguments) {
    auto number = arguments.number("RUN", 0, 1, UINT64_MAX);
    if (!number) co_return fail(number.error());
    auto path = co_await find_job(session, arguments.text("JOB"));
    if (!path) co_return fail(path.error());
    if (*number == 0) {
        auto job = co_await session.api.get(*path);
        if (!job) co_return fail(job.error());
        const Json& runs = list_of(*job, "runs");
        if (runs.empty()) {
            co_return fail(Code::kNotFound, "{} has not run yet", arguments.text("JOB"));
        }
        *number = static_cast<uint64_t>(json_int_or(runs.front(), "run", 0));
    }
    co_return fmt::format("{}/runs/{}", *path, *number);
}

void show_run(Session& session, const Json& run) {
    if (session.json) {
        session.terminal.out_json(run);
        return;
    }
    const WallTime now = session.loop.wall();
    std::string text =
        fmt::format("{}/{} run {}: {}\n", json_string_or(run, "service"),
                    json_string_or(run, "job"), json_int_or(run, "run", 0), result_of(run));
    const auto line = [&](std::string_view name, const std::string& value) {
        if (!value.empty()) text += fmt::format("  {:<10} {}\n", name, value);
    };
    line("for", when(run));
    line("started", json_string_or(run, "started_at"));
    line("ended", json_string_or(run, "ended_at"));
    line("took", duration_of(run, now));
    line("attempts", std::to_string(json_int_or(run, "attempts", 0)));
    line("exit code", std::to_string(json_int_or(run, "exit_code", 0)));
    line("release", std::to_string(json_int_or(run, "release", 0)));
    line("instance", json_string_or(run, "instance"));
    line("arguments", join(string_list(run, "arguments"), " "));
    line("waiting", json_string_or(run, "waiting"));
    session.terminal.out(text);
}

Task<Result<int>> run_show(Session& session, Arguments arguments) {
    auto path = co_await find_run(session, std::move(arguments));
    if (!path) co_return fail(path.error());
    auto run = co_await session.api.get(*path);
    if (!run) co_return fail(run.error());
    show_run(session, *run);
    co_return kOk;
}

Task<Result<int>> run_cancel(Session& session, Arguments arguments) {
    auto path = co_await find_run(session, std::move(arguments));
    if (!path) co_return fail(path.error());
    Json nothing = Json::object();
    auto run = co_await session.api.post(*path + "/cancel", std::move(nothing));
    if (!run) co_return fail(run.error());
    if (session.json) {
        session.terminal.out_json(*run);
    } else {
        session.terminal.note(
            fmt::format("run {} of {}/{} is being stopped", json_int_or(*run, "run", 0),
                        json_string_or(*run, "service"), json_string_or(*run, "job")));
    }
    co_return kOk;
}

Task<Result<int>> set_paused(Session& session, Arguments arguments, bool paused) {
    auto path = co_await find_job(session, arguments.text("JOB"));
    if (!path) co_return fail(path.error());
    Json nothing = Json::object();
    std::string change = *path + (paused ? "/pause" : "/resume");
    auto job = co_await session.api.post(std::move(change), std::move(nothing));
    if (!job) co_return fail(job.error());
    if (session.json) {
        session.terminal.out_json(*job);
    } else {
        const std::string next = json_string_or(*job, "next_at");
        session.terminal.note(fmt::format("{}/{} {}", json_string_or(*job, "service"),
                                          json_string_or(*job, "job"),
                                          paused         ? std::string("is paused: its times pass")
                                          : next.empty() ? std::string("goes on")
                                                         : "goes on; next at " + next));
    }
    co_return kOk;
}

// The lines of one instance as they come, on stderr where stdout is for JSON.
class Lines {
public:
    explicit Lines(Session& session) : session_(session) {}

    Task<void> follow(std::string service, std::string instance) {
        const std::string path =
            fmt::format("/v1/spaces/{}/logs?service={}&instance={}&tail=10000&follow=1",
                        path_part(session_.space), path_part(service), path_part(instance));
        auto take = [this](std::string_view line) { return take_line(line); };
        const auto followed = co_await session_.api.follow(path, std::move(take));
        if (!followed) {
            session_.terminal.note(
                fmt::format("its lines can't be shown: {}", followed.error().message()));
        }
        ended_.set();
    }
    Task<Result<>> wait() {
        co_await ended_.wait();
        // follow() tells it, and who waited may end follow(): not from within it.
        co_await sleep_for(session_.loop, Duration::zero());
        co_return Result<>();
    }

private:
    // False at the host's last word on the instance: nothing comes behind it.
    bool take_line(std::string_view line) {
        const auto entry = parse_json(line);
        if (!entry || !entry->is_object()) return true;
        const std::string text = json_string_or(*entry, "text");
        if (json_string_or(*entry, "stream") == "host") return !text.starts_with("ended with");
        if (session_.json || json_string_or(*entry, "stream") == "stderr") {
            session_.terminal.note(text);
        } else {
            session_.terminal.out(text + "\n");
        }
        return true;
    }

    Session& session_;
    Event ended_;
};

// The exit status of the job is ours: a shell sees what it would have seen here.
int exit_of(const Json& run) {
    const std::string state = json_string_or(run, "state");
    if (state == "done") return kOk;
    const int64_t code = json_int_or(run, "exit_code", 0);
    return code > 0 && code < 256 ? static_cast<int>(code) : kFailed;
}

Task<Result<int>> follow_run(Session& session, std::string path, std::optional<MonoTime> deadline) {
    std::string instance;
    std::string waiting;
    std::unique_ptr<Lines> lines;
    TaskGroup tasks;
    for (;;) {
        auto run = co_await session.api.get(path);
        if (!run) co_return fail(run.error());
        const std::string now_on = json_string_or(*run, "instance");
        const std::string state = json_string_or(*run, "state");
        const bool is_active = state == "waiting" || state == "running";
        if (!now_on.empty() && now_on != instance) {
            if (lines != nullptr) {
                auto last = with_timeout(session.loop, kLastLinesTimeout, "lines", lines->wait());
                static_cast<void>(co_await std::move(last));
                tasks.cancel();
            }
            instance = now_on;
            lines = std::make_unique<Lines>(session);
            tasks.spawn(lines->follow(json_string_or(*run, "service"), instance));
        }
        if (!is_active) {
            if (lines != nullptr) {
                auto last = with_timeout(session.loop, kLastLinesTimeout, "lines", lines->wait());
                static_cast<void>(co_await std::move(last));
            }
            tasks.cancel();
            if (session.json) {
                session.terminal.out_json(*run);
            } else {
                session.terminal.note(
                    fmt::format("run {} {}, {} attempt{}", json_int_or(*run, "run", 0),
                                result_of(*run), json_int_or(*run, "attempts", 0),
                                json_int_or(*run, "attempts", 0) == 1 ? "" : "s"));
            }
            co_return exit_of(*run);
        }
        const std::string why = json_string_or(*run, "waiting");
        if (why != waiting && !why.empty()) session.terminal.note("waiting: " + why);
        waiting = why;
        if (deadline && session.loop.now() >= *deadline) {
            session.terminal.note(fmt::format("run {} goes on; candela ctl jobs show says how",
                                              json_int_or(*run, "run", 0)));
            co_return kStillGoing;
        }
        co_await sleep_for(session.loop, kPollInterval);
    }
}

Task<Result<int>> run_run(Session& session, Arguments arguments) {
    auto timeout = arguments.duration("--timeout", Duration::zero());
    if (!timeout) co_return fail(timeout.error());
    auto path = co_await find_job(session, arguments.text("JOB"));
    if (!path) co_return fail(path.error());
    Json wanted = {{"arguments", arguments.list("ARGUMENTS")}};
    if (arguments.has("--idempotency-key")) {
        wanted["idempotency_key"] = arguments.text("--idempotency-key");
    }
    auto run = co_await session.api.post(*path + "/runs", std::move(wanted));
    if (!run) co_return fail(run.error());
    const int64_t number = json_int_or(*run, "run", 0);
    if (arguments.has("--detach")) {
        if (session.json) {
            session.terminal.out_json(*run);
        } else {
            session.terminal.out(fmt::format("run {}\n", number));
        }
        co_return kOk;
    }
    std::optional<MonoTime> deadline;
    if (*timeout > Duration::zero()) deadline = session.loop.now() + *timeout;
    auto followed =
        co_await follow_run(session, fmt::format("{}/runs/{}", *path, number), deadline);
    co_return followed;
}

const VerbArgument kJob{"JOB", "Its name, as SERVICE/JOB where several services have it."};
const VerbArgument kRun{"RUN", "The run's number (default: the last one).", false};

}  // namespace

Verb jobs_list_verb() {
    return Verb{"jobs",
                "list",
                "The jobs of the space: schedule, next time, last run",
                {{"SERVICE", "Only this service's.", false}},
                {},
                true,
                run_list};
}
Verb jobs_run_verb() {
    return Verb{
        "jobs",
        "run",
        "Runs a job, shows what it says, and ends with its exit status",
        {kJob, {"ARGUMENTS", "What is put behind its command; begin with --.", false, true}},
        {{"--detach", "", "", "Do not wait for its end"},
         {"--timeout", "", "TIME", "How long to wait (default: until it ends)"},
         {"--idempotency-key", "", "KEY", "Asked for twice by this key, run once"}},
        true,
        run_run};
}
Verb jobs_history_verb() {
    return Verb{"jobs", "history",  "The runs of a job, the newest first", {kJob}, {},
                true,   run_history};
}
Verb jobs_show_verb() {
    return Verb{"jobs", "show", "One run of a job", {kJob, kRun}, {}, true, run_show};
}
Verb jobs_cancel_verb() {
    return Verb{"jobs", "cancel",  "Stops a run; it is not tried again", {kJob, kRun}, {},
                true,   run_cancel};
}
Verb jobs_pause_verb() {
    return Verb{"jobs",
                "pause",
                "Lets the times of a job's schedule pass",
                {kJob},
                {},
                true,
                [](Session& s, Arguments a) { return set_paused(s, std::move(a), true); }};
}
Verb jobs_resume_verb() {
    return Verb{"jobs",
                "resume",
                "Lets a schedule go on, from now on",
                {kJob},
                {},
                true,
                [](Session& s, Arguments a) { return set_paused(s, std::move(a), false); }};
}

}  // namespace candela::ctl
