#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "docker_kept.h"
#include "loop/fd.h"
#include "loop/file.h"

namespace candela::host {

DockerDriver::Beside::Beside(DockerDriver& driver, std::string container, RunningHandler& handler)
    : driver_(driver),
      container_(std::move(container)),
      handler_(handler),
      later_(driver.loop_.timers(), [this] {
          if (result_->has_value()) return handler_.on_exit(**result_);
          handler_.on_start_failed(result_->error());
      }) {}

DockerDriver::Beside::~Beside() { kill(); }

// An engine has no request for it.
void DockerDriver::Beside::kill() {
    if (exec_.empty() || result_) return;
    driver_.tasks_.spawn(driver_.end_exec(container_, exec_));
}

void DockerDriver::Beside::start(const StartRequest& request) {
    tasks_.spawn(run(exec_body(request)));
}

Task<void> DockerDriver::Beside::run(std::string body) {
    auto result = co_await run_to_end(std::move(body));
    if (!result) driver_.engine_.on_failure(result.error());
    result_.emplace(std::move(result));
    later_.start(Duration(0));
}

Task<Result<ExitStatus>> DockerDriver::Beside::run_to_end(std::string body) {
    DockerApi& api = driver_.engine_.api();
    auto exec = co_await api.create_exec(container_, std::move(body));
    if (!exec) co_return fail(exec.error());
    exec_ = *exec;
    auto response = co_await api.start_exec(exec_);
    if (!response) co_return fail(response.error());
    handler_.on_started(0);
    DockerFrames frames([this](OutputKind kind, std::string_view piece, uint64_t) {
        if (!piece.empty()) handler_.on_output(kind, piece);
    });
    for (;;) {
        auto chunk = co_await response->read_chunk();
        if (!chunk && chunk.error().code() == Code::kTimeout) continue;
        if (!chunk) co_return fail(chunk.error());
        if (!*chunk) break;
        CO_TRY(frames.feed(**chunk));
    }
    // Its output has ended: it has, too, or is about to.
    constexpr int kLooksMax = 100;
    for (int i = 0; i < kLooksMax; ++i) {
        auto state = co_await api.inspect_exec(exec_);
        if (!state) co_return fail(state.error());
        if (!state->is_running) co_return ExitStatus(state->exit_code, 0);
        co_await sleep_for(driver_.loop_, kReopenPause);
    }
    co_return fail(Code::kTimeout, "it runs on without its output");
}

namespace {

// Only where the process is in the container: pids are used again.
Result<> kill_in_container(int pid, const std::string& container) {
    const Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (process.get() < 0) return fail_errno("pidfd_open", errno);
    CANDELA_TRY_ASSIGN(const std::string groups,
                       read_file(fmt::format("/proc/{}/cgroup", pid), 64 << 10));
    if (groups.find(container) == std::string::npos)
        return fail(Code::kNotFound, "process {} is not of the container", pid);
    if (syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) != 0)
        return fail_errno("ending a program in a container", errno);
    return {};
}

}  // namespace

Task<void> DockerDriver::end_exec(std::string container, std::string exec) {
    auto state = co_await engine_.api().inspect_exec(exec);
    if (!state || !state->is_running || state->pid <= 0) co_return;
    auto work = [pid = state->pid, container] { return kill_in_container(pid, container); };
    const auto killed = co_await offload(loop_, std::move(work));
    if (!killed) log_.warn("exec_not_ended", {{"error", killed.error()}});
}

}  // namespace candela::host
