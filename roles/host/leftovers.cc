#include "leftovers.h"

#include <signal.h>

#include <ctime>
#include <set>

#include "base/ids.h"
#include "base/text.h"
#include "loop/file.h"
#include "process_table.h"

namespace candela::host {

namespace {

bool is_zombie(int pid) {
    const auto stat = read_process_stat(pid);
    return stat && stat->state == 'Z';
}

std::set<int> find_leftovers(const std::string& run_id, const std::vector<ProcessRecord>& records) {
    std::set<int> found;
    const std::string entry = "CANDELA_RUN_ID=" + run_id;
    for (const int pid : all_pids()) {
        if (has_environment_entry(pid, entry) && !is_zombie(pid)) found.insert(pid);
    }
    for (const ProcessRecord& record : records) {
        const auto now = look_up_process(record.pid);
        if (now && *now == record && !is_zombie(record.pid)) found.insert(record.pid);
    }
    return found;
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

Result<ProcessRecord> look_up_process(int pid) {
    CANDELA_TRY_ASSIGN(const ProcessStat stat, read_process_stat(pid));
    return ProcessRecord{pid, stat.started};
}

Result<> record_process(const std::filesystem::path& instance_folder, int pid) {
    CANDELA_TRY_ASSIGN(const ProcessRecord record, look_up_process(pid));
    return write_file(instance_folder / "process", fmt::format("{} {}", record.pid, record.started),
                      0600);
}

std::vector<ProcessRecord> read_records(const std::filesystem::path& run_folder) {
    std::vector<ProcessRecord> records;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(run_folder, error)) {
        const auto text = read_file(entry.path() / "process", 64);
        if (!text) continue;
        const auto parts = split_once(*text, ' ');
        if (!parts) continue;
        const auto pid = parse_uint(parts->first);
        const auto started = parse_uint(parts->second);
        if (pid && started && *pid > 1) records.push_back({static_cast<int>(*pid), *started});
    }
    return records;
}

Result<size_t> end_leftovers(const std::string& run_id, const std::vector<ProcessRecord>& records,
                             Duration grace) {
    const auto deadline = std::chrono::steady_clock::now() + grace;
    const auto give_up = deadline + std::chrono::seconds(5);
    std::set<int> seen;
    std::set<int> killed;
    for (;;) {
        const std::set<int> left = find_leftovers(run_id, records);
        if (left.empty()) return seen.size();
        const auto now = std::chrono::steady_clock::now();
        if (now > give_up) {
            return fail(Code::kInternal, "{} processes of an earlier run do not end, {} among them",
                        left.size(), *left.begin());
        }
        for (const int pid : left) {
            const bool is_new = seen.insert(pid).second;
            if (now >= deadline) {
                if (killed.insert(pid).second) ::kill(pid, SIGKILL);
            } else if (is_new) {
                ::kill(pid, SIGTERM);
            }
        }
        pause_briefly();
    }
}

}  // namespace candela::host
