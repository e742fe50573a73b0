#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace candela::keeper {

namespace {

constexpr int64_t kPendingMsMax = 5000;  // for a connection to say what it is
constexpr int64_t kStalledMsMax = 1000;  // a host that takes nothing for so long counts as away
constexpr int kAloneTickMs = 1000;       // how often we look whether our folder is still there
constexpr int kKillTickMs = 20;          // what is killed may have forked meanwhile
constexpr int kFullTickMs = 200;

int64_t now_ms() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

// The head of a frame that is there already, with the descriptors that came with it.
bool receive_head(int fd, FrameHead& head, int (&descriptors)[3]) {
    iovec part{&head, sizeof(head)};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(descriptors))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(sizeof(head))) return false;
    const cmsghdr* const came = CMSG_FIRSTHDR(&message);
    if (came == nullptr) return true;
    if (came->cmsg_level != SOL_SOCKET || came->cmsg_type != SCM_RIGHTS ||
        came->cmsg_len != CMSG_LEN(sizeof(descriptors))) {
        return false;
    }
    memcpy(descriptors, CMSG_DATA(came), sizeof(descriptors));
    return true;
}

// Readable and writable by nobody else, and gone with us.
int make_spool(int folder) {
    if (folder < 0) return memfd_create("spool", MFD_CLOEXEC);
    const int fd = openat(folder, "spool", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) unlinkat(folder, "spool", 0);
    return fd;
}

}  // namespace

int Keeper::run(Plan& plan, int connection) {
    set_note(plan.note, plan.note_size);
    host_.open(connection);
    if (!start(plan)) return 1;
    // It may have gone before it could hear of the start.
    if (!host_.is_open()) on_host_gone();
    return loop();
}

int Keeper::run_beside(Plan& plan, int connection) {
    is_beside_ = true;
    plan.ends_with_host = true;
    plan.grace_ms = 0;
    return run(plan, connection);
}

bool Keeper::start(const Plan& plan) {
    plan_ = &plan;
    ends_with_host_ = plan.ends_with_host;
    Failure failure;
    spool_.open(make_spool(folder_));
    last_progress_ = now_ms();
    const bool is_started = start_program(plan, starter_, child_, failure);
    // A session ends when nobody has its descriptors any more.
    for (int& fd : starter_.session) {
        if (fd >= 0) close(fd);
        fd = -1;
    }
    if (is_started) {
        // Nothing within can look into us, whoever it is.
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        const int32_t pid = child_.host_pid;
        host_.send(Message::kStarted, &pid, sizeof(pid));
        return true;
    }
    const int32_t error = failure.error;
    host_.send(Message::kFailed, &error, sizeof(error), failure.what, strlen(failure.what));
    return false;
}

int Keeper::loop() {
    while (!is_released_) turn();
    return 0;
}

void Keeper::turn() {
    const bool has_room = spool_.has_room() || may_drop(now_ms());
    enum { kSignals, kHost, kListener, kPending, kOutput, kErrors, kCount };
    pollfd wait[kCount];
    wait[kSignals] = {signals_, POLLIN, 0};
    const bool wants_to_send = host_.is_sending() || (host_.is_open() && spool_.has_untaken());
    wait[kHost] = {host_.fd(), static_cast<short>(POLLIN | (wants_to_send ? POLLOUT : 0)), 0};
    wait[kListener] = {pending_ < 0 ? listener_ : -1, POLLIN, 0};
    wait[kPending] = {pending_, POLLIN, 0};
    wait[kOutput] = {has_room ? child_.output : -1, POLLIN, 0};
    wait[kErrors] = {has_room ? child_.errors : -1, POLLIN, 0};
    if (poll(wait, kCount, timeout()) < 0 && errno != EINTR) _exit(1);

    const bool had_host = host_.is_open();
    if (wait[kHost].revents & (POLLIN | POLLHUP | POLLERR)) {
        host_.receive([this](Message message, const char* bytes, size_t size) {
            on_frame(message, bytes, size);
        });
    }
    if (wait[kOutput].revents != 0 || wait[kErrors].revents != 0) read_output();
    if (wait[kSignals].revents != 0) on_signal();
    if (wait[kListener].revents != 0) on_connection();
    if (wait[kPending].revents != 0) on_pending();
    look_at_the_time();
    if (are_all_gone_ && !has_ended_) finish();
    send_output();
    if (had_host && !host_.is_open()) on_host_gone();
}

