#pragma once

// Jobs of services: what is known of each beside its release, and its runs. A run is decided in the
// same commit that moves the job's `decided_until` on, so that no scheduled time is ever decided
// twice, whatever restarts or clocks do. A run makes attempts, one after the other; each is an
// Instance. Plain values.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace candela::lighthouse {

struct JobKey {
    std::string space;
    std::string service;
    std::string job;
    auto operator<=>(const JobKey&) const = default;
};
std::string to_string(const JobKey& key);  // "shop/report"

enum class RunState : uint8_t {
    kWaiting,  // for its first attempt, or the next one
    kRunning,
    kDone,
    kFailed,
    kCancelled,
    kSkipped,  // decided not to run: `cause` says why
};
std::string_view to_string(RunState state);
Result<RunState> parse_run_state(std::string_view text);

struct JobRun {
    uint64_t number = 0;
    RunState state = RunState::kWaiting;
    WallTime scheduled_at{};  // epoch: by hand
    WallTime created_at{};
    WallTime started_at{};  // its first attempt
    WallTime ended_at{};
    std::string author;  // who asked for it; empty: the schedule
    std::vector<std::string> arguments;
    uint64_t release = 0;
    uint32_t attempt = 0;  // how many there were
    std::string instance;  // of the last one
    int32_t exit_code = 0;
    std::string cause;
    std::string stop_cause;  // why it is being stopped; empty: it is not
    bool has_timed_out = false;
    std::string idempotency_key;

    bool is_active() const { return state == RunState::kWaiting || state == RunState::kRunning; }
};

struct JobState {
    bool paused = false;
    WallTime decided_until{};  // no time up to this one is looked at again
    uint64_t last_number = 0;  // the highest ever given
    std::map<uint64_t, JobRun> runs;

    const JobRun* find(uint64_t number) const {
        const auto found = runs.find(number);
        return found == runs.end() ? nullptr : &found->second;
    }
};
using Jobs = std::map<JobKey, JobState>;

inline constexpr size_t kActiveRunsMax = 20;  // of one job; more are skipped, or refused
inline constexpr size_t kRunArgumentsMax = 64;
inline constexpr size_t kRunArgumentsBytesMax = 16 << 10;

size_t active_count(const JobState& job);

}  // namespace candela::lighthouse
