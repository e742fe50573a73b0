#include "job_storage.h"

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace candela::lighthouse {

using store::Connection;
using store::Row;

namespace {

int64_t i64(uint64_t number) { return static_cast<int64_t>(number); }
uint64_t u64(const Row& row, size_t column) { return static_cast<uint64_t>(row.integer(column)); }

Result<JobRun> run_of(const Row& row) {
    JobRun run;
    run.number = u64(row, 3);
    CANDELA_TRY_ASSIGN(run.state, parse_run_state(row.text(4)));
    run.scheduled_at = from_unix_millis(row.integer(5));
    run.created_at = from_unix_millis(row.integer(6));
    run.started_at = from_unix_millis(row.integer(7));
    run.ended_at = from_unix_millis(row.integer(8));
    run.author = row.text(9);
    CANDELA_TRY_ASSIGN(const Json arguments, parse_json(row.text(10)));
    for (const Json& argument : arguments) {
        if (argument.is_string()) run.arguments.push_back(argument.get<std::string>());
    }
    run.release = u64(row, 11);
    run.attempt = static_cast<uint32_t>(row.integer(12));
    run.instance = row.text(13);
    run.exit_code = static_cast<int32_t>(row.integer(14));
    run.cause = row.text(15);
    run.stop_cause = row.text(16);
    run.has_timed_out = row.integer(17) != 0;
    run.idempotency_key = row.text(18);
    return run;
}

Result<> write_run(Connection& db, const JobKey& key, const JobRun& run) {
    CANDELA_TRY(db.execute(
        "INSERT INTO job_runs (space, service, job, number, state, scheduled_at, created_at, "
        "started_at, ended_at, author, arguments, release, attempt, instance, exit_code, cause, "
        "stop_cause, timed_out, idempotency_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, "
        "$11, $12, $13, $14, $15, $16, $17, $18, $19) ON CONFLICT (space, service, job, number) DO "
        "UPDATE SET state = $5, started_at = $8, ended_at = $9, attempt = $13, instance = $14, "
        "exit_code = $15, cause = $16, stop_cause = $17, timed_out = $18",
        {key.space, key.service, key.job, i64(run.number), std::string(to_string(run.state)),
         unix_millis(run.scheduled_at), unix_millis(run.created_at), unix_millis(run.started_at),
         unix_millis(run.ended_at), run.author, dump_json(Json(run.arguments)), i64(run.release),
         int64_t{run.attempt}, run.instance, int64_t{run.exit_code}, run.cause, run.stop_cause,
         int64_t{run.has_timed_out ? 1 : 0}, run.idempotency_key}));
    return {};
}

}  // namespace

Result<Jobs> load_jobs(Connection& db) {
    Jobs jobs;
    CANDELA_TRY_ASSIGN(
        const auto heads,
        db.query("SELECT space, service, job, paused, decided_until, last_number FROM jobs"));
    for (const Row& row : heads) {
        JobState& job = jobs[JobKey{row.text(0), row.text(1), row.text(2)}];
        job.paused = row.integer(3) != 0;
        job.decided_until = from_unix_millis(row.integer(4));
        job.last_number = u64(row, 5);
    }
    CANDELA_TRY_ASSIGN(
        const auto runs,
        db.query("SELECT space, service, job, number, state, scheduled_at, created_at, started_at, "
                 "ended_at, author, arguments, release, attempt, instance, exit_code, cause, "
                 "stop_cause, timed_out, idempotency_key FROM job_runs"));
    for (const Row& row : runs) {
        CANDELA_TRY_ASSIGN(JobRun run, run_of(row));
        jobs[JobKey{row.text(0), row.text(1), row.text(2)}].runs.emplace(run.number,
                                                                         std::move(run));
    }
    return jobs;
}

Result<> write_jobs(Connection& db, const Change& change) {
    for (const auto& [key, job] : change.jobs) {
        CANDELA_TRY(db.execute(
            "INSERT INTO jobs (space, service, job, paused, decided_until, last_number) VALUES "
            "($1, $2, $3, $4, $5, $6) ON CONFLICT (space, service, job) DO UPDATE SET "
            "paused = $4, decided_until = $5, last_number = $6",
            {key.space, key.service, key.job, int64_t{job.paused ? 1 : 0},
             unix_millis(job.decided_until), i64(job.last_number)}));
    }
    for (const auto& [key, run] : change.job_runs) CANDELA_TRY(write_run(db, key, run));
    for (const auto& [key, number] : change.gone_job_runs) {
        CANDELA_TRY(db.execute(
            "DELETE FROM job_runs WHERE space = $1 AND service = $2 AND job = $3 AND number = $4",
            {key.space, key.service, key.job, i64(number)}));
    }
    for (const JobKey& key : change.gone_jobs) {
        CANDELA_TRY(db.execute("DELETE FROM jobs WHERE space = $1 AND service = $2 AND job = $3",
                               {key.space, key.service, key.job}));
    }
    return {};
}

}  // namespace candela::lighthouse
