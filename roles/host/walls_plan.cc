#include "walls_plan.h"

#include <linux/landlock.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/text.h"
#include "crypto/hash.h"

namespace candela::host {

using keeper::Entry;

namespace {

// What programs of a distribution are made of. Of /etc only what they can't do without, and nothing
// that tells who else uses the machine.
constexpr const char* kSystemPaths[] = {
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/debian_version",
    "/etc/dotnet",
    "/etc/fonts",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/inputrc",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/perl",
    "/etc/php",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/python3",
    "/etc/python3.11",
    "/etc/python3.13",
    "/etc/resolv.conf",
    "/etc/rpc",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
};

constexpr std::string_view kHostsFile = "/etc/hosts";

// /etc/java-17-openjdk and its like: their names have a version.
std::vector<std::string> find_java_settings() {
    std::vector<std::string> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/etc", error)) {
        const std::string name = entry.path().filename().native();
        if (name.starts_with("java-")) found.push_back(entry.path().native());
    }
    std::ranges::sort(found);
    return found;
}

// Whether what the system shows has it already: it could not be put into what is read-only.
bool is_of_system(std::string_view path) {
    return std::ranges::any_of(kSystemPaths, [&](std::string_view known) {
        return path == known || (path.starts_with(known) && path[known.size()] == '/');
    });
}

void add_file(PlanWriter& plan, std::string_view path, const std::string& content) {
    std::string front(path);
    front += '\0';
    plan.add(Entry::kFile, front, content);
}

void add_tmpfs(PlanWriter& plan, const std::string& path, uint64_t bytes) {
    plan.add_text(Entry::kTmpfs, path, bytes_of(bytes));
}

void add_root(PlanWriter& plan, const StartRequest& request, const WallSettings& settings,
              uint32_t uid, uint64_t scratch_bytes) {
    for (const std::string_view path : kSystemPaths) {
        if (path == kHostsFile && !request.has_network) continue;
        plan.add_text(Entry::kReadOnly, std::string(path));
    }
    if (!request.has_network) {
        // By the bus's own name, which its certificate may have.
        add_file(plan, kHostsFile,
                 fmt::format("127.0.0.1 localhost {}\n::1 localhost\n", request.bus_name));
    }
    for (const std::string& path : find_java_settings()) plan.add_text(Entry::kReadOnly, path);
    for (const std::string& path : settings.paths) plan.add_text(Entry::kReadOnly, path);
    add_file(plan, "/etc/passwd",
             fmt::format("root:x:0:0:root:/root:/usr/sbin/nologin\n"
                         "service:x:{0}:{0}:service:{1}:/bin/sh\n"
                         "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
                         uid, kInnerHome));
    add_file(plan, "/etc/group", fmt::format("root:x:0:\nservice:x:{}:\nnogroup:x:65534:\n", uid));
    plan.add(Entry::kDevices);
    plan.add(Entry::kProc);
    add_tmpfs(plan, std::string(kInnerTemporary), scratch_bytes);
    plan.add_text(Entry::kFolder, std::string(kInnerHome));
    add_tmpfs(plan, "/dev/shm", std::min(kShmBytesMax, scratch_bytes));
    add_tmpfs(plan, "/run", 1 << 20);
    // Last, so that neither /tmp nor /run covers them.
    for (const std::string& path : request.readable) {
        if (!is_of_system(path)) plan.add_text(Entry::kReadOnly, path);
    }
    for (const std::string& path : request.writable) plan.add_text(Entry::kWritable, path);
}

void add_landlock(PlanWriter& plan, const StartRequest& request, const WallSettings& settings) {
    const int abi = settings.walls.landlock_abi;
    constexpr uint64_t kRefer = 1ULL << 13;
    constexpr uint64_t kTruncate = 1ULL << 14;
    uint64_t all = (1ULL << 13) - 1;  // as ABI 1 has them
    if (abi >= 2) all |= kRefer;
    if (abi >= 3) all |= kTruncate;
    constexpr uint64_t kAbstractSockets = 1ULL << 0;
    constexpr uint64_t kSignals = 1ULL << 1;
    const uint64_t attributes[3] = {all, 0, kAbstractSockets | kSignals};
    const size_t count = abi >= 6 ? 3 : abi >= 4 ? 2 : 1;
    plan.add(Entry::kLandlock, bytes_of(attributes).substr(0, count * sizeof(uint64_t)));

    constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    constexpr uint64_t kRun = kRead | LANDLOCK_ACCESS_FS_EXECUTE;
    const auto allow = [&](const std::string& path, uint64_t access) {
        const uint64_t known = access & all;
        plan.add_text(Entry::kLandlockRule, path, bytes_of(known));
    };
    for (const char* path : {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/etc"}) {
        allow(path, kRun);
    }
    allow("/", LANDLOCK_ACCESS_FS_READ_DIR);
    allow("/dev", kRead | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate);
    allow("/proc", kRead | LANDLOCK_ACCESS_FS_WRITE_FILE);
    for (const char* path : {"/tmp", "/dev/shm", "/run"}) allow(path, all);
    for (const std::string& path : settings.paths) allow(path, kRun);
    for (const std::string& path : request.readable) allow(path, kRun);
    for (const std::string& path : request.writable) allow(path, all);
}

void add_limit(PlanWriter& plan, uint32_t resource, uint64_t value) {
    const struct {
        uint32_t resource, zero;
        uint64_t soft, hard;
    } limit{resource, 0, value, value};
    plan.add(Entry::kLimit, bytes_of(limit));
}

}  // namespace

InstanceLimits limits_for(const InstanceLimits& wanted, const InstanceLimits& usual) {
    InstanceLimits limits = wanted;
    if (limits.memory_bytes == 0) limits.memory_bytes = usual.memory_bytes;
    if (limits.cpu_percent == 0) limits.cpu_percent = usual.cpu_percent;
    if (limits.pids == 0) limits.pids = usual.pids;
    if (limits.scratch_bytes == 0) limits.scratch_bytes = usual.scratch_bytes;
    if (limits.io_bytes == 0) limits.io_bytes = usual.io_bytes;
    return limits;
}

void add_walls(PlanWriter& plan, const StartRequest& request, const WallSettings& settings,
               uint32_t uid, const std::string& cgroup) {
    const Walls& walls = settings.walls;
    const InstanceLimits limits = limits_for(request.limits, settings.limits);
    if (walls.has_namespaces) {
        uint32_t spaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
        if (walls.in_user_namespace) spaces |= CLONE_NEWUSER;
        if (!cgroup.empty()) spaces |= CLONE_NEWCGROUP;
        if (!request.has_network) {
            spaces |= CLONE_NEWNET;
            const uint32_t outer = request.port;
            const uint32_t inner = request.bus_port;
            if (outer != 0) plan.add(Entry::kOuterPort, bytes_of(outer));
            if (inner != 0) plan.add(Entry::kInnerPort, bytes_of(inner));
        }
        plan.add(Entry::kNamespaces, bytes_of(spaces));
        constexpr size_t kHostNameMax = 63;
        plan.add_text(Entry::kHostName, request.instance.substr(0, kHostNameMax));
        add_root(plan, request, settings, walls.has_own_uid ? uid : geteuid(),
                 limits.scratch_bytes);
    }
    if (walls.has_own_uid) {
        const uint32_t ids[2] = {uid, uid};
        plan.add(Entry::kIds, bytes_of(ids));
    }
    if (walls.is_confined) {
        plan.add(Entry::kConfined);
        constexpr int32_t kOomScore = 500;
        plan.add(Entry::kOomScore, bytes_of(kOomScore));
        add_limit(plan, RLIMIT_NOFILE, kFilesMax);
        add_limit(plan, RLIMIT_CORE, 0);
        add_limit(plan, RLIMIT_RTPRIO, 0);
        // The kernel counts a user's processes: of one that others share it would count theirs.
        const bool is_counted_alone = walls.has_own_uid || walls.in_user_namespace;
        if (limits.pids != 0 && is_counted_alone) add_limit(plan, RLIMIT_NPROC, limits.pids);
        if (limits.memory_bytes != 0 && !walls.has_memory) {
            add_limit(plan, RLIMIT_DATA, limits.memory_bytes);
        }
    }
    if (walls.has_seccomp) plan.add(Entry::kSeccomp, settings.seccomp);
    if (walls.landlock_abi > 0) add_landlock(plan, request, settings);
    if (!cgroup.empty()) plan.add_text(Entry::kCgroup, cgroup);
}

uint32_t instance_uid(std::string_view run_id, std::string_view instance) {
    const auto digest = crypto::sha256(as_bytes(fmt::format("{}/{}", run_id, instance)));
    uint32_t number = 0;
    for (size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<uint8_t>(digest[i]);
    return kUidFirst + number % kUidCount;
}

}  // namespace candela::host
