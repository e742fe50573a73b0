#include "loop/successor.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

#include "loop/fd.h"

namespace candela {

namespace {

enum class Word : int32_t { kPid, kError };

// Fewer bytes than PIPE_BUF: whole or not at all.
struct Report {
    Word word;
    int32_t value;
};

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
    std::vector<char*> out;
    out.reserve(texts.size() + 1);
    for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
    out.push_back(nullptr);
    return out;
}

// What is called between fork() and exec() of a process with threads must be async-signal-safe.
[[noreturn]] void become(const SuccessorOptions& options, char* const* arguments,
                         char* const* environment, int report_fd) {
    for (const int fd : options.descriptors) fcntl(fd, F_SETFD, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
    execve(options.executable.c_str(), arguments, environment);
    const Report report{Word::kError, errno};
    static_cast<void>(!write(report_fd, &report, sizeof report));
    _exit(127);
}

}  // namespace

Result<int> start_successor(const SuccessorOptions& options) {
    const std::vector<char*> arguments = pointers_to(options.arguments);
    const std::vector<char*> environment = pointers_to(options.environment);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("starting a process", errno);
    const Fd reader(ends[0]);
    Fd writer(ends[1]);
    const pid_t middle = ::fork();
    if (middle < 0) return fail_errno("starting a process", errno);
    if (middle == 0) {
        // It ends at once, so that its child gets the first process as its parent.
        const pid_t pid = ::fork();
        if (pid == 0) {
            become(options, arguments.data(), environment.data(), writer.get());
        }
        const Report report{pid < 0 ? Word::kError : Word::kPid, pid < 0 ? errno : pid};
        static_cast<void>(!write(writer.get(), &report, sizeof report));
        _exit(0);
    }
    writer = Fd(-1);
    while (::waitpid(middle, nullptr, 0) < 0 && errno == EINTR) {
    }
    int pid = -1;
    for (;;) {
        Report report{};
        const ssize_t count = ::read(reader.get(), &report, sizeof report);
        if (count < 0 && errno == EINTR) continue;
        if (count != sizeof report) break;  // the end: exec() has closed the other side
        if (report.word == Word::kError) return fail_errno(options.executable, report.value);
        pid = report.value;
    }
    if (pid < 0) return fail(Code::kIo, "{}: was not started", options.executable);
    return pid;
}

}  // namespace candela
