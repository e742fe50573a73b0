#include "jobs.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace candela::lighthouse {

namespace {
constexpr std::string_view kStates[] = {"waiting", "running",   "done",
                                        "failed",  "cancelled", "skipped"};
}  // namespace

std::string to_string(const JobKey& key) { return fmt::format("{}/{}", key.service, key.job); }

std::string_view to_string(RunState state) { return kStates[static_cast<size_t>(state)]; }

Result<RunState> parse_run_state(std::string_view text) {
    const auto found = std::ranges::find(kStates, text);
    if (found != std::end(kStates)) return static_cast<RunState>(found - std::begin(kStates));
    return fail(Code::kCorrupt, "'{}' is not the state of a run", printable(text));
}

size_t active_count(const JobState& job) {
    return static_cast<size_t>(std::ranges::count_if(
        job.runs, [](const auto& entry) { return entry.second.is_active(); }));
}

}  // namespace candela::lighthouse
