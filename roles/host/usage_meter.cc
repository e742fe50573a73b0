#include "usage_meter.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "base/text.h"

namespace candela::host {

namespace {

using std::filesystem::path;

// Files of /proc and cgroups have no size. Nothing where it can't be read.
std::optional<std::string> read_kernel_file(const path& file) {
    constexpr size_t kSizeMax = 1 << 20;
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return std::nullopt;
    std::string text;
    char buffer[8192];
    ssize_t count = 0;
    while (text.size() < kSizeMax && (count = ::read(fd, buffer, sizeof(buffer))) > 0)
        text.append(buffer, static_cast<size_t>(count));
    ::close(fd);
    if (count < 0) return std::nullopt;
    return text;
}

std::optional<uint64_t> number_behind(std::string_view text, std::string_view name) {
    const size_t at = text.find(name);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view rest = trim(text.substr(at + name.size()));
    const auto number = parse_uint(rest.substr(0, rest.find_first_not_of("0123456789")));
    if (!number) return std::nullopt;
    return *number;
}

// "some avg10=1.25 …": the share of the last ten seconds, in 1/10000.
std::optional<uint32_t> read_pressure(const path& file) {
    const auto text = read_kernel_file(file);
    if (!text) return std::nullopt;
    const size_t at = text->find("avg10=");
    if (at == std::string::npos) return std::nullopt;
    const std::string_view rest = std::string_view(*text).substr(at + 6);
    const auto parts = split_once(rest.substr(0, rest.find(' ')), '.');
    if (!parts) return std::nullopt;
    const auto whole = parse_uint(parts->first);
    const auto part = parse_uint(parts->second.substr(0, 2));
    if (!whole || !part) return std::nullopt;
    return static_cast<uint32_t>(*whole * 100 + *part);
}

void read_pressures(const path& folder, std::string_view end, proto::Usage& usage) {
    const auto cpu = read_pressure(folder / fmt::format("cpu{}", end));
    const auto memory = read_pressure(folder / fmt::format("memory{}", end));
    const auto io = read_pressure(folder / fmt::format("io{}", end));
    if (!cpu || !memory || !io) return;
    usage.known |= proto::kUsagePressure;
    usage.cpu_pressure = *cpu;
    usage.memory_pressure = *memory;
    usage.io_pressure = *io;
}

// Interfaces but the loopback: "  eth0: 1 2 3 4 5 6 7 8 9 …", bytes in the first and ninth column.
void read_network(const path& file, proto::Usage& usage) {
    const auto text = read_kernel_file(file);
    if (!text) return;
    for (const std::string_view line : split(*text, '\n')) {
        const auto parts = split_once(line, ':');
        if (!parts || trim(parts->first) == "lo") continue;
        std::vector<uint64_t> numbers;
        for (const std::string_view field : split(trim(parts->second), ' ')) {
            if (!field.empty()) numbers.push_back(parse_uint(field).value_or(0));
        }
        if (numbers.size() < 9) continue;
        usage.net_in_bytes += numbers[0];
        usage.net_out_bytes += numbers[8];
    }
    usage.known |= proto::kUsageNetwork;
}

// ---- processes

struct Process {
    int parent = 0;
    bool is_keeper = false;
    uint64_t cpu_ticks = 0;  // with children that it has waited for
    uint64_t resident_pages = 0;
};

std::optional<Process> read_process(const path& folder) {
    const auto text = read_kernel_file(folder / "stat");
    if (!text) return std::nullopt;
    // proc(5): behind the name state, parent, …; as 14th to 17th the times, as 24th the pages.
    const size_t name_end = text->rfind(')');
    if (name_end == std::string::npos) return std::nullopt;
    const auto fields = split(std::string_view(*text).substr(name_end + 1), ' ');
    if (fields.size() < 23) return std::nullopt;
    Process process;
    const size_t name_begin = text->find('(') + 1;
    process.is_keeper = std::string_view(*text).substr(name_begin).starts_with("candela-keeper");
    process.parent = static_cast<int>(parse_uint(fields[2]).value_or(0));
    for (size_t i = 12; i < 16; ++i) process.cpu_ticks += parse_uint(fields[i]).value_or(0);
    process.resident_pages = parse_uint(fields[22]).value_or(0);
    return process;
}

using Processes = std::map<int, Process>;

Processes all_processes(const path& proc) {
    Processes all;
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator(proc, failed)) {
        const auto pid = parse_uint(entry.path().filename().native());
        if (!pid) continue;
        if (const auto process = read_process(entry.path())) all[static_cast<int>(*pid)] = *process;
    }
    return all;
}

// The process and all below it. What has left its parent is the keeper's child.
std::vector<int> tree_of(int root, const Processes& all) {
    const auto self = all.find(root);
    if (self == all.end()) return {};
    std::vector<int> tree{root};
    const int parent = self->second.parent;
    const auto parent_itself = all.find(parent);
    const bool is_kept = parent_itself != all.end() && parent_itself->second.is_keeper;
    for (const auto& [pid, process] : all) {
        if (is_kept && process.parent == parent && pid != root) tree.push_back(pid);
    }
    for (size_t i = 0; i < tree.size(); ++i) {
        for (const auto& [pid, process] : all) {
            if (process.parent == tree[i]) tree.push_back(pid);
        }
    }
    return tree;
}

void read_tree(const std::vector<int>& tree, const Processes& all, const path& proc,
               proto::Usage& usage) {
    if (tree.empty()) return;
    const auto ticks = static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
    const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    bool has_io = true;
    for (const int pid : tree) {
        const Process& process = all.at(pid);
        usage.cpu_micros += process.cpu_ticks * 1'000'000 / ticks;
        usage.memory_bytes += process.resident_pages * page;
        // Another user's is not for everyone to read.
        const auto io = read_kernel_file(proc / std::to_string(pid) / "io");
        const auto read = io ? number_behind(*io, "\nread_bytes:") : std::nullopt;
        const auto written = io ? number_behind(*io, "\nwrite_bytes:") : std::nullopt;
        has_io = has_io && read && written;
        usage.io_read_bytes += read.value_or(0);
        usage.io_write_bytes += written.value_or(0);
    }
    usage.processes = static_cast<uint32_t>(tree.size());
    usage.known |= proto::kUsageCpu | proto::kUsageMemory | proto::kUsageProcesses;
    if (has_io)
        usage.known |= proto::kUsageIo;
    else
        usage.io_read_bytes = usage.io_write_bytes = 0;
}

// ---- cgroups

// What the kernel's own count covers, all that has ended included.
void read_cgroup(const path& folder, proto::Usage& usage) {
    if (const auto cpu = read_kernel_file(folder / "cpu.stat")) {
        if (const auto micros = number_behind(*cpu, "usage_usec")) {
            usage.cpu_micros = *micros;
            usage.known |= proto::kUsageCpu;
        }
    }
    if (const auto memory = read_kernel_file(folder / "memory.current")) {
        usage.memory_bytes = parse_uint(trim(memory->substr(0, memory->find('\n')))).value_or(0);
        usage.known |= proto::kUsageMemory;
    }
    if (const auto pids = read_kernel_file(folder / "pids.current")) {
        usage.processes =
            static_cast<uint32_t>(parse_uint(trim(pids->substr(0, pids->find('\n')))).value_or(0));
        usage.known |= proto::kUsageProcesses;
    }
    if (const auto io = read_kernel_file(folder / "io.stat")) {
        usage.io_read_bytes = usage.io_write_bytes = 0;
        for (const std::string_view line : split(*io, '\n')) {
            usage.io_read_bytes += number_behind(line, "rbytes=").value_or(0);
            usage.io_write_bytes += number_behind(line, "wbytes=").value_or(0);
        }
        usage.known |= proto::kUsageIo;
    }
    read_pressures(folder, ".pressure", usage);
}

std::string_view group_of(std::string_view groups) {
    for (const std::string_view line : split(groups, '\n')) {
        if (line.starts_with("0::")) return line.substr(3);
    }
    return {};
}

// Of cgroup v1, as engines make them: "4:cpu,cpuacct:/docker/0a1b", each controller in a hierarchy
// of its own. Empty where the process is in the same one as we are.
path old_group_of(std::string_view groups, std::string_view own_groups, std::string_view controller,
                  const path& cgroups) {
    const auto find =
        [&](std::string_view text) -> std::optional<std::pair<std::string_view, std::string_view>> {
        for (const std::string_view line : split(text, '\n')) {
            const auto number = split_once(line, ':');
            const auto parts = number ? split_once(number->second, ':') : std::nullopt;
            if (!parts) continue;
            for (const std::string_view name : split(parts->first, ',')) {
                if (name == controller) return std::pair(parts->first, parts->second);
            }
        }
        return std::nullopt;
    };
    const auto group = find(groups);
    const auto own = find(own_groups);
    if (!group || !own || group->second == own->second || group->second.size() < 2) return {};
    return cgroups / group->first / group->second.substr(1);
}

// What cgroup v1 counts of a container, all that its engine has started in it included.
void read_old_cgroups(std::string_view groups, std::string_view own_groups, const path& cgroups,
                      proto::Usage& usage) {
    const auto text = [&](std::string_view controller, const char* file) {
        const path folder = old_group_of(groups, own_groups, controller, cgroups);
        return folder.empty() ? std::nullopt : read_kernel_file(folder / file);
    };
    const auto number = [&](std::string_view controller, const char* file) {
        const auto read = text(controller, file);
        return read ? number_behind(*read, "") : std::nullopt;
    };
    if (const auto nanos = number("cpuacct", "cpuacct.usage")) {
        usage.cpu_micros = *nanos / 1000;
        usage.known |= proto::kUsageCpu;
    }
    if (const auto bytes = number("memory", "memory.usage_in_bytes")) {
        usage.memory_bytes = *bytes;
        usage.known |= proto::kUsageMemory;
    }
    if (const auto count = number("pids", "pids.current")) {
        usage.processes = static_cast<uint32_t>(*count);
        usage.known |= proto::kUsageProcesses;
    }
    if (const auto io = text("blkio", "blkio.throttle.io_service_bytes")) {
        for (const std::string_view line : split(*io, '\n')) {
            usage.io_read_bytes += number_behind(line, " Read ").value_or(0);
            usage.io_write_bytes += number_behind(line, " Write ").value_or(0);
        }
        usage.known |= proto::kUsageIo;
    }
}

std::string network_of(const path& proc_self) {
    std::error_code failed;
    return std::filesystem::read_symlink(proc_self / "ns/net", failed).string();
}

proto::Usage measure_machine(const path& proc) {
    proto::Usage usage;
    if (const auto stat = read_kernel_file(proc / "stat"); stat && stat->starts_with("cpu ")) {
        const auto fields =
            split(trim(std::string_view(*stat).substr(4, stat->find('\n') - 4)), ' ');
        uint64_t busy = 0;
        // Without idle and iowait, and guests, which count as user already.
        for (size_t i = 0; i < fields.size() && i < 8; ++i) {
            if (i != 3 && i != 4) busy += parse_uint(fields[i]).value_or(0);
        }
        usage.cpu_micros = busy * 1'000'000 / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
        usage.known |= proto::kUsageCpu;
    }
    if (const auto memory = read_kernel_file(proc / "meminfo")) {
        const auto total = number_behind(*memory, "MemTotal:");
        const auto free = number_behind(*memory, "MemAvailable:");
        if (total && free && *total >= *free) {
            usage.memory_bytes = (*total - *free) * 1024;
            usage.known |= proto::kUsageMemory;
        }
    }
    read_network(proc / "net/dev", usage);
    read_pressures(proc / "pressure", "", usage);
    return usage;
}

}  // namespace

