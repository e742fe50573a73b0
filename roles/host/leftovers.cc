#include "leftovers.h"

#include <signal.h>

#include <algorithm>
#include <ctime>
#include <set>

#include "base/ids.h"
#include "loop/file.h"
#include "process_table.h"

namespace candela::host {

namespace {

constexpr int kRoundsMax = 250;

bool is_zombie(int pid) {
    const auto stat = read_process_stat(pid);
    return stat && stat->state == 'Z';
}

void pause_briefly() {
    const timespec pause{0, 20'000'000};
    nanosleep(&pause, nullptr);
}

}  // namespace

Result<std::string> load_run_id(const std::filesystem::path& host_folder) {
    const auto file = host_folder / "run_id";
    const auto known = read_file(file, 128);
    if (known && known->size() == 22) return *known;
    if (!known && known.error().code() != Code::kNotFound) return fail(known.error());
    SeededRandom random = system_seeded_random();
    std::string made = make_id(random);
    CANDELA_TRY(write_file(file, made, 0600));
    return made;
}

size_t end_marked(const std::vector<std::string>& entries) {
    const auto has_all = [&](int pid) {
        return std::ranges::all_of(
            entries, [&](const std::string& entry) { return has_environment_entry(pid, entry); });
    };
    std::set<int> seen;
    for (int round = 0; round < kRoundsMax; ++round) {
        bool is_any_left = false;
        for (const int pid : all_pids()) {
            if (!has_all(pid) || is_zombie(pid)) continue;
            is_any_left = true;
            seen.insert(pid);
            ::kill(pid, SIGKILL);
        }
        if (!is_any_left) break;
        pause_briefly();
    }
    return seen.size();
}

size_t end_leftovers(const std::string& run_id, const std::string& instance) {
    return end_marked({"CANDELA_RUN_ID=" + run_id, "CANDELA_INSTANCE=" + instance});
}

}  // namespace candela::host
