#include "keeper/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

namespace candela::keeper {

namespace {

constexpr size_t kPathMax = 4096;

bool fail(Failure& failure, const char* what) {
    failure = {what, errno};
    return false;
}

bool write_text(const char* path, const char* text) {
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const auto size = static_cast<ssize_t>(strlen(text));
    const bool is_written = write(fd, text, static_cast<size_t>(size)) == size;
    close(fd);
    return is_written;
}

// The same ids inside as outside: files look as they are.
bool map_ids(uid_t uid, gid_t gid) {
    char text[64];
    if (!write_text("/proc/self/setgroups", "deny") && errno != ENOENT) return false;
    snprintf(text, sizeof(text), "%u %u 1", uid, uid);
    if (!write_text("/proc/self/uid_map", text)) return false;
    snprintf(text, sizeof(text), "%u %u 1", gid, gid);
    return write_text("/proc/self/gid_map", text);
}

// Where the paths of the old and the new root are while we have both.
struct Paths {
    char from[kPathMax];
    char to[kPathMax];

    bool set(const char* path) {
        return snprintf(from, sizeof(from), "/old%s", path) < static_cast<int>(sizeof(from)) &&
               snprintf(to, sizeof(to), "/new%s", path) < static_cast<int>(sizeof(to));
    }
};

bool make_parents(char* path) {
    for (char* at = strchr(path + 1, '/'); at != nullptr; at = strchr(at + 1, '/')) {
        *at = '\0';
        const bool is_there = mkdir(path, 0755) == 0 || errno == EEXIST;
        *at = '/';
        if (!is_there) return false;
    }
    return true;
}

bool set_attributes(const char* path, uint64_t attributes) {
    mount_attr attr{};
    attr.attr_set = attributes;
    return syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof(attr)) == 0;
}

bool bind(Paths& paths, uint64_t attributes) {
    struct stat look{};
    if (lstat(paths.from, &look) != 0) return errno == ENOENT;  // this machine has none
    // /lib → usr/lib: the same link leads to the same place.
    const bool is_top = strchr(paths.to + strlen("/new/"), '/') == nullptr;
    if (S_ISLNK(look.st_mode) && is_top) {
        char target[kPathMax];
        const ssize_t size = readlink(paths.from, target, sizeof(target) - 1);
        if (size < 0) return false;
        target[size] = '\0';
        return symlink(target, paths.to) == 0;
    }
    if (S_ISLNK(look.st_mode)) {
        // Followed as the host would: /etc/localtime, /etc/resolv.conf. An absolute one would lead
        // out of /old, so that it is read as seen from there.
        char resolved[kPathMax];
        char target[kPathMax];
        const ssize_t size = readlink(paths.from, target, sizeof(target) - 1);
        if (size < 0) return false;
        target[size] = '\0';
        if (target[0] == '/') {
            if (snprintf(resolved, sizeof(resolved), "/old%s", target) >=
                static_cast<int>(sizeof(resolved))) {
                return true;
            }
            memcpy(paths.from, resolved, sizeof(resolved));
        }
        if (stat(paths.from, &look) != 0) return true;  // it leads nowhere
    }
    if (!make_parents(paths.to)) return false;
    if (S_ISDIR(look.st_mode)) {
        if (mkdir(paths.to, 0755) != 0 && errno != EEXIST) return false;
    } else {
        const int fd = open(paths.to, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0) return false;
        close(fd);
    }
    return mount(paths.from, paths.to, nullptr, MS_BIND | MS_REC, nullptr) == 0 &&
           set_attributes(paths.to, attributes);
}

bool put_tmpfs(Paths& paths, uint64_t size_bytes, const char* mode) {
    char options[64];
    snprintf(options, sizeof(options), "mode=%s,size=%llu,nr_inodes=%llu", mode,
             static_cast<unsigned long long>(size_bytes),
             static_cast<unsigned long long>(size_bytes / 1024 + 64));
    return make_parents(paths.to) && (mkdir(paths.to, 0755) == 0 || errno == EEXIST) &&
           mount("tmpfs", paths.to, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
}

bool put_file(Paths& paths, const Furniture& piece) {
    if (!make_parents(paths.to)) return false;
    const int fd = open(paths.to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    const auto size = static_cast<ssize_t>(piece.size_bytes);
    const bool is_written = write(fd, piece.content, static_cast<size_t>(size)) == size;
    close(fd);
    return is_written;
}

bool put_devices() {
    Paths paths;
    constexpr const char* kDevices[] = {"/dev/null",   "/dev/zero",    "/dev/full",
                                        "/dev/random", "/dev/urandom", "/dev/tty"};
    if (!paths.set("/dev") || mkdir(paths.to, 0755) != 0) return false;
    for (const char* device : kDevices) {
        if (!paths.set(device) || !bind(paths, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)) return false;
    }
    return symlink("/proc/self/fd", "/new/dev/fd") == 0 &&
           symlink("/proc/self/fd/0", "/new/dev/stdin") == 0 &&
           symlink("/proc/self/fd/1", "/new/dev/stdout") == 0 &&
           symlink("/proc/self/fd/2", "/new/dev/stderr") == 0;
}

bool put_proc() {
    if (mkdir("/new/proc", 0555) != 0) return false;
    constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount("proc", "/new/proc", "proc", kFlags, nullptr) != 0) return false;
    // What root may write without any capability.
    for (const char* name : {"sys", "irq", "bus", "fs"}) {
        char path[64];
        snprintf(path, sizeof(path), "/new/proc/%s", name);
        if (access(path, F_OK) != 0) continue;
        if (mount(path, path, nullptr, MS_BIND | MS_REC, nullptr) != 0 ||
            !set_attributes(path, MOUNT_ATTR_RDONLY)) {
            return false;
        }
    }
    // What tells of the machine more than a service needs, or has it do something: in its place is
    // a file that nobody may open.
    constexpr const char* kNothing = "/nothing";
    const int nothing = open(kNothing, O_WRONLY | O_CREAT | O_CLOEXEC, 0);
    if (nothing < 0) return false;
    close(nothing);
    constexpr const char* kMasked[] = {"kcore", "keys",        "sysrq-trigger", "timer_list",
                                       "kmsg",  "sched_debug", "kallsyms"};
    for (const char* name : kMasked) {
        char path[64];
        snprintf(path, sizeof(path), "/new/proc/%s", name);
        if (access(path, F_OK) != 0) continue;
        if (mount(kNothing, path, nullptr, MS_BIND, nullptr) != 0 ||
            !set_attributes(path, MOUNT_ATTR_RDONLY)) {
            return false;
        }
    }
    return true;
}

bool put(const Sandbox& sandbox, const Furniture& piece) {
    static Paths paths;
    constexpr uint64_t kQuiet = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    if (piece.path != nullptr && !paths.set(piece.path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    switch (piece.kind) {
        case Entry::kReadOnly: return bind(paths, kQuiet | MOUNT_ATTR_RDONLY);
        case Entry::kWritable: return bind(paths, kQuiet);
        case Entry::kTmpfs: return put_tmpfs(paths, piece.size_bytes, "1777");
        case Entry::kFile: return put_file(paths, piece);
        case Entry::kFolder:
            return make_parents(paths.to) && (mkdir(paths.to, 0700) == 0 || errno == EEXIST) &&
                   (!sandbox.has_ids || chown(paths.to, sandbox.uid, sandbox.gid) == 0);
        case Entry::kDevices: return put_devices();
        case Entry::kProc: return put_proc();
        default: errno = EINVAL; return false;
    }
}

bool enter_new_root(Failure& failure) {
    // What is left behind goes as one tree, the host's root with it: each detaching costs the
    // kernel a grace period.
    if (chdir("/new") != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
        umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) {
        return fail(failure, "entering its root");
    }
    mount_attr attr{};
    attr.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    if (syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof(attr)) != 0) {
        return fail(failure, "making its root read-only");
    }
    return true;
}

// A network of its own has a loopback, which is down at first: programs talk to themselves over it.
bool raise_loopback() {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    ifreq request{};
    memcpy(request.ifr_name, "lo", sizeof("lo"));
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    const bool is_up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    close(fd);
    return is_up;
}

void empty_bounding_set() {
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned long capability = 0; capability < 64; ++capability) {
        // EPERM: we may not, and so have none to lose. EINVAL: there are no more.
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno == EINVAL) break;
    }
}

bool drop_capabilities(Failure& failure) {
    __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2] = {};
    if (syscall(SYS_capset, &head, none) != 0) return fail(failure, "dropping its capabilities");
    return true;
}

