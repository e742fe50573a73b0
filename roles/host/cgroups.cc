#include "cgroups.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "base/text.h"

namespace candela::host {

namespace {

constexpr const char* kControllers[] = {"memory", "cpu", "pids", "io"};

Result<> write_value(const std::filesystem::path& file, std::string_view value) {
    const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return fail_errno(file.native(), errno);
    const ssize_t done = write(fd, value.data(), value.size());
    const int error = errno;
    close(fd);
    if (done != static_cast<ssize_t>(value.size())) return fail_errno(file.native(), error);
    return {};
}

// These files have no size.
std::string read_value(const std::filesystem::path& file) {
    std::string text;
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return text;
    char buffer[4096];
    for (ssize_t got = 0; (got = read(fd, buffer, sizeof(buffer))) > 0;) {
        text.append(buffer, static_cast<size_t>(got));
    }
    close(fd);
    while (text.ends_with('\n')) text.pop_back();
    return text;
}

Result<> make_folder(const std::filesystem::path& folder) {
    if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
        return fail_errno(folder.native(), errno);
    }
    return {};
}

bool has_word(std::string_view text, std::string_view word) {
    const auto words = split(text, ' ');
    return std::ranges::find(words, word) != words.end();
}

// Children get what of them is there; one that can't be given is left out.
void give_controllers(const std::filesystem::path& folder) {
    const std::string there = read_value(folder / "cgroup.controllers");
    const std::string given = read_value(folder / "cgroup.subtree_control");
    for (const char* controller : kControllers) {
        if (!has_word(there, controller) || has_word(given, controller)) continue;
        static_cast<void>(
            write_value(folder / "cgroup.subtree_control", fmt::format("+{}", controller)));
    }
}

CgroupBase base_at(const std::filesystem::path& folder) {
    const std::string given = read_value(folder / "cgroup.subtree_control");
    CgroupBase base;
    base.folder = folder;
    base.has_memory = has_word(given, "memory");
    base.has_cpu = has_word(given, "cpu");
    base.has_pids = has_word(given, "pids");
    base.has_io = has_word(given, "io");
    return base;
}

// The value behind "KEY " or "KEY=" in lines or words.
uint64_t value_behind(std::string_view text, std::string_view key) {
    const size_t at = text.find(key);
    if (at == std::string_view::npos) return 0;
    std::string_view rest = text.substr(at + key.size());
    rest = rest.substr(0, std::min(rest.find_first_not_of("0123456789"), rest.size()));
    return parse_uint(rest).value_or(0);
}

// "some avg10=1.25 avg60=…": hundredths of a percent.
uint32_t read_pressure(const std::filesystem::path& file) {
    const std::string text = read_value(file);
    const size_t at = text.find("avg10=");
    if (at == std::string::npos) return 0;
    std::string_view number = std::string_view(text).substr(at + 6);
    number = number.substr(0, number.find(' '));
    const auto parts = split_once(number, '.');
    if (!parts) return 0;
    return static_cast<uint32_t>(parse_uint(parts->first).value_or(0) * 100 +
                                 parse_uint(parts->second).value_or(0));
}

}  // namespace

Result<CgroupBase> find_cgroup_base(const std::filesystem::path& mount, std::string_view own,
                                    int pid) {
    std::error_code ignored;
    if (!std::filesystem::exists(mount / "cgroup.controllers", ignored)) {
        return fail(Code::kUnsupported, "there is no cgroup v2 at {}", mount.native());
    }
    std::string_view path;
    for (const std::string_view line : split(own, '\n')) {
        if (line.starts_with("0::/")) path = line.substr(4);
    }
    const std::filesystem::path here = mount / path;
    if (here.filename() == "host") {
        give_controllers(here.parent_path());
        return base_at(here.parent_path());
    }
    if (path.ends_with(".service")) {
        // The service manager could not start us again in a group that has given its controllers
        // on.
        return fail(Code::kUnsupported,
                    "the unit needs Delegate=yes and DelegateSubgroup=host, which systemd has "
                    "since version 254");
    }
    if (path.empty()) {
        give_controllers(mount);
        if (const auto made = make_folder(mount / "candela"); !made)
            return fail(made.error().code(), "we may not make groups in {}", mount.native());
        give_controllers(mount / "candela");
        return base_at(mount / "candela");
    }
    const auto made = make_folder(here / "host");
    if (!made) return fail(made.error().code(), "we may not make groups in {}", here.native());
    CANDELA_TRY(write_value(here / "host/cgroup.procs", std::to_string(pid)));
    give_controllers(here);
    return base_at(here);
}

