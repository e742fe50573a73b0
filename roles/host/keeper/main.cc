// The keeper of one instance (keeper.h): a process of its own that outlives the host role's, so
// small that a host can afford one for each instance. It is linked statically and lies within the
// candela executable (keeper_image.h); the host starts it with the listening socket as standard
// input, in the folder that the socket is in.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/keeper.h"

using namespace candela::keeper;

namespace {

constexpr int kPlanMsMax = 30'000;

constexpr int kListener = 3;

int watch_signals() {
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGTERM);
    sigprocmask(SIG_BLOCK, &watched, nullptr);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    return signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
}

// The host may have died already: then nothing comes, and we go.
bool receive_plan(int connection, Plan& plan) {
    FrameHead head;
    if (!receive_whole(connection, &head, sizeof(head), kPlanMsMax)) return false;
    if (head.message != static_cast<uint8_t>(Message::kStart) || head.size > kPlanSizeMax) {
        return false;
    }
    char* bytes = static_cast<char*>(
        mmap(nullptr, head.size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (bytes == MAP_FAILED) return false;
    return receive_whole(connection, bytes, head.size, kPlanMsMax) &&
           read_plan(bytes, head.size, plan);
}

void refuse(int connection, const char* what, int error) {
    static Link link;
    link.open(connection);
    const int32_t number = error;
    link.send(Message::kFailed, &number, sizeof(number), what, strlen(what));
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 2 && strcmp(arguments[1], "abilities") == 0) return print_abilities();
    // What lists of processes show is no path of a descriptor.
    constexpr char kName[] = "candela-keeper";
    const size_t room = strlen(arguments[0]);
    memset(arguments[0], 0, room);
    if (room >= sizeof(kName) - 1) memcpy(arguments[0], kName, sizeof(kName) - 1);
    // Out of the way of 0, 1 and 2, which from now on lead nowhere. Whatever else the host had open
    // would stay open for as long as we live.
    const int listener = dup3(0, kListener, O_CLOEXEC);
    close_range(kListener + 1, ~0U, 0);
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; ++fd) dup2(nothing, fd);
    prctl(PR_SET_NAME, "candela-keeper");
    umask(0022);

    // Again, by us: who connects learns from the socket who listens.
    listen(listener, 16);
    const int connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    static Plan plan;
    if (connection < 0 || !receive_plan(connection, plan)) return 1;

    const int folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int host_proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int executable = -1;
    if (plan.executable != nullptr) {
        executable = open(plan.executable, O_PATH | O_CLOEXEC);
        if (executable < 0) {
            refuse(connection, "opening its executable", errno);
            return 1;
        }
    }
    Starter starter;
    starter.host_proc = host_proc;
    starter.executable = executable;
    if (plan.sandbox.cgroup != nullptr) {
        starter.cgroup = open(plan.sandbox.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (starter.cgroup < 0) {
            refuse(connection, "opening its cgroup", errno);
            return 1;
        }
    }
    Failure failure;
    Doors doors;
    doors.port = static_cast<uint16_t>(plan.outer_port);
    if (!listen_on_loopback(plan.outer_port, doors.outer, failure) ||
        !leave(plan.sandbox, failure)) {
        refuse(connection, failure.what, failure.error);
        return 1;
    }
    // The host's child is gone at once: whoever is the host later, none of them is our parent.
    const pid_t kept = fork();
    if (kept != 0) _exit(kept < 0 ? 1 : 0);
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);

    if (!furnish(plan.sandbox, failure) ||
        !listen_on_loopback(plan.inner_port, doors.inner, failure)) {
        refuse(connection, failure.what, failure.error);
        return 1;
    }
    const int signals = watch_signals();
    static Keeper keeper(listener, folder, signals, starter, doors);
    return keeper.run(plan, connection);
}