int Keeper::timeout() const {
    if (is_killing_ && !are_all_gone_) return kKillTickMs;
    if (is_terminating_ && is_leader_gone_ && !are_all_gone_) return kKillTickMs;
    int wait = -1;
    const auto at_most = [&wait](int64_t ms) {
        const int bounded = ms < 0 ? 0 : ms > 60'000 ? 60'000 : static_cast<int>(ms);
        if (wait < 0 || bounded < wait) wait = bounded;
    };
    if (!host_.is_open()) at_most(kAloneTickMs);
    if (!spool_.has_room()) at_most(kFullTickMs);
    if (pending_ >= 0) at_most(pending_since_ + kPendingMsMax - now_ms());
    if (kill_at_ != 0 && !are_all_gone_) at_most(kill_at_ - now_ms());
    return wait;
}

void Keeper::look_at_the_time() {
    const int64_t now = now_ms();
    if (pending_ >= 0 && now >= pending_since_ + kPendingMsMax) {
        close(pending_);
        pending_ = -1;
    }
    if (are_all_gone_) {
        // Nobody will ever ask how it ended.
        if (!host_.is_open() && is_forgotten()) is_released_ = true;
        return;
    }
    if (!host_.is_open() && !is_terminating_ && is_forgotten()) terminate(true);
    if (kill_at_ != 0 && now >= kill_at_) kill_all();
    // Its children have the same grace time as itself: those of its group, that were asked to end.
    if (is_terminating_ && is_leader_gone_ && !is_killing_ && is_group_empty(child_.pid))
        kill_all();
    if (is_killing_) kill_descendants(child_.pid);
}

// Our folder was removed: no host will ever find us.
bool Keeper::is_forgotten() const {
    if (folder_ < 0) return true;
    struct stat look{};
    return fstat(folder_, &look) == 0 && look.st_nlink == 0;
}

bool Keeper::may_drop(int64_t now) const {
    return !host_.is_open() || now - last_progress_ > kStalledMsMax;
}

void Keeper::on_signal() {
    signalfd_siginfo info{};
    while (read(signals_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
        if (info.ssi_signo != SIGCHLD) terminate(true);
    }
    reap();
}

void Keeper::reap() {
    for (;;) {
        int status = 0;
        const pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == 0) return;
        if (pid < 0) {
            if (errno == ECHILD) are_all_gone_ = true;
            return;
        }
        if (pid != child_.pid) continue;
        is_leader_gone_ = true;
        code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        signal_ = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        // What it leaves behind goes with it; asked to end, it has the grace time.
        if (!is_terminating_) kill_all();
    }
}

void Keeper::terminate(bool is_own_wish) {
    if (are_all_gone_) {
        if (is_own_wish) is_released_ = true;
        return;
    }
    is_terminating_ = true;
    // Nobody needs to come for it: how it ended is written down.
    if (is_own_wish) goes_by_itself_ = true;
    if (is_own_wish && kill_at_ == 0) kill_at_ = now_ms() + plan_->grace_ms;
    kill(-child_.pid, SIGTERM);
}

void Keeper::kill_all() {
    is_killing_ = true;
    kill_descendants(child_.pid);
}

void Keeper::on_connection() {
    pending_ = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    pending_since_ = now_ms();
}

void Keeper::on_pending() {
    FrameHead head;
    const ssize_t got = recv(pending_, &head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got > 0 && got < static_cast<ssize_t>(sizeof(head))) return;  // the rest comes
    const int fd = pending_;
    pending_ = -1;
    if (got <= 0) {
        close(fd);
        return;
    }
    if (head.message == static_cast<uint8_t>(Message::kAttach)) {
        recv(fd, &head, sizeof(head), 0);
        return attach(fd);
    }
    const bool is_doors = head.message == static_cast<uint8_t>(Message::kDoors);
    if (is_doors || head.message == static_cast<uint8_t>(Message::kReach)) {
        recv(fd, &head, sizeof(head), 0);
        return is_doors ? hand_out_doors(doors_, fd) : hand_out_connection(doors_, fd);
    }
    const bool is_beside = head.message == static_cast<uint8_t>(Message::kExec) ||
                           head.message == static_cast<uint8_t>(Message::kSession);
    if (is_beside && !is_leader_gone_) {
        pending_ = fd;
        begin_beside();
    }
    close(fd);
    pending_ = -1;
}