Measured measure_usage(const std::vector<MeteredInstance>& instances, const path& proc,
                       const path& cgroups) {
    Measured measured;
    measured.machine = measure_machine(proc);
    std::optional<Processes> all;  // where some instance needs it
    const auto own_groups = read_kernel_file(proc / "self/cgroup");
    const std::string own_network = network_of(proc / "self");
    for (const MeteredInstance& each : instances) {
        if (each.pid <= 0) continue;
        const path self = proc / std::to_string(each.pid);
        proto::Usage& usage = measured.instances[each.instance];
        path group = each.cgroup;
        if (group.empty()) {
            // A container's engine has made one.
            const auto groups = read_kernel_file(self / "cgroup");
            if (groups && own_groups && *groups != *own_groups) {
                const std::string_view found = group_of(*groups);
                if (found.size() > 1 && found != group_of(*own_groups))
                    group = cgroups / found.substr(1);
                read_old_cgroups(*groups, *own_groups, cgroups, usage);
            }
        }
        if (!group.empty()) read_cgroup(group, usage);
        constexpr uint32_t kOfTree =
            proto::kUsageCpu | proto::kUsageMemory | proto::kUsageProcesses;
        if ((usage.known & kOfTree) != kOfTree) {
            if (!all) all = all_processes(proc);
            proto::Usage counted;
            read_tree(tree_of(each.pid, *all), *all, proc, counted);
            const auto take = [&](uint32_t bit, auto... fields) {
                if ((usage.known & bit) != 0 || (counted.known & bit) == 0) return;
                usage.known |= bit;
                ((usage.*fields = counted.*fields), ...);
            };
            take(proto::kUsageCpu, &proto::Usage::cpu_micros);
            take(proto::kUsageMemory, &proto::Usage::memory_bytes);
            take(proto::kUsageProcesses, &proto::Usage::processes);
            take(proto::kUsageIo, &proto::Usage::io_read_bytes, &proto::Usage::io_write_bytes);
        }
        // In a network that it shares with us nobody counts for it alone.
        const std::string network = network_of(self);
        if (!network.empty() && network != own_network) read_network(self / "net/dev", usage);
    }
    return measured;
}

