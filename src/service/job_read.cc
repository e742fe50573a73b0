#include "service/job_read.h"

#include <set>

#include <nlohmann/json.hpp>

#include "base/cron.h"
#include "base/text.h"
#include "base/time_zone.h"

namespace candela::service {

ConfigSchema job_schema() {
    return ConfigSchema({
        config_string("name", "", "As a service's, unique in its service."),
        config_strings("command", {}, "Program and arguments, run in the bundle's folder."),
        config_string("schedule", "",
                      "Minute, hour, day of the month, month, day of the week, or @daily and its "
                      "like. Without it the job runs by hand only."),
        config_string("time_zone", "UTC", "Whose clocks the schedule goes by: Europe/Berlin."),
        config_string("overlap", "forbid", "What becomes of a run while the one before runs.")
            .one_of({"forbid", "allow", "replace"}),
        config_string("missed", "skip", "What becomes of times at which nobody could start it.")
            .one_of({"skip", "once"}),
        config_duration("missed_within", "1m", "How late it may still be started, where skipped.")
            .range("1s", "24h"),
        config_int("retries", "0", "Attempts after the first one.")
            .range("0", std::to_string(kJobRetriesMax)),
        config_duration("backoff", "10s",
                        "Before the first retry; twice as long before each other one, up to 1h.")
            .range("0s", "1h"),
        config_duration("timeout", "1h", "Of one attempt.").range("1s", "168h"),
        config_int("history", "20", "Runs that have ended and are kept.")
            .range("1", std::to_string(kJobHistoryMax)),
    });
}

void check_jobs(const Manifest& manifest, const std::function<void(ManifestMistake)>& report) {
    if (manifest.jobs.size() > kJobsMax) {
        report({{"", "job"},
                fmt::format("{} jobs; at most {} are allowed", manifest.jobs.size(), kJobsMax)});
    }
    if (manifest.kind == Kind::kStatic && !manifest.jobs.empty()) {
        report({{"", "job"}, "a static service has no program that could run"});
    }
    std::set<std::string> names;
    for (int index = 0; const Job& job : manifest.jobs) {
        const auto wrong = [&, index](std::string_view key, std::string message,
                                      bool is_missing = false) {
            report({{"job", std::string(key), index}, std::move(message), is_missing});
        };
        ++index;
        if (job.name.empty()) {
            wrong("name", "\"name\" is missing", true);
        } else if (!is_valid_name(job.name)) {
            wrong("name", fmt::format("\"{}\" is not a name: a small letter, then up to 62 small "
                                      "letters, digits and -",
                                      printable(job.name)));
        } else if (!names.insert(job.name).second) {
            wrong("name", fmt::format("there is a job {} already", job.name));
        }
        if (job.command.empty()) {
            wrong("command", "\"command\" is missing; write for example command = [\"./report\"]",
                  true);
        }
        check_program(job.command, [&](std::string message) { wrong("command", message); });
        if (!job.schedule.empty()) {
            const auto cron = CronPattern::parse(job.schedule);
            if (!cron) wrong("schedule", cron.error().message());
        }
        if (!is_time_zone_name(job.time_zone)) {
            wrong("time_zone", fmt::format("\"{}\" is not a time zone; write for example "
                                           "\"Europe/Berlin\"",
                                           printable(job.time_zone)));
        }
    }
}

Json to_json(const Job& job) {
    Json json = {{"name", job.name},
                 {"command", job.command},
                 {"overlap", to_string(job.overlap)},
                 {"missed", to_string(job.missed)},
                 {"missed_within", format_duration(job.missed_within)},
                 {"retries", job.retries},
                 {"backoff", format_duration(job.backoff)},
                 {"timeout", format_duration(job.timeout)},
                 {"history", job.history}};
    if (!job.schedule.empty()) {
        json["schedule"] = job.schedule;
        json["time_zone"] = job.time_zone;
    }
    return json;
}

}  // namespace candela::service
