#include "keeper/children.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <initializer_list>

namespace candela::keeper {

namespace {

struct Report {
    pid_t host_pid;
    int error;
    char what[56];
};

[[noreturn]] void give_up(int report, const char* what, int error) {
    Report told{0, error, {}};
    strncpy(told.what, what, sizeof(told.what) - 1);
    if (write(report, &told, sizeof(told)) < 0) _exit(126);
    _exit(127);
}

pid_t own_pid_in(int proc) {
    char text[16] = {};
    if (readlinkat(proc, "self", text, sizeof(text) - 1) <= 0) return getpid();
    return static_cast<pid_t>(atol(text));
}

// Its first three descriptors: those of a session, or pipes of ours.
void take_descriptors(const Starter& starter, int out, int err, int report) {
    if (starter.session[0] >= 0) {
        for (int fd = 0; fd < 3; ++fd) dup2(starter.session[fd], fd);
        if (isatty(0) && ioctl(0, TIOCSCTTY, 0) != 0) {
            give_up(report, "giving it its terminal", errno);
        }
        return;
    }
    const int nothing = open("/dev/null", O_RDONLY);
    if (nothing < 0) give_up(report, "opening /dev/null", errno);
    dup2(nothing, 0);
    dup2(out, 1);
    dup2(err, 2);
}

[[noreturn]] void become(const Plan& plan, const Starter& starter, int out, int err, int report) {
    const Report ready{own_pid_in(starter.host_proc), 0, {}};
    if (write(report, &ready, sizeof(ready)) != sizeof(ready)) _exit(126);

    setsid();
    // What we ignore it would ignore, too, and all that it starts.
    for (const int number : {SIGPIPE, SIGHUP, SIGINT}) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);

    take_descriptors(starter, out, err, report);
    Failure failure;
    if (!confine(plan.sandbox, starter.host_proc, starter.executable, failure)) {
        give_up(report, failure.what, failure.error);
    }
    // Where we have no namespace that ends with us: no program outlives its keeper. A change of the
    // user would undo it.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (plan.directory != nullptr && chdir(plan.directory) != 0) {
        give_up(report, "entering its folder", errno);
    }
    // It inherits the first three descriptors, and nothing else.
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    if (!filter(plan.sandbox, failure)) give_up(report, failure.what, failure.error);
    if (starter.executable >= 0) {
        execveat(starter.executable, "", plan.arguments, plan.environment, AT_EMPTY_PATH);
    } else {
        // execvpe() looks in our own PATH, not in the program's.
        for (char** variable = const_cast<char**>(plan.environment); *variable != nullptr;
             ++variable) {
            if (strncmp(*variable, "PATH=", 5) == 0) setenv("PATH", *variable + 5, 1);
        }
        execvpe(plan.arguments[0], plan.arguments, plan.environment);
    }
    give_up(report, "starting it", errno);
}

// Into its cgroup from the first moment: moving a process later takes the kernel milliseconds.
pid_t fork_into(int cgroup) {
    if (cgroup < 0) return fork();
    clone_args arguments{};
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = SIGCHLD;
    arguments.cgroup = static_cast<uint64_t>(cgroup);
    return static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof(arguments)));
}

bool make_pipe(int (&ends)[2], Failure& failure) {
    if (pipe2(ends, O_CLOEXEC) == 0) return true;
    failure = {"making a pipe", errno};
    return false;
}

bool read_whole(int fd, void* bytes, size_t size) {
    char* to = static_cast<char*>(bytes);
    while (size > 0) {
        const ssize_t got = read(fd, to, size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        to += got;
        size -= static_cast<size_t>(got);
    }
    return true;
}

void set_nonblocking(int fd) { fcntl(fd, F_SETFL, O_NONBLOCK); }

// The parent of a process, and whether it is a zombie. proc(5): the name may contain anything.
bool read_stat(int proc, const char* pid, pid_t& parent, pid_t& group, char& state) {
    char path[32];
    char text[512];
    strcpy(path, pid);
    strcat(path, "/stat");
    const int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size <= 0) return false;
    text[size] = '\0';
    const char* behind = strrchr(text, ')');
    if (behind == nullptr || strlen(behind) < 4) return false;
    state = behind[2];
    char* next = nullptr;
    parent = static_cast<pid_t>(strtol(behind + 4, &next, 10));
    group = static_cast<pid_t>(strtol(next, nullptr, 10));
    return true;
}

template <class Visit>
void each_process(Visit visit) {
    DIR* folder = opendir("/proc");
    if (folder == nullptr) return;
    while (const dirent* entry = readdir(folder)) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || strlen(entry->d_name) > 10)
            continue;
        pid_t parent = 0;
        pid_t group = 0;
        char state = 0;
        if (!read_stat(dirfd(folder), entry->d_name, parent, group, state)) continue;
        visit(static_cast<pid_t>(atol(entry->d_name)), parent, group, state);
    }
    closedir(folder);
}

}  // namespace

bool start_program(const Plan& plan, const Starter& starter, Child& child, Failure& failure) {
    int out[2] = {-1, -1}, err[2] = {-1, -1}, report[2];
    const bool has_session = starter.session[0] >= 0;
    if ((!has_session && (!make_pipe(out, failure) || !make_pipe(err, failure))) ||
        !make_pipe(report, failure)) {
        return false;
    }
    const pid_t pid = fork_into(starter.cgroup);
    if (pid < 0) {
        failure = {"making a process", errno};
        return false;
    }
    if (pid == 0) become(plan, starter, out[1], err[1], report[1]);
    const auto close_some = [](int one, int other) {
        if (one >= 0) close(one);
        if (other >= 0) close(other);
    };
    close_some(out[1], err[1]);
    close(report[1]);
    Report ready{};
    Report end{};
    static char what[sizeof(Report::what)];
    const bool is_ready = read_whole(report[0], &ready, sizeof(ready)) && ready.error == 0;
    const bool has_failed = !is_ready || read_whole(report[0], &end, sizeof(end));
    close(report[0]);
    if (has_failed) {
        const Report& told = is_ready ? end : ready;
        memcpy(what, told.what, sizeof(what));
        failure = {told.error != 0 ? what : "starting it", told.error != 0 ? told.error : ECHILD};
        close_some(out[0], err[0]);
        return false;
    }
    if (!has_session) {
        set_nonblocking(out[0]);
        set_nonblocking(err[0]);
    }
    child.pid = pid;
    child.host_pid = ready.host_pid;
    child.output = out[0];
    child.errors = err[0];
    return true;
}

void kill_descendants(pid_t group) {
    if (getpid() == 1) {
        kill(-1, SIGKILL);
        return;
    }
    // Those that made sessions of their own become our children as their parents go.
    kill(-group, SIGKILL);
    const pid_t self = getpid();
    each_process([&](pid_t pid, pid_t parent, pid_t, char) {
        if (parent == self) kill(pid, SIGKILL);
    });
}

bool is_group_empty(pid_t group) {
    bool is_empty = true;
    each_process([&](pid_t, pid_t, pid_t other, char state) {
        if (other == group && state != 'Z' && state != 'X') is_empty = false;
    });
    return is_empty;
}

}  // namespace candela::keeper