bool restrict_by_landlock(const Sandbox& sandbox, int executable, Failure& failure) {
    const long set =
        syscall(SYS_landlock_create_ruleset, sandbox.landlock, sandbox.landlock_size, 0);
    if (set < 0) return fail(failure, "making a Landlock ruleset");
    for (size_t i = 0; i < sandbox.landlock_rules_count; ++i) {
        const LandlockRule& rule = sandbox.landlock_rules[i];
        const int fd = open(rule.path, O_PATH | O_CLOEXEC);
        if (fd < 0) continue;  // this machine has none
        struct stat look{};
        fstat(fd, &look);
        landlock_path_beneath_attr beneath{};
        beneath.parent_fd = fd;
        beneath.allowed_access = rule.access;
        // Rights that only folders have are refused for files.
        constexpr uint64_t kOfFiles = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                      LANDLOCK_ACCESS_FS_READ_FILE | (1ULL << 14);  // truncate
        if (!S_ISDIR(look.st_mode)) beneath.allowed_access &= kOfFiles;
        const long added =
            syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
        close(fd);
        if (added != 0) return fail(failure, "adding a Landlock rule");
    }
    if (executable >= 0) {
        landlock_path_beneath_attr itself{};
        itself.parent_fd = executable;
        itself.allowed_access = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE;
        if (syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &itself, 0) != 0) {
            return fail(failure, "adding a Landlock rule");
        }
    }
    if (syscall(SYS_landlock_restrict_self, set, 0) != 0) {
        return fail(failure, "restricting it by Landlock");
    }
    close(static_cast<int>(set));
    return true;
}