Result<CgroupBase> use_cgroup_folder(const std::filesystem::path& folder) {
    std::error_code ignored;
    if (!std::filesystem::exists(folder / "cgroup.controllers", ignored)) {
        return fail(Code::kUnsupported, "{} is no group of cgroup v2", folder.native());
    }
    give_controllers(folder);
    return base_at(folder);
}

Result<std::string> disk_of(const std::filesystem::path& folder,
                            const std::filesystem::path& devices) {
    struct stat look{};
    if (stat(folder.c_str(), &look) != 0) return fail_errno(folder.native(), errno);
    std::string number = fmt::format("{}:{}", major(look.st_dev), minor(look.st_dev));
    std::error_code error;
    const std::filesystem::path device = std::filesystem::canonical(devices / number, error);
    // btrfs, overlayfs, NFS and their like.
    if (error) return fail(Code::kUnsupported, "{} lies on no single disk", folder.native());
    if (!std::filesystem::exists(device / "partition", error)) return number;
    number = read_value(device.parent_path() / "dev");
    if (number.empty()) return fail(Code::kUnsupported, "{} lies on no disk", folder.native());
    return number;
}

std::filesystem::path cgroup_of(const CgroupBase& base, std::string_view instance) {
    return base.folder / fmt::format("i-{}", instance);
}

Result<> make_cgroup(const CgroupBase& base, const std::filesystem::path& folder,
                     const InstanceLimits& limits) {
    CANDELA_TRY(make_folder(folder));
    if (base.has_memory) {
        const bool is_limited = limits.memory_bytes != 0;
        CANDELA_TRY(write_value(folder / "memory.max",
                                is_limited ? std::to_string(limits.memory_bytes) : "max"));
        // At the limit it ends, as a whole. There is no memory.high below it: what leaks would be
        // slowed down there for minutes, neither serving nor ending.
        CANDELA_TRY(write_value(folder / "memory.oom.group", "1"));
        // Kernels without swap have no such file.
        if (is_limited) static_cast<void>(write_value(folder / "memory.swap.max", "0"));
    }
    if (base.has_cpu) {
        constexpr uint32_t kPeriodUs = 100'000;
        const bool is_limited = limits.cpu_percent != 0;
        const uint64_t quota = uint64_t{limits.cpu_percent} * kPeriodUs / 100;
        CANDELA_TRY(write_value(folder / "cpu.max", is_limited
                                                        ? fmt::format("{} {}", quota, kPeriodUs)
                                                        : fmt::format("max {}", kPeriodUs)));
    }
    if (base.has_pids) {
        CANDELA_TRY(write_value(folder / "pids.max",
                                limits.pids != 0 ? std::to_string(limits.pids) : "max"));
    }
    if (base.has_io && !base.disk.empty() && limits.io_bytes != 0) {
        CANDELA_TRY(write_value(folder / "io.max", fmt::format("{} rbps={} wbps={}", base.disk,
                                                               limits.io_bytes, limits.io_bytes)));
    }
    return {};
}

Result<> remove_cgroup(const std::filesystem::path& folder) {
    constexpr int kTriesMax = 50;
    struct stat look{};
    if (stat(folder.c_str(), &look) != 0) return {};
    static_cast<void>(write_value(folder / "cgroup.kill", "1"));
    for (int i = 0; i < kTriesMax; ++i) {
        if (rmdir(folder.c_str()) == 0 || errno == ENOENT) return {};
        const timespec pause{0, 10'000'000};
        nanosleep(&pause, nullptr);
    }
    return fail_errno(folder.native(), errno);
}

CgroupUsage read_cgroup_usage(const std::filesystem::path& folder) {
    CgroupUsage usage;
    usage.memory_bytes = parse_uint(read_value(folder / "memory.current")).value_or(0);
    usage.cpu_us = value_behind(read_value(folder / "cpu.stat"), "usage_usec ");
    usage.pids = static_cast<uint32_t>(parse_uint(read_value(folder / "pids.current")).value_or(0));
    usage.cpu_pressure = read_pressure(folder / "cpu.pressure");
    usage.memory_pressure = read_pressure(folder / "memory.pressure");
    usage.io_pressure = read_pressure(folder / "io.pressure");
    usage.oom_kills = value_behind(read_value(folder / "memory.events"), "oom_kill ");
    return usage;
}

std::string why_ended(const std::filesystem::path& folder) {
    if (value_behind(read_value(folder / "memory.events"), "oom_kill ") == 0) return {};
    const auto limit = parse_uint(read_value(folder / "memory.max"));
    if (!limit) return "out of memory: the machine had none left";
    return fmt::format("out of memory: it may take {}", format_size(*limit));
}

}  // namespace candela::host