UsageMeter::UsageMeter(Loop& loop)
    : loop_(loop), next_at_(loop.now()), alive_(std::make_shared<bool>(true)) {}

UsageMeter::~UsageMeter() { *alive_ = false; }

void UsageMeter::add_to(proto::NodeHeartbeat& beat, const CgroupOf& cgroup_of) {
    beat.usage = measured_.machine;
    std::vector<MeteredInstance> next;
    for (proto::InstanceStatus& status : beat.instances) {
        if (status.pid == 0) continue;
        const auto known = measured_.instances.find(status.instance);
        if (known != measured_.instances.end()) status.usage = known->second;
        if ((status.usage.known & proto::kUsageMemory) != 0)
            status.memory_bytes = status.usage.memory_bytes;
        next.push_back(MeteredInstance(status.instance, static_cast<int>(status.pid),
                                       cgroup_of(status.instance)));
    }
    if (!is_measuring_ && loop_.now() >= next_at_) measure(std::move(next));
}

void UsageMeter::measure(std::vector<MeteredInstance> instances) {
    struct Round {
        std::vector<MeteredInstance> instances;
        Measured measured;
        Duration took{};
    };
    auto round = std::make_shared<Round>();
    round->instances = std::move(instances);
    is_measuring_ = true;
    next_at_ = loop_.now();
    loop_.offload(
        [round] {
            const auto begun = std::chrono::steady_clock::now();
            round->measured = measure_usage(round->instances);
            round->took = std::chrono::steady_clock::now() - begun;
        },
        [this, round, alive = alive_] {
            if (!*alive) return;
            is_measuring_ = false;
            measured_ = std::move(round->measured);
            next_at_ += std::clamp(round->took * kIdleShare, kInterval, kIntervalMax);
        });
}

}  // namespace candela::host
