#pragma once

// [[job]] of a manifest: its keys, reading and writing it, and its rules.

#include "base/config.h"
#include "base/json.h"
#include "service/job_spec.h"
#include "service/manifest_rules.h"

namespace candela::service {

ConfigSchema job_schema();
void check_jobs(const Manifest& manifest, const std::function<void(ManifestMistake)>& report);
Json to_json(const Job& job);

// Config and JsonTable answer the same questions.
template <class Table>
Job read_job(const Table& table) {
    Job job;
    job.name = table.string("name");
    job.command = table.strings("command");
    job.schedule = table.string("schedule");
    job.time_zone = table.string("time_zone");
    for (const Overlap overlap : {Overlap::kAllow, Overlap::kReplace}) {
        if (table.string("overlap") == to_string(overlap)) job.overlap = overlap;
    }
    if (table.string("missed") == to_string(Missed::kOnce)) job.missed = Missed::kOnce;
    job.missed_within = table.duration("missed_within");
    job.retries = static_cast<uint32_t>(table.integer("retries"));
    job.backoff = table.duration("backoff");
    job.timeout = table.duration("timeout");
    job.history = static_cast<uint32_t>(table.integer("history"));
    return job;
}

}  // namespace candela::service