// ---- what this kernel lets us do

// Runs a trial in a process of its own, and returns what went wrong there.
template <class Trial>
int try_out(Trial trial) {
    const pid_t pid = fork();
    if (pid < 0) return errno;
    if (pid == 0) _exit(trial());
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return EIO;
    return WEXITSTATUS(status);
}

int try_namespaces(uint32_t namespaces) {
    return try_out([namespaces] {
        static Sandbox sandbox;
        sandbox.namespaces = namespaces;
        const Furniture wanted[] = {{Entry::kReadOnly, "/usr", nullptr, 0},
                                    {Entry::kDevices, nullptr, nullptr, 0},
                                    {Entry::kProc, nullptr, nullptr, 0},
                                    {Entry::kTmpfs, "/tmp", nullptr, 65'536}};
        for (const Furniture& piece : wanted) {
            sandbox.furniture[sandbox.furniture_count++] = piece;
        }
        Failure failure;
        if (!leave(sandbox, failure)) return failure.error;
        return try_out([] {
            Failure inner;
            return furnish(sandbox, inner) ? 0 : inner.error;
        });
    });
}

}  // namespace

bool leave(const Sandbox& sandbox, Failure& failure) {
    if ((sandbox.namespaces & CLONE_NEWUSER) != 0) {
        const uid_t uid = geteuid();
        const gid_t gid = getegid();
        if (unshare(CLONE_NEWUSER) != 0) return fail(failure, "making a user namespace");
        if (!map_ids(uid, gid)) return fail(failure, "mapping its ids");
    }
    if ((sandbox.namespaces & CLONE_NEWPID) == 0) return true;
    return unshare(CLONE_NEWPID) == 0 || fail(failure, "making a PID namespace");
}

bool furnish(const Sandbox& sandbox, Failure& failure) {
    const uint32_t others =
        sandbox.namespaces & ~static_cast<uint32_t>(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWCGROUP);
    if (others != 0 && unshare(static_cast<int>(others)) != 0) {
        return fail(failure, "making its namespaces");
    }
    if (sandbox.host_name != nullptr && (others & CLONE_NEWUTS) != 0) {
        sethostname(sandbox.host_name, strlen(sandbox.host_name));
    }
    if ((others & CLONE_NEWNET) != 0 && !raise_loopback()) {
        return fail(failure, "raising its loopback");
    }
    if ((others & CLONE_NEWNS) == 0) return true;
    // Nothing of what we mount is seen outside, nor anything mounted outside from now on here.
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        return fail(failure, "making mounts private");
    }
    if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m") != 0 ||
        chdir("/tmp") != 0 || mkdir("old", 0755) != 0 || mkdir("new", 0755) != 0 ||
        syscall(SYS_pivot_root, ".", "old") != 0 || chdir("/") != 0) {
        return fail(failure, "making room for its root");
    }
    if (mount("tmpfs", "/new", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m") != 0) {
        return fail(failure, "making its root");
    }
    for (size_t i = 0; i < sandbox.furniture_count; ++i) {
        if (put(sandbox, sandbox.furniture[i])) continue;
        const char* const path = sandbox.furniture[i].path;
        return fail(failure, path != nullptr ? path : "furnishing its root");
    }
    return enter_new_root(failure);
}

