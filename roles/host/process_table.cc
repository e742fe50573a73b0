#include "process_table.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/text.h"

namespace candela::host {

namespace {

// Files of /proc have no size: read_file() can't know how much to expect.
std::string read_proc(int pid, std::string_view name) {
    constexpr size_t kSizeMax = 1 << 20;
    std::string text;
    const int fd = open(fmt::format("/proc/{}/{}", pid, name).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return text;
    char buffer[8192];
    while (text.size() < kSizeMax) {
        const ssize_t count = read(fd, buffer, sizeof(buffer));
        if (count <= 0) break;
        text.append(buffer, static_cast<size_t>(count));
    }
    close(fd);
    return text;
}

}  // namespace

std::vector<int> all_pids() {
    std::vector<int> pids;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
        const auto pid = parse_uint(entry.path().filename().native());
        if (pid && *pid > 1 && static_cast<int>(*pid) != getpid())
            pids.push_back(static_cast<int>(*pid));
    }
    return pids;
}

Result<ProcessStat> read_process_stat(int pid) {
    const std::string text = read_proc(pid, "stat");
    // proc(5): the name, in parentheses, may contain anything. Behind it come the state, the
    // parent, the group, and as the twentieth field the start.
    const size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) return fail(Code::kNotFound, "process {} is gone", pid);
    const auto fields = split(std::string_view(text).substr(name_end + 1), ' ');
    if (fields.size() < 21 || fields[1].size() != 1) {
        return fail(Code::kNotFound, "process {} is gone", pid);
    }
    ProcessStat stat;
    stat.state = fields[1].front();
    CANDELA_TRY_ASSIGN(const uint64_t group, parse_uint(fields[3]));
    stat.group = static_cast<int>(group);
    CANDELA_TRY_ASSIGN(stat.started, parse_uint(fields[20]));
    return stat;
}

bool has_environment_entry(int pid, const std::string& entry) {
    const std::string environment = read_proc(pid, "environ");
    return std::ranges::any_of(split(environment, '\0'),
                               [&](std::string_view other) { return other == entry; });
}

bool has_living_member(int group) {
    return std::ranges::any_of(all_pids(), [group](int pid) {
        const auto stat = read_process_stat(pid);
        return stat && stat->group == group && stat->state != 'Z' && stat->state != 'X';
    });
}

}  // namespace candela::host
