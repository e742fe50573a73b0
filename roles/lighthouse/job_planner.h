#pragma once

// Decides which jobs run: by their schedules, and attempt after attempt. What it decides is a
// Change, which counts once it is committed. Remembers only what may be forgotten at a restart:
// when attempts began and pauses end, which then begin anew, and what schedules mean.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <tuple>

#include "base/cron.h"
#include "changes.h"
#include "fleet.h"

namespace candela::lighthouse {

// The job as the release says that runs it: the one that serves. Null where there is none.
const service::Job* find_job(const Service& service, std::string_view job);

// A run that somebody asks for. Code::kConflict where the job forbids it while another runs.
Result<Change> start_run(const Wanted& wanted, const JobKey& key, JobRun run, WallTime wall);
// Code::kConflict where it has ended.
Result<Change> cancel_run(const Wanted& wanted, const JobKey& key, uint64_t number,
                          std::string_view who);
// Times while it is paused are never made up for.
Change set_job_paused(const Wanted& wanted, const JobKey& key, bool paused, std::string_view who,
                      WallTime wall);

class JobPlanner {
public:
    using FindZone = std::function<std::shared_ptr<const TimeZone>(const std::string& name)>;

    explicit JobPlanner(FindZone find_zone) : find_zone_(std::move(find_zone)) {}

    // Empty where there is nothing to do. Apply it before asking again.
    Change plan(const Wanted& wanted, const Seen& seen, MonoTime now, WallTime wall,
                const PlanLimits& limits, const MakeInstanceId& make_id);

    // The next time of a schedule; absent where there is none, or it is paused.
    std::optional<WallTime> next_time(const service::Job& spec, const JobKey& key,
                                      const JobState& state);
    // Why its next run can't start; empty where none waits.
    std::string waiting_for(const JobKey& key) const;

    // What is late by less is on time.
    static constexpr Duration kLateMax = 10s;

private:
    struct Due {
        std::string schedule;
        std::string zone;
        WallTime decided_until{};
        std::optional<WallTime> next;
    };
    struct Attempt {
        MonoTime since{};  // it began, or the one before ended
    };
    class Round;

    const std::optional<WallTime>& due_of(const service::Job& spec, const JobKey& key,
                                          WallTime decided_until);

    FindZone find_zone_;
    std::map<JobKey, Due> due_;
    std::map<std::tuple<JobKey, uint64_t, uint32_t, bool>, Attempt> attempts_;
    std::map<JobKey, std::string> waiting_;
};

}  // namespace candela::lighthouse