// A process of its own, a child like the instance itself, so that we need not wait for it.
void Keeper::begin_beside() {
    if (fork() != 0) return;
    const int connection = pending_;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(listener_);
    close(signals_);
    doors_.close_all();
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGTERM);
    const int signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    FrameHead head;
    static Plan plan;
    Starter starter = starter_;
    starter.executable = -1;
    if (!receive_head(connection, head, starter.session) || head.size > kPlanSizeMax) _exit(1);
    const bool is_session = head.message == static_cast<uint8_t>(Message::kSession);
    if (is_session != (starter.session[2] >= 0)) _exit(1);
    char* bytes = static_cast<char*>(
        mmap(nullptr, head.size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (bytes == MAP_FAILED || !receive_whole(connection, bytes, head.size, kPendingMsMax) ||
        !read_plan(bytes, head.size, plan)) {
        _exit(1);
    }
    // Within the same walls.
    plan.sandbox = plan_->sandbox;
    static Keeper beside(-1, -1, signals, starter);
    _exit(beside.run_beside(plan, connection));
}

void Keeper::attach(int fd) {
    host_.open(fd);
    last_progress_ = now_ms();
    is_end_sent_ = false;
    spool_.rewind();
    Hello hello;
    hello.state = static_cast<uint8_t>(has_ended_ ? State::kEnded : State::kRunning);
    hello.pid = child_.host_pid;
    hello.code = code_;
    hello.signal = signal_;
    host_.send(Message::kHello, &hello, sizeof(hello), note_, note_size_);
}

void Keeper::on_host_gone() {
    // What was on its way to it may not have come: if it has to be dropped now, it counts as lost.
    spool_.rewind();
    if (has_ended_) return leave_behind();
    if (!ends_with_host_) return;
    if (is_beside_)
        kill_all();
    else
        terminate(true);
}

void Keeper::on_frame(Message message, const char* bytes, size_t size) {
    switch (message) {
        case Message::kTerminate: terminate(false); break;
        case Message::kKill: kill_all(); break;
        case Message::kAck: {
            uint64_t position = 0;
            if (size != sizeof(position)) break;
            memcpy(&position, bytes, sizeof(position));
            spool_.acknowledge(position);
            last_progress_ = now_ms();
            break;
        }
        case Message::kNote: set_note(bytes, size); break;
        case Message::kRelease: is_released_ = has_ended_; break;
        case Message::kEnd:
            ends_with_host_ = true;
            kill_all();
            break;
        default: break;  // from a newer host
    }
}

void Keeper::set_note(const char* bytes, size_t size) {
    if (size > sizeof(note_)) return;
    if (size > 0) memcpy(note_, bytes, size);
    note_size_ = size;
}

void Keeper::read_output() {
    if (child_.output >= 0) read_pipe(child_.output, 1);
    if (child_.errors >= 0) read_pipe(child_.errors, 2);
}

void Keeper::read_pipe(int& fd, uint8_t stream) {
    static char buffer[Spool::kRecordMax];
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got > 0) {
        spool_.add(stream, buffer, static_cast<size_t>(got));
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(fd);
        fd = -1;
    }
}

void Keeper::send_output() {
    host_.flush();
    static char frame[sizeof(uint64_t) + 1 + Spool::kRecordMax];
    while (host_.is_open() && !host_.is_sending()) {
        if (const uint64_t dropped = spool_.collect_dropped(); dropped > 0) {
            host_.send(Message::kDropped, &dropped, sizeof(dropped));
            continue;
        }
        size_t size = 0;
        uint8_t stream = 0;
        if (!spool_.take(stream, frame + sizeof(uint64_t) + 1, size)) break;
        const uint64_t position = spool_.taken();
        memcpy(frame, &position, sizeof(position));
        frame[sizeof(position)] = static_cast<char>(stream);
        host_.send(Message::kOutput, frame, sizeof(position) + 1 + size);
    }
    if (!has_ended_ || is_end_sent_ || !host_.is_open() || host_.is_sending()) return;
    is_end_sent_ = true;
    const int32_t end[2] = {code_, signal_};
    host_.send(Message::kExited, end, sizeof(end));
}

// Nobody is left who could write: what is in the pipes is all there will be.
void Keeper::finish() {
    while (child_.output >= 0 || child_.errors >= 0) {
        if (!spool_.has_room() && !may_drop(now_ms())) return;
        pollfd wait[2] = {{child_.output, POLLIN, 0}, {child_.errors, POLLIN, 0}};
        if (poll(wait, 2, 0) <= 0) break;
        read_output();
    }
    has_ended_ = true;
    // Whoever starts it again listens at the same port.
    doors_.close_all();
    if (!host_.is_open()) leave_behind();
}

// It has ended, and no host is there to hear of it.
void Keeper::leave_behind() {
    if (!ends_with_host_) write_exit_file();
    if (ends_with_host_ || goes_by_itself_) is_released_ = true;
}

void Keeper::write_exit_file() {
    if (folder_ < 0 || is_exit_written_) return;
    is_exit_written_ = true;
    char text[32];
    const int size = snprintf(text, sizeof(text), "%d %d\n", code_, signal_);
    const int fd = openat(folder_, "exit.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return;
    const bool is_written = write(fd, text, static_cast<size_t>(size)) == size && fsync(fd) == 0;
    close(fd);
    if (is_written && renameat(folder_, "exit.new", folder_, kExitName) == 0) fsync(folder_);
}

}  // namespace candela::keeper
