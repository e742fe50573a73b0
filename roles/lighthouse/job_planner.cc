#include "job_planner.h"

#include <algorithm>
#include <set>

#include "planner.h"

namespace candela::lighthouse {

using proto::InstanceState;
using service::Job;
using service::Missed;
using service::Overlap;

namespace {

const Job* find_in(const Release* release, std::string_view name) {
    if (release == nullptr) return nullptr;
    const auto& jobs = release->manifest.jobs;
    const auto found = std::ranges::find(jobs, name, &Job::name);
    return found == jobs.end() ? nullptr : &*found;
}

JobState head_of(const JobState& state) {
    JobState head;
    head.paused = state.paused;
    head.decided_until = state.decided_until;
    head.last_number = state.last_number;
    return head;
}

EventRecord event_of(const JobKey& key, const JobRun& run, std::string text) {
    return EventRecord(fmt::format("run_{}", to_string(run.state)), key.space, key.service,
                       fmt::format("{} {}", key.job, run.number), std::move(text));
}

// All that are active get a reason to stop.
void replace_active(const JobKey& key, const JobState& state, uint64_t by, Change& change) {
    for (const auto& [number, run] : state.runs) {
        if (!run.is_active() || !run.stop_cause.empty()) continue;
        JobRun stopped = run;
        stopped.stop_cause = fmt::format("replaced by run {}", by);
        change.job_runs.emplace_back(key, std::move(stopped));
    }
}

uint64_t first_active(const JobState& state) {
    for (const auto& [number, run] : state.runs) {
        if (run.is_active()) return number;
    }
    return 0;
}

// The last time in (after, until], of which `first` is the first.
int64_t last_time(const CronPattern& cron, const TimeZone& zone, int64_t first, int64_t after,
                  int64_t until) {
    // From as short a while ago as has one: schedules of a minute that were missed for a year do
    // not have to be gone through.
    int64_t begin = after;
    for (int64_t window = 3600; until - window > after; window *= 2) {
        const int64_t next = cron.next_in(zone, until - window);
        if (next == 0 || next > until) continue;
        begin = until - window;
        first = next;
        break;
    }
    int64_t last = first;
    for (int64_t next = first; next != 0 && next <= until; next = cron.next_in(zone, begin)) {
        last = next;
        begin = next;
    }
    return last;
}

WallTime at_seconds(int64_t seconds) { return from_unix_millis(seconds * 1000); }

}  // namespace

const Job* find_job(const Service& service, std::string_view job) {
    return service.deleting ? nullptr : find_in(service.find(service.stable), job);
}

Result<Change> start_run(const Wanted& wanted, const JobKey& key, JobRun run, WallTime wall) {
    const auto service = wanted.services.find(ServiceKey(key.space, key.service));
    const Job* spec =
        service == wanted.services.end() ? nullptr : find_job(service->second, key.job);
    const auto state = wanted.jobs.find(key);
    if (spec == nullptr || state == wanted.jobs.end()) {
        return fail(Code::kNotFound, "there is no job {} in the space {}", to_string(key),
                    key.space);
    }
    const size_t active = active_count(state->second);
    if (active > 0 && spec->overlap == Overlap::kForbid) {
        return fail(Code::kConflict, "run {} of {} has not ended, and the job forbids another one",
                    first_active(state->second), to_string(key));
    }
    if (active >= kActiveRunsMax) {
        return fail(Code::kExhausted, "{} runs of {} have not ended", active, to_string(key));
    }
    Change change;
    JobState head = head_of(state->second);
    run.number = ++head.last_number;
    run.created_at = wall;
    run.release = service->second.stable;
    if (spec->overlap == Overlap::kReplace) {
        replace_active(key, state->second, run.number, change);
    }
    change.events.push_back(event_of(key, run, fmt::format("by {}", run.author)));
    change.job_runs.emplace_back(key, std::move(run));
    change.jobs.emplace_back(key, std::move(head));
    return change;
}

Result<Change> cancel_run(const Wanted& wanted, const JobKey& key, uint64_t number,
                          std::string_view who) {
    const auto state = wanted.jobs.find(key);
    const JobRun* run = state == wanted.jobs.end() ? nullptr : state->second.find(number);
    if (run == nullptr) {
        return fail(Code::kNotFound, "there is no run {} of {}", number, to_string(key));
    }
    if (!run->is_active()) {
        return fail(Code::kConflict, "run {} of {} has ended: {}", number, to_string(key),
                    to_string(run->state));
    }
    Change change;
    JobRun stopped = *run;
    if (stopped.stop_cause.empty()) stopped.stop_cause = fmt::format("cancelled by {}", who);
    change.job_runs.emplace_back(key, std::move(stopped));
    return change;
}

Change set_job_paused(const Wanted& wanted, const JobKey& key, bool paused, std::string_view who,
                      WallTime wall) {
    Change change;
    JobState head = head_of(wanted.jobs.at(key));
    head.paused = paused;
    if (!paused) head.decided_until = wall;
    change.events.push_back(EventRecord(paused ? "job_paused" : "job_resumed", key.space,
                                        key.service, key.job, fmt::format("by {}", who)));
    change.jobs.emplace_back(key, std::move(head));
    return change;
}

const std::optional<WallTime>& JobPlanner::due_of(const Job& spec, const JobKey& key,
                                                  WallTime decided_until) {
    Due& due = due_[key];
    const bool is_known = due.schedule == spec.schedule && due.zone == spec.time_zone &&
                          due.decided_until == decided_until;
    if (is_known) return due.next;
    due = Due(spec.schedule, spec.time_zone, decided_until, std::nullopt);
    const auto cron = CronPattern::parse(spec.schedule);
    const auto zone = find_zone_(spec.time_zone);
    // Both were there when the release was made.
    if (!cron || zone == nullptr) return due.next;
    const int64_t next = cron->next_in(*zone, unix_seconds(decided_until));
    if (next != 0) due.next = at_seconds(next);
    return due.next;
}

std::optional<WallTime> JobPlanner::next_time(const Job& spec, const JobKey& key,
                                              const JobState& state) {
    if (spec.schedule.empty() || state.paused) return std::nullopt;
    return due_of(spec, key, state.decided_until);
}

std::string JobPlanner::waiting_for(const JobKey& key) const {
    const auto found = waiting_.find(key);
    return found == waiting_.end() ? "" : found->second;
}

// One look at all jobs.
class JobPlanner::Round {
public:
    Round(JobPlanner& planner, const Wanted& wanted, const Seen& seen, MonoTime now, WallTime wall,
          const PlanLimits& limits, const MakeInstanceId& make_id)
        : planner_(planner),
          wanted_(wanted),
          seen_(seen),
          now_(now),
          wall_(wall),
          limits_(limits),
          make_id_(make_id) {}

