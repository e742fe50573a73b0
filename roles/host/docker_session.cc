#include "docker_session.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/ids.h"
#include "docker_container.h"
#include "leftovers.h"
#include "loop/move_stream.h"

namespace candela::host {

namespace {

// What passes is not for the terminal on the way to look at: neither echoed nor translated.
Result<> make_raw(int terminal) {
    termios settings{};
    if (tcgetattr(terminal, &settings) != 0) return fail_errno("reading a terminal", errno);
    cfmakeraw(&settings);
    if (tcsetattr(terminal, TCSANOW, &settings) != 0)
        return fail_errno("setting a terminal", errno);
    return {};
}

}  // namespace

DockerDriver::Session::Session(DockerDriver& driver, std::string container, RunningHandler& handler)
    : driver_(driver),
      container_(std::move(container)),
      handler_(handler),
      mark_("CANDELA_SESSION=" + make_id(driver.loop_.random())),
      frames_([this](OutputKind kind, std::string_view piece, uint64_t) {
          if (!piece.empty()) write(kind == OutputKind::kStdout ? out_ : err_, piece);
      }),
      engine_(*this),
      in_(*this),
      out_(*this),
      err_(*this),
      later_(driver.loop_.timers(), [this] {
          if (result_->has_value()) return handler_.on_exit(**result_);
          handler_.on_start_failed(result_->error());
      }) {}

DockerDriver::Session::~Session() { kill(); }

void DockerDriver::Session::kill() {
    if (exec_.empty() || result_ || std::exchange(is_killed_, true)) return;
    driver_.tasks_.spawn(driver_.end_exec(container_, exec_));
    driver_.tasks_.spawn(driver_.end_marked(mark_));
}

Task<void> DockerDriver::end_marked(std::string mark) {
    const std::vector<std::string> entries{mark};
    auto work = [entries] { return candela::host::end_marked(entries); };
    static_cast<void>(co_await offload(loop_, std::move(work)));
}

Result<> DockerDriver::Session::start(const StartRequest& request, SessionFds fds) {
    is_terminal_ = isatty(fds.input.get()) == 1;
    if (is_terminal_) {
        CANDELA_TRY(make_raw(fds.input.get()));
        winsize size{};
        if (ioctl(fds.input.get(), TIOCGWINSZ, &size) == 0)
            window_.emplace(size.ws_row, size.ws_col);
    }
    CANDELA_TRY(open(in_, std::move(fds.input)));
    if (!is_terminal_) {
        CANDELA_TRY(open(out_, std::move(fds.output)));
        CANDELA_TRY(open(err_, std::move(fds.errors)));
    }
    StartRequest marked = request;
    marked.environment.push_back(mark_);
    const ExecKind kind = is_terminal_ ? ExecKind::kTerminal : ExecKind::kPipes;
    tasks_.spawn(run(exec_body(marked, kind)));
    return {};
}

// Started, so that it says when what was written is taken, but not read yet.
Result<> DockerDriver::Session::open(End& end, Fd fd) {
    CANDELA_TRY_ASSIGN(end.stream, adopt_unix_socket(driver_.loop_, std::move(fd)));
    end.is_open = true;
    end.stream->start(end);
    end.stream->pause();
    return {};
}

Task<void> DockerDriver::Session::run(std::string body) {
    auto result = co_await run_to_end(std::move(body));
    if (!result) driver_.engine_.on_failure(result.error());
    for (End* end : {&in_, &out_, &err_}) {
        end->is_open = false;
        end->stream.reset();
    }
    engine_.stream.reset();
    // What it leaves behind goes with it.
    if (!exec_.empty()) driver_.tasks_.spawn(driver_.end_marked(mark_));
    result_.emplace(std::move(result));
    later_.start(Duration(0));
}

Task<Result<ExitStatus>> DockerDriver::Session::run_to_end(std::string body) {
    DockerApi& api = driver_.engine_.api();
    auto exec = co_await api.create_exec(container_, std::move(body));
    if (!exec) co_return fail(exec.error());
    exec_ = *exec;
    auto attached = co_await api.attach_exec(exec_, is_terminal_);
    if (!attached) co_return fail(attached.error());
    handler_.on_started(0);
    engine_.stream = std::move(attached->stream);
    engine_.stream->start(engine_);
    take(attached->first_bytes);
    in_.stream->resume();
    tasks_.spawn(watch());
    tasks_.spawn(resize());
    co_await over_.wait();
    // What has come is still on its way to the person.
    while (queued_output() > 0) {
        taken_.reset();
        co_await taken_.wait();
    }
    if (broken_) co_return fail(*broken_);
    auto status = co_await ask_status();
    co_return status;
}

// Its output has ended: it has, too, or is about to.
Task<Result<ExitStatus>> DockerDriver::Session::ask_status() {
    constexpr int kLooksMax = 100;
    for (int i = 0; i < kLooksMax; ++i) {
        auto state = co_await driver_.engine_.api().inspect_exec(exec_);
        if (!state) co_return fail(state.error());
        if (!state->is_running) co_return ExitStatus(state->exit_code, 0);
        co_await sleep_for(driver_.loop_, kReopenPause);
    }
    co_return fail(Code::kTimeout, "it runs on without its output");
}

// A program may end and leave others that hold its output open.
Task<void> DockerDriver::Session::watch() {
    while (!result_) {
        co_await sleep_for(driver_.loop_, kLookInterval, kLookInterval / 4);
        auto state = co_await driver_.engine_.api().inspect_exec(exec_);
        if (!state || state->is_running) continue;
        co_await driver_.end_marked(mark_);
    }
}

void DockerDriver::Session::set_window(uint16_t rows, uint16_t columns) {
    window_.emplace(rows, columns);
    if (engine_.stream && !is_resizing_) tasks_.spawn(resize());
}

// An engine answers before it has started the program, which has no window until then.
Task<void> DockerDriver::Session::resize() {
    constexpr int kAttemptsMax = 40;
    constexpr Duration kPause = 25ms;
    is_resizing_ = true;
    for (int i = 0; i < kAttemptsMax && window_; ++i) {
        const auto [rows, columns] = *std::exchange(window_, std::nullopt);
        auto done = co_await driver_.engine_.api().resize_exec(exec_, rows, columns);
        if (done) continue;
        if (!window_) window_.emplace(rows, columns);
        co_await sleep_for(driver_.loop_, kPause);
    }
    is_resizing_ = false;
}

// ---- from the engine

void DockerDriver::Session::take(std::string_view bytes) {
    if (is_terminal_) return write(in_, bytes);
    const auto taken = frames_.feed(bytes);
    if (!taken) break_off(taken.error());
}

void DockerDriver::Session::write(End& end, std::string_view bytes) {
    if (!end.is_open || bytes.empty()) return;
    end.stream->write(bytes);
    if (end.queued() > kQueueBytesMax) engine_.stream->pause();
}

void DockerDriver::Session::break_off(const Error& error) {
    if (!broken_) broken_ = error;
    over_.set();
}

void DockerDriver::Session::on_taken() {
    if (engine_.stream) engine_.stream->resume();
    taken_.set();
}

// ---- from the person

void DockerDriver::Session::on_input(std::string_view bytes) {
    engine_.stream->write(bytes);
    if (engine_.stream->queued_bytes() > kQueueBytesMax) in_.stream->pause();
}

void DockerDriver::Session::on_input_end() {
    if (engine_.stream) engine_.stream->end();
}

void DockerDriver::Session::Engine::on_drained() {
    if (session.in_.is_open) session.in_.stream->resume();
}

}  // namespace candela::host