bool confine(const Sandbox& sandbox, int host_proc, int executable, Failure& failure) {
    // Only now that it is in its group, which is the root of what it sees. We stay outside: from a
    // namespace below ours the kernel would let us put nobody into it (cgroups(7), nsdelegate).
    if ((sandbox.namespaces & CLONE_NEWCGROUP) != 0 && unshare(CLONE_NEWCGROUP) != 0) {
        return fail(failure, "making its cgroup namespace");
    }
    if (sandbox.oom_score != 0) {
        // So that it is the service that goes when memory is short, and not its host.
        char text[16];
        const int size = snprintf(text, sizeof(text), "%d", sandbox.oom_score);
        const int fd = openat(host_proc, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
            if (write(fd, text, static_cast<size_t>(size)) != size)
                errno = 0;  // as good as it gets
            close(fd);
        }
    }
    for (size_t i = 0; i < sandbox.limits_count; ++i) {
        const Limit& limit = sandbox.limits[i];
        rlimit64 wanted{limit.soft, limit.hard};
        rlimit64 now{};
        if (prlimit64(0, static_cast<__rlimit_resource>(limit.resource), nullptr, &now) == 0) {
            // Nobody can be given more than we have.
            if (wanted.rlim_max > now.rlim_max) wanted.rlim_max = now.rlim_max;
            if (wanted.rlim_cur > wanted.rlim_max) wanted.rlim_cur = wanted.rlim_max;
        }
        if (prlimit64(0, static_cast<__rlimit_resource>(limit.resource), &wanted, nullptr) != 0) {
            return fail(failure, "limiting it");
        }
    }
    if (sandbox.is_confined && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return fail(failure, "forbidding new privileges");
    }
    if (sandbox.landlock_size > 0 && !restrict_by_landlock(sandbox, executable, failure)) {
        return false;
    }
    // Before the change of the user, which takes the right to do so.
    if (sandbox.is_confined) empty_bounding_set();
    if (sandbox.has_ids) {
        if (syscall(SYS_setgroups, 0, nullptr) != 0 ||
            syscall(SYS_setresgid, sandbox.gid, sandbox.gid, sandbox.gid) != 0 ||
            syscall(SYS_setresuid, sandbox.uid, sandbox.uid, sandbox.uid) != 0) {
            return fail(failure, "becoming its user");
        }
    }
    if (sandbox.is_confined && !drop_capabilities(failure)) return false;
    return true;
}

bool filter(const Sandbox& sandbox, Failure& failure) {
    if (sandbox.seccomp == nullptr) return true;
    sock_fprog program{};
    program.len = static_cast<unsigned short>(sandbox.seccomp_size / sizeof(sock_filter));
    program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(sandbox.seccomp));
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
        return fail(failure, "filtering its system calls");
    }
    return true;
}

int print_abilities() {
    constexpr uint32_t kSpaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
    const int as_we_are = try_namespaces(kSpaces);
    printf("namespaces %d\n", as_we_are);
    printf("user_namespaces %d\n", try_namespaces(kSpaces | CLONE_NEWUSER));
    const uint32_t with_network = kSpaces | CLONE_NEWNET | (as_we_are == 0 ? 0U : CLONE_NEWUSER);
    printf("network_namespaces %d\n", try_namespaces(with_network));
    uint32_t action = SECCOMP_RET_ERRNO;
    const long seccomp = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
    printf("seccomp %d\n", seccomp == 0 ? 0 : errno);
    const long landlock = syscall(SYS_landlock_create_ruleset, nullptr, 0, 1U);  // its version
    printf("landlock_abi %ld\n", landlock < 0 ? 0L : landlock);
    return fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace candela::keeper