    Change run() {
        for (const auto& [key, service] : wanted_.services) {
            const Release* serving = service.find(service.stable);
            if (service.deleting || serving == nullptr) continue;
            for (const Job& spec : serving->manifest.jobs) look_at_schedule(service, spec);
        }
        for (const auto& [key, state] : wanted_.jobs) look_at_runs(key, state);
        return std::move(change_);
    }

private:
    Fleet& fleet() {
        if (!fleet_) fleet_.emplace(wanted_, seen_, now_, limits_);
        return *fleet_;
    }

    // ---- schedules
    void look_at_schedule(const Service& service, const Job& spec) {
        const JobKey key{service.key.first, service.key.second, spec.name};
        const auto state = wanted_.jobs.find(key);
        if (state == wanted_.jobs.end()) {
            JobState fresh;
            fresh.decided_until = wall_;
            change_.jobs.emplace_back(key, std::move(fresh));
            return;
        }
        const auto next = planner_.next_time(spec, key, state->second);
        if (!next || *next > wall_) return;
        decide(service, spec, key, state->second, *next);
    }

    void decide(const Service& service, const Job& spec, const JobKey& key, const JobState& state,
                WallTime first) {
        const auto cron = CronPattern::parse(spec.schedule);
        const auto zone = planner_.find_zone_(spec.time_zone);
        if (!cron || zone == nullptr) return;
        const WallTime due =
            at_seconds(last_time(*cron, *zone, unix_seconds(first),
                                 unix_seconds(state.decided_until), unix_seconds(wall_)));
        JobState head = head_of(state);
        head.decided_until = due;
        JobRun run;
        run.number = ++head.last_number;
        run.scheduled_at = due;
        run.created_at = wall_;
        run.release = service.stable;
        run.cause = why_skipped(spec, state, wall_ - due);
        if (!run.cause.empty()) {
            run.state = RunState::kSkipped;
            run.ended_at = wall_;
        } else if (spec.overlap == Overlap::kReplace) {
            replace_active(key, state, run.number, change_);
        }
        change_.events.push_back(event_of(key, run, run.cause));
        change_.job_runs.emplace_back(key, std::move(run));
        change_.jobs.emplace_back(key, std::move(head));
    }

