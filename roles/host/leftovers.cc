#include "leftovers.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <set>

#include "base/ids.h"
#include "base/text.h"
#include "loop/file.h"

namespace candela::host {

namespace {

std::filesystem::path proc(int pid) { return std::filesystem::path("/proc") / std::to_string(pid); }

// Files of /proc have no size: read_file() can't know how much to expect.
std::string read_proc(const std::filesystem::path& file) {
    std::string text;
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return text;
    char buffer[8192];
    for (;;) {
        const ssize_t count = read(fd, buffer, sizeof(buffer));
        if (count <= 0 || text.size() > (1 << 20)) break;
        text.append(buffer, static_cast<size_t>(count));
    }
    close(fd);
    return text;
}

std::vector<int> all_pids() {
    std::vector<int> pids;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
        const auto pid = parse_uint(entry.path().filename().native());
        if (pid && *pid > 1 && static_cast<int>(*pid) != getpid()) pids.push_back(static_cast<int>(*pid));
    }
    return pids;
}

bool has_run_id(int pid, const std::string& run_id) {
    const std::string environment = read_proc(proc(pid) / "environ");
    const std::string wanted = "CANDELA_RUN_ID=" + run_id;
    return std::ranges::any_of(split(environment, '\0'),
                               [&](std::string_view entry) { return entry == wanted; });
}

// Where /proc shows the process as a zombie, it has ended: only its parent has not looked.
bool is_zombie(int pid) {
    const std::string stat = read_proc(proc(pid) / "stat");
    const size_t name_end = stat.rfind(')');
    return name_end != std::string::npos && stat.substr(name_end + 1).starts_with(" Z");
}

std::set<int> find_leftovers(const std::string& run_id, const std::vector<ProcessRecord>& records) {
    std::set<int> found;
    for (const int pid : all_pids()) {
        if (has_run_id(pid, run_id) && !is_zombie(pid)) found.insert(pid);
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
    const std::string stat = read_proc(proc(pid) / "stat");
    // proc(5): the name, in parentheses, may contain anything; starttime is the 20th field after it.
    const size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos) return fail(Code::kNotFound, "process {} is gone", pid);
    const auto fields = split(std::string_view(stat).substr(name_end + 1), ' ');
    if (fields.size() < 21) return fail(Code::kNotFound, "process {} is gone", pid);
    CANDELA_TRY_ASSIGN(const uint64_t started, parse_uint(fields[20]));
    return ProcessRecord{pid, started};
}

Result<> record_process(const std::filesystem::path& instance_folder, int pid) {
    CANDELA_TRY_ASSIGN(const ProcessRecord record, look_up_process(pid));
    return write_file(instance_folder / "process", fmt::format("{} {}", record.pid, record.started), 0600);
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
