// Jobs: what there are, their runs, and what people ask of them.

#include <nlohmann/json.hpp>

#include "api.h"
#include "base/text.h"
#include "paging.h"
#include "views.h"

namespace candela::lighthouse {

namespace {

constexpr size_t kIdempotencyKeyMax = 200;

std::string text_of(WallTime time) { return time == WallTime() ? "" : format_rfc3339(time); }

Json view_of(const JobRun& run) {
    Json json = {{"run", run.number},
                 {"state", to_string(run.state)},
                 {"scheduled_at", text_of(run.scheduled_at)},
                 {"created_at", text_of(run.created_at)},
                 {"started_at", text_of(run.started_at)},
                 {"ended_at", text_of(run.ended_at)},
                 {"author", run.author},
                 {"arguments", run.arguments},
                 {"release", run.release},
                 {"attempts", run.attempt},
                 {"instance", run.instance},
                 {"exit_code", run.exit_code},
                 {"cause", run.cause}};
    if (!run.stop_cause.empty() && run.is_active()) json["stopping"] = run.stop_cause;
    return json;
}

Json view_of(const JobKey& key, const JobState& job, const service::Job* spec, State& state) {
    Json json = {{"space", key.space},
                 {"service", key.service},
                 {"job", key.job},
                 {"paused", job.paused},
                 {"active", active_count(job)},
                 {"waiting", state.job_planner().waiting_for(key)}};
    if (spec != nullptr) {
        json["schedule"] = spec->schedule;
        json["time_zone"] = spec->schedule.empty() ? "" : spec->time_zone;
        json["overlap"] = service::to_string(spec->overlap);
        json["missed"] = service::to_string(spec->missed);
        json["retries"] = spec->retries;
        json["timeout"] = format_duration(spec->timeout);
        const auto next = state.job_planner().next_time(*spec, key, job);
        json["next_at"] = next ? format_rfc3339(*next) : "";
    }
    if (!job.runs.empty()) json["last"] = view_of(job.runs.rbegin()->second);
    return json;
}

JobKey key_of(const Call& call) {
    return JobKey{call.param("space"), call.param("service"), call.param("job")};
}

Result<std::vector<std::string>> arguments_of(const Json& json) {
    std::vector<std::string> arguments;
    const auto list = json.find("arguments");
    if (list == json.end()) return arguments;
    if (!list->is_array()) return fail(Code::kInvalid, "\"arguments\" must be a list of texts");
    size_t bytes = 0;
    for (const Json& item : *list) {
        if (!item.is_string()) return fail(Code::kInvalid, "an argument must be a text");
        arguments.push_back(item.get<std::string>());
        bytes += arguments.back().size() + 1;
        if (arguments.back().find('\0') != std::string::npos) {
            return fail(Code::kInvalid, "an argument can't contain a NUL byte");
        }
    }
    if (arguments.size() > kRunArgumentsMax || bytes > kRunArgumentsBytesMax) {
        return fail(Code::kInvalid, "a run has at most {} arguments, of {} together",
                    kRunArgumentsMax, format_size(kRunArgumentsBytesMax));
    }
    return arguments;
}

const JobRun* find_by_key(const JobState& job, std::string_view idempotency_key) {
    if (idempotency_key.empty()) return nullptr;
    for (const auto& [number, run] : job.runs) {
        if (run.idempotency_key == idempotency_key) return &run;
    }
    return nullptr;
}

}  // namespace

Result<> check_time_zones(State& state, const service::Manifest& manifest) {
    for (const service::Job& job : manifest.jobs) {
        if (job.schedule.empty() || state.time_zones().find(job.time_zone) != nullptr) continue;
        return fail(Code::kInvalid,
                    "the job {} goes by {}, and the lighthouse's machine knows no such time zone "
                    "(package tzdata)",
                    job.name, job.time_zone);
    }
    return {};
}

Result<const JobState*> Api::find_job_state(const Call& call) const {
    const JobKey key = key_of(call);
    const auto found = state_.wanted().jobs.find(key);
    if (found != state_.wanted().jobs.end()) return &found->second;
    return fail(Code::kNotFound, "there is no job {} in the space {}", to_string(key), key.space);
}

const service::Job* Api::find_job_spec(const JobKey& key) const {
    const auto service = state_.wanted().services.find(ServiceKey(key.space, key.service));
    if (service == state_.wanted().services.end()) return nullptr;
    return find_job(service->second, key.job);
}

Task<Result<>> Api::list_jobs(Call& call) {
    auto page = Page::asked_by(call);
    if (!page) co_return fail(page.error());
    const std::string& space = call.param("space");
    const std::string service = call.query("service");
    const auto& all = state_.wanted().jobs;
    // "shop/report" is behind which the page begins.
    const auto after = split_once(page->after(), '/');
    auto at =
        after
            ? all.upper_bound(JobKey(space, std::string(after->first), std::string(after->second)))
            : all.lower_bound(JobKey(space, service, ""));
    const auto is_one = [&](const JobKey& key) {
        return key.space == space && (service.empty() || key.service == service);
    };
    std::string last;
    for (; at != all.end() && is_one(at->first) && !page->is_full(); ++at) {
        last = to_string(at->first);
        page->add(view_of(at->first, at->second, find_job_spec(at->first), state_));
    }
    page->end(std::move(last), at != all.end() && is_one(at->first));
    Json body = std::move(*page).answer("jobs");
    body["space"] = space;
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::get_job(Call& call) {
    CO_TRY_ASSIGN(const JobState* job, find_job_state(call));
    const JobKey key = key_of(call);
    Json body = view_of(key, *job, find_job_spec(key), state_);
    Json runs = Json::array();
    for (auto at = job->runs.rbegin(); at != job->runs.rend(); ++at) {
        runs.push_back(view_of(at->second));
    }
    body["runs"] = std::move(runs);
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::start_job_run(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    JobRun run;
    CO_TRY_ASSIGN(run.arguments, arguments_of(*json));
    run.author = call.who.name;
    run.idempotency_key = json_string_or(*json, "idempotency_key");
    if (run.idempotency_key.size() > kIdempotencyKeyMax) {
        co_return fail(Code::kInvalid, "an idempotency key has at most {} bytes",
                       kIdempotencyKeyMax);
    }
    const JobKey key = key_of(call);
    auto number = std::make_shared<uint64_t>(0);
    auto is_known = std::make_shared<bool>(false);
    auto shared = std::make_shared<JobRun>(std::move(run));
    State::MakeChange make = [this, key, number, is_known, shared]() -> Result<Change> {
        const auto job = state_.wanted().jobs.find(key);
        const JobRun* before = job == state_.wanted().jobs.end()
                                   ? nullptr
                                   : find_by_key(job->second, shared->idempotency_key);
        if (before != nullptr) {
            *number = before->number;
            *is_known = true;
            return Change();
        }
        CANDELA_TRY_ASSIGN(Change change,
                           start_run(state_.wanted(), key, *shared, state_.loop().wall()));
        *number = change.job_runs.back().second.number;
        return change;
    };
    auto started = co_await state_.change(std::move(make));
    if (!started) co_return fail(started.error());
    call.note = fmt::format("run {}", *number);
    auto answered = answer_run(call, *number, *is_known ? 200 : 201);
    co_return answered;
}

Result<> Api::answer_run(Call& call, uint64_t number, int status) {
    CANDELA_TRY_ASSIGN(const JobState* job, find_job_state(call));
    const JobRun* run = job->find(number);
    if (run == nullptr) {
        return fail(Code::kNotFound, "there is no run {} of {}, or no longer", number,
                    to_string(key_of(call)));
    }
    Json body = view_of(*run);
    body["space"] = call.param("space");
    body["service"] = call.param("service");
    body["job"] = call.param("job");
    body["waiting"] = state_.job_planner().waiting_for(key_of(call));
    respond(call, status, body);
    return {};
}

Task<Result<>> Api::get_job_run(Call& call) {
    CO_TRY_ASSIGN(const uint64_t number, parse_uint(call.param("run")));
    auto answered = answer_run(call, number, 200);
    co_return answered;
}

Task<Result<>> Api::cancel_job_run(Call& call) {
    CO_TRY_ASSIGN(const uint64_t number, parse_uint(call.param("run")));
    const JobKey key = key_of(call);
    State::MakeChange make = [this, key, number, who = call.who.name]() -> Result<Change> {
        return cancel_run(state_.wanted(), key, number, who);
    };
    auto cancelled = co_await state_.change(std::move(make));
    if (!cancelled) co_return fail(cancelled.error());
    auto answered = answer_run(call, number, 200);
    co_return answered;
}

Task<Result<>> Api::pause_job(Call& call) {
    auto done = co_await change_job(call, true);
    co_return done;
}

Task<Result<>> Api::resume_job(Call& call) {
    auto done = co_await change_job(call, false);
    co_return done;
}

Task<Result<>> Api::change_job(Call& call, bool paused) {
    const JobKey key = key_of(call);
    State::MakeChange make = [this, key, paused, who = call.who.name]() -> Result<Change> {
        if (!state_.wanted().jobs.contains(key)) {
            return fail(Code::kNotFound, "there is no job {} in the space {}", to_string(key),
                        key.space);
        }
        return set_job_paused(state_.wanted(), key, paused, who, state_.loop().wall());
    };
    auto changed = co_await state_.change(std::move(make));
    if (!changed) co_return fail(changed.error());
    CO_TRY_ASSIGN(const JobState* job, find_job_state(call));
    respond(call, 200, view_of(key, *job, find_job_spec(key), state_));
    co_return Result<>();
}

}  // namespace candela::lighthouse