    static std::string why_skipped(const Job& spec, const JobState& state, Duration late) {
        if (spec.missed == Missed::kSkip && late > std::max(kLateMax, spec.missed_within)) {
            return fmt::format("missed: nobody could start it for {}",
                               format_duration(std::chrono::floor<std::chrono::seconds>(late)));
        }
        const size_t active = active_count(state);
        if (active > 0 && spec.overlap == Overlap::kForbid) {
            return fmt::format("run {} had not ended", first_active(state));
        }
        if (active >= kActiveRunsMax) return fmt::format("{} runs had not ended", active);
        return "";
    }

    // ---- runs
    void look_at_runs(const JobKey& key, const JobState& state) {
        const auto found = wanted_.services.find(ServiceKey(key.space, key.service));
        if (found == wanted_.services.end()) return;
        const Service& service = found->second;
        planner_.waiting_.erase(key);
        for (const auto& [number, run] : state.runs) {
            // What was just told to stop is looked at again with that.
            const bool is_changed = std::ranges::any_of(change_.job_runs, [&](const auto& entry) {
                return entry.first == key && entry.second.number == number;
            });
            if (is_changed) continue;
            if (run.state == RunState::kRunning) look_at_attempt(service, key, run);
            if (run.state == RunState::kWaiting) look_at_waiting(service, key, state, run);
        }
        prune(service, key, state);
    }

    // As the release has it that the run began with.
    const Release* release_of(const Service& service, const JobRun& run) const {
        const Release* own = service.find(run.release);
        return own != nullptr ? own : service.find(service.stable);
    }

    void look_at_attempt(const Service& service, const JobKey& key, const JobRun& run) {
        const auto found = wanted_.instances.find(run.instance);
        if (found == wanted_.instances.end()) return end_attempt(service, key, run, "it is gone");
        const Instance& instance = found->second;
        const Sighting* sighting = seen_.find(instance.id);
        const InstanceState state =
            sighting == nullptr ? InstanceState::kUnknown : sighting->status.state;
        if (state == InstanceState::kExited || state == InstanceState::kFailed) {
            return end_attempt(service, key, run, cause_of(sighting->status), &sighting->status);
        }
        const auto presence = fleet().presence(instance.node);
        if (presence == Fleet::Presence::kLost) {
            return end_attempt(service, key, run,
                               fmt::format("its host {} was lost", instance.node));
        }
        if (presence != Fleet::Presence::kHere || instance.stage != Stage::kRun) return;
        const Job* spec = find_in(release_of(service, run), key.job);
        JobRun stopped = run;
        const bool is_started = sighting != nullptr && sighting->started_at.has_value();
        if (spec != nullptr && is_started &&
            fleet().elapsed(*sighting->started_at) > spec->timeout) {
            stopped.has_timed_out = true;
            stopped.cause = fmt::format("timed out after {}", format_duration(spec->timeout));
        } else if (!is_started && fleet().elapsed(instance.placed_at) > limits_.pending_max) {
            stopped.has_timed_out = true;
            stopped.cause = fmt::format("{} did not start it", instance.node);
        } else if (service.deleting && stopped.stop_cause.empty()) {
            stopped.stop_cause = "the service is deleted";
        } else if (stopped.stop_cause.empty()) {
            return;
        }
        Instance told = instance;
        told.stage = Stage::kStopping;
        told.stage_at = now_;
        change_.instances.push_back(std::move(told));
        change_.job_runs.emplace_back(key, std::move(stopped));
    }

    static std::string cause_of(const proto::InstanceStatus& status) {
        if (status.state == InstanceState::kExited && status.exit_code == 0) return "";
        if (!status.last_exit.empty()) return status.last_exit;
        return status.cause.empty() ? "it failed" : status.cause;
    }

    // An empty cause: it did what it should.
    void end_attempt(const Service& service, const JobKey& key, const JobRun& before,
                     std::string cause, const proto::InstanceStatus* status = nullptr) {
        if (wanted_.instances.contains(before.instance)) {
            change_.gone_instances.push_back(before.instance);
        }
        JobRun run = before;
        if (status != nullptr) run.exit_code = status->exit_code;
        const Job* spec = find_in(release_of(service, run), key.job);
        if (!run.stop_cause.empty() || service.deleting) {
            end(key, run, RunState::kCancelled,
                run.stop_cause.empty() ? "the service is deleted" : run.stop_cause);
        } else if (cause.empty() && !run.has_timed_out) {
            end(key, run, RunState::kDone, "");
        } else {
            if (!run.has_timed_out) run.cause = std::move(cause);
            run.has_timed_out = false;
            if (spec == nullptr || run.attempt > spec->retries) {
                const std::string why = run.cause;
                end(key, run, RunState::kFailed, why);
            } else {
                run.state = RunState::kWaiting;
                planner_.attempts_[{key, run.number, run.attempt, true}].since = now_;
                change_.events.push_back(event_of(key, run, run.cause));
                change_.job_runs.emplace_back(key, std::move(run));
            }
        }
    }

    void end(const JobKey& key, JobRun run, RunState state, std::string cause) {
        run.state = state;
        run.cause = std::move(cause);
        run.ended_at = wall_;
        for (uint32_t attempt = 0; attempt <= run.attempt; ++attempt) {
            planner_.attempts_.erase({key, run.number, attempt, true});
        }
        change_.events.push_back(event_of(key, run, run.cause));
        change_.job_runs.emplace_back(key, std::move(run));
    }

    void look_at_waiting(const Service& service, const JobKey& key, const JobState& state,
                         const JobRun& run) {
        if (!run.stop_cause.empty()) return end(key, run, RunState::kCancelled, run.stop_cause);
        if (service.deleting) {
            return end(key, run, RunState::kCancelled, "the service is deleted");
        }
        const Release* release = release_of(service, run);
        const Job* spec = find_in(release, key.job);
        if (spec == nullptr) {
            return end(key, run, RunState::kCancelled, "no release has the job any more");
        }
        if (run.attempt > 0) {
            auto known =
                planner_.attempts_.try_emplace({key, run.number, run.attempt, true}, Attempt(now_));
            if (now_ - known.first->second.since < pause_before(*spec, run.attempt)) return;
        }
        const uint64_t first = first_active(state);
        if (spec->overlap == Overlap::kReplace && first != run.number) return;
        Release placed = *release;
        placed.manifest.kind = service::Kind::kJob;
        const ServiceKey name(key.space,
                              fmt::format("{}-{}", key.service, key.job).substr(0, kIdNameMax));
        std::string node = fleet().place(name, placed);
        if (node.empty()) {
            planner_.waiting_[key] = fleet().why_no_room(placed);
            return;
        }
        Instance instance;
        instance.id = make_id_(name);
        instance.service = service.key;
        instance.release = release->number;
        instance.node = std::move(node);
        instance.job = key.job;
        instance.run = run.number;
        instance.created_at = wall_;
        instance.placed_at = now_;
        instance.stage_at = now_;
        JobRun next = run;
        next.state = RunState::kRunning;
        next.instance = instance.id;
        ++next.attempt;
        if (next.attempt == 1) next.started_at = wall_;
        change_.events.push_back(
            event_of(key, next, fmt::format("attempt {} on {}", next.attempt, instance.node)));
        change_.instances.push_back(std::move(instance));
        change_.job_runs.emplace_back(key, std::move(next));
    }

    static Duration pause_before(const Job& spec, uint32_t attempts) {
        Duration pause = spec.backoff;
        for (uint32_t i = 1; i < attempts && pause < service::kJobBackoffMax; ++i) pause *= 2;
        return std::min(pause, service::kJobBackoffMax);
    }

    // Runs that have ended beyond those kept, what was skipped counted for itself; and jobs that no
    // release has any more.
    void prune(const Service& service, const JobKey& key, const JobState& state) {
        const Job* spec = find_job(service, key.job);
        const Job* coming = find_in(service.find(service.target), key.job);
        if (!service.deleting && spec == nullptr && coming == nullptr && active_count(state) == 0) {
            change_.gone_jobs.push_back(key);
            return;
        }
        const size_t kept = spec != nullptr ? spec->history : service::kJobHistoryMax;
        size_t skipped = 0;
        size_t ended = 0;
        for (auto at = state.runs.rbegin(); at != state.runs.rend(); ++at) {
            if (at->second.is_active()) continue;
            size_t& count = at->second.state == RunState::kSkipped ? skipped : ended;
            if (++count > kept) change_.gone_job_runs.emplace_back(key, at->first);
        }
    }

    static constexpr size_t kIdNameMax = 100;

    JobPlanner& planner_;
    const Wanted& wanted_;
    const Seen& seen_;
    MonoTime now_;
    WallTime wall_;
    const PlanLimits& limits_;
    const MakeInstanceId& make_id_;
    std::optional<Fleet> fleet_;
    Change change_;
};

Change JobPlanner::plan(const Wanted& wanted, const Seen& seen, MonoTime now, WallTime wall,
                        const PlanLimits& limits, const MakeInstanceId& make_id) {
    // Deaf, we know nothing about the present.
    if (!seen.listening_since) return Change();
    std::erase_if(due_, [&](const auto& entry) { return !wanted.jobs.contains(entry.first); });
    Round round(*this, wanted, seen, now, wall, limits, make_id);
    return round.run();
}

}  // namespace candela::lighthouse
