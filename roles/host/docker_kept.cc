#include "docker_kept.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "walls_plan.h"

namespace candela::host {

namespace {

// What ended while nobody knows how: an engine that was told to forget it, say.
ContainerNote::End lost_end() { return {128 + SIGKILL, "its container is gone"}; }

}  // namespace

DockerDriver::Kept::Kept(DockerDriver& driver, ContainerNote note)
    : driver_(driver),
      note_(std::move(note)),
      later_(driver.loop_.timers(), [this] { finish(); }),
      save_timer_(driver.loop_.timers(), [this] { on_save_timer(); }) {}

void DockerDriver::Kept::start(StartRequest request, RunningHandler& handler) {
    request_ = std::move(request);
    handler_ = &handler;
    tasks_.spawn(run());
}

void DockerDriver::Kept::set_found(const std::optional<ContainerState>& state) {
    is_started_ = true;
    if (state) learn(*state);
}

void DockerDriver::Kept::set_lost() {
    is_started_ = true;
    if (!note_.end) note_.end = lost_end();
}

void DockerDriver::Kept::adopt(RunningHandler& handler) {
    handler_ = &handler;
    tasks_.spawn(go_on());
}

// The handler is called from a timer, since it may destroy what a flow stands in.
Task<void> DockerDriver::Kept::run() {
    auto made = co_await make();
    request_ = StartRequest();
    if (!made) {
        driver_.engine_.on_failure(made.error());
        // It may have been made all the same.
        driver_.tasks_.spawn(driver_.remove(note_.id.empty() ? note_.name : note_.id));
        start_error_ = made.error();
        later_.start(Duration(0));
        co_return;
    }
    later_.start(Duration(0));
    co_await go_on();
}

Task<Result<>> DockerDriver::Kept::make() {
    DockerEngine& engine = driver_.engine_;
    if (!engine.is_on()) co_return fail(engine.why_off());
    // Noted before it is made: so that it is found whenever we die.
    CO_TRY(co_await save());
    const InstanceLimits limits = limits_for(request_.limits, driver_.options_.limits);
    std::string body = container_body(request_, limits, engine.info(), driver_.options_.run_id);
    auto id = co_await engine.api().create(note_.name, std::move(body));
    if (!id) co_return fail(id.error());
    note_.id = *id;
    CO_TRY(co_await save());
    if (wish_ == Wish::kKill) co_return fail(Code::kCancelled, "it is not wanted any more");
    CO_TRY(co_await engine.api().start(note_.id));
    auto state = co_await engine.api().inspect(note_.id);
    if (!state) co_return fail(state.error());
    if (state->status == "created") co_return fail(Code::kInternal, "docker: {}", state->error);
    learn(*state);
    co_return Result<>();
}

void DockerDriver::Kept::learn(const ContainerState& state) {
    pid_ = state.is_running() ? state.pid : 0;
    address_ = state.is_running() ? state.address : std::string();
    stop_signal_ = state.stop_signal;
}

// From where it has been made, or found, to its end.
Task<void> DockerDriver::Kept::go_on() {
    if (!note_.end) {
        tasks_.spawn(measure_forever());
        co_await follow();
    }
    is_over_ = true;
    later_.start(Duration(0));
}

// Output until there is no more, and then how it ended: what the engine says of it counts, whatever
// its streams do.
Task<void> DockerDriver::Kept::follow() {
    DockerEngine& engine = driver_.engine_;
    for (;;) {
        co_await engine.wait_on();
        const std::string id = note_.id.empty() ? note_.name : note_.id;
        auto state = co_await engine.api().inspect(id);
        if (!state && state.error().code() == Code::kNotFound) {
            co_await take_end(lost_end());
            co_return;
        }
        if (!state) {
            engine.on_failure(state.error());
            co_await sleep_for(driver_.loop_, kRetryPause);
            continue;
        }
        note_.id = state->id;
        learn(*state);
        if (!state->is_running()) {
            co_await drain_log();
            co_await take_end(end_of(*state));
            co_return;
        }
        auto response = co_await engine.api().logs(note_.id, note_.log.since_ns(), true);
        if (!response) {
            engine.on_failure(response.error());
            co_await sleep_for(driver_.loop_, kRetryPause);
            continue;
        }
        co_await read_log(std::move(*response));
        // An engine ends the log a little before it says that the container has ended.
        auto now = co_await engine.api().inspect(note_.id);
        if (now && now->is_running()) co_await sleep_for(driver_.loop_, kReopenPause);
    }
}

// False: it breaks off, and who asks again may get more.
Task<bool> DockerDriver::Kept::read_log(http::ClientResponse response) {
    DockerLog log(note_.log, [this](OutputKind kind, std::string_view bytes) {
        if (handler_ != nullptr) handler_->on_output(kind, bytes);
    });
    for (;;) {
        auto chunk = co_await response.read_chunk();
        if (!chunk && chunk.error().code() == Code::kTimeout) {
            // It says nothing. An engine may have forgotten that we listen.
            auto state = co_await driver_.engine_.api().inspect(note_.id);
            if (!state || !state->is_running()) co_return false;
            continue;
        }
        if (!chunk) co_return false;
        if (!*chunk) co_return true;
        const auto taken = log.feed(**chunk);
        if (note_.log != log.position()) {
            note_.log = log.position();
            if (!save_timer_.is_active()) save_timer_.start(kNoteInterval);
        }
        if (!taken) {
            driver_.log_.warn("container_log_malformed",
                              {{"instance", instance()}, {"error", taken.error()}});
            co_await sleep_for(driver_.loop_, kNoteInterval);
            co_return true;
        }
    }
}

// What the stream that was followed may have missed. The container goes afterwards, and what it
// said with it: an engine that stumbles is asked again.
Task<void> DockerDriver::Kept::drain_log() {
    std::string problem = "its log breaks off";
    for (int tries = 0; tries < kDrainTries; ++tries) {
        const DockerLogPosition before = note_.log;
        auto response = co_await driver_.engine_.api().logs(note_.id, note_.log.since_ns(), false);
        if (response) {
            const bool is_whole = co_await read_log(std::move(*response));
            if (is_whole) co_return;
        } else {
            problem = response.error().message();
            if (response.error().code() == Code::kNotFound) break;
        }
        if (note_.log != before) tries = 0;
        co_await sleep_for(driver_.loop_, kRetryPause);
    }
    driver_.log_.warn("container_log_lost", {{"instance", instance()}, {"error", problem}});
}

ContainerNote::End DockerDriver::Kept::end_of(const ContainerState& state) const {
    ContainerNote::End end;
    end.exit_code = state.exit_code;
    if (state.is_out_of_memory) {
        end.detail = state.memory_limit_bytes == 0
                         ? "out of memory"
                         : fmt::format("out of memory: it may take {}",
                                       format_size(state.memory_limit_bytes));
    } else if (!state.error.empty()) {
        end.detail = printable(state.error, 500);
    }
    return end;
}

// Noted before the container goes, which is the other place where it stands.
Task<void> DockerDriver::Kept::take_end(ContainerNote::End end) {
    note_.end = std::move(end);
    pid_ = 0;
    const auto saved = co_await save();
    if (!saved) {
        driver_.log_.warn("container_note_not_written",
                          {{"instance", instance()}, {"error", saved.error()}});
    }
    const std::string id = note_.id.empty() ? note_.name : note_.id;
    co_await driver_.remove(id);
}

Task<void> DockerDriver::Kept::measure_forever() {
    for (;;) {
        co_await driver_.engine_.wait_on();
        auto usage = co_await driver_.engine_.api().usage(note_.id);
        if (usage) memory_bytes_ = usage->memory_bytes;
        co_await sleep_for(driver_.loop_, kUsageInterval);
    }
}

void DockerDriver::Kept::order(Wish wish) {
    if (is_over_ || wish <= wish_) return;
    wish_ = wish;
    if (is_started_ && !is_delivering_) tasks_.spawn(deliver());
}

Task<void> DockerDriver::Kept::deliver() {
    is_delivering_ = true;
    DockerEngine& engine = driver_.engine_;
    while (told_ < wish_) {
        co_await engine.wait_on();
        const Wish wish = wish_;
        const std::string signal = wish == Wish::kKill ? "SIGKILL" : stop_signal_;
        auto told = co_await engine.api().signal(note_.id, signal);
        // One that has ended, or is gone, needs to be told nothing.
        const bool is_over = !told && (told.error().code() == Code::kNotFound ||
                                       told.error().code() == Code::kConflict);
        if (told || is_over) {
            told_ = wish;
            continue;
        }
        engine.on_failure(told.error());
        co_await sleep_for(driver_.loop_, kRetryPause);
    }
    is_delivering_ = false;
}

Result<> DockerDriver::Kept::signal(int number) {
    if (!is_started_ || is_over_) return fail_errno("sending a signal", ESRCH);
    tasks_.spawn(deliver_signal(number));
    return {};
}

Task<void> DockerDriver::Kept::deliver_signal(int number) {
    auto told = co_await driver_.engine_.api().signal(note_.id, std::to_string(number));
    if (told) co_return;
    driver_.log_.warn("signal_not_sent", {{"instance", instance()}, {"error", told.error()}});
}

void DockerDriver::Kept::set_note(std::string_view note) {
    if (note_.note == note) return;
    note_.note = note;
    if (is_started_) save_timer_.start(Duration(0));
}

void DockerDriver::Kept::on_save_timer() { tasks_.spawn(save_later()); }

Task<void> DockerDriver::Kept::save_later() {
    const auto saved = co_await save();
    if (saved) co_return;
    driver_.log_.warn("container_note_not_written",
                      {{"instance", instance()}, {"error", saved.error()}});
}

Task<Result<>> DockerDriver::Kept::save() {
    const auto guard = co_await saving_.lock();
    auto work = [writer = writer_, folder = driver_.options_.run_folder, note = note_,
                 number = ++notes_] { return writer->write(folder, note, number); };
    auto written = co_await offload(driver_.loop_, std::move(work));
    co_return written;
}

void DockerDriver::Kept::abandon() {
    handler_ = nullptr;
    kill();
}

void DockerDriver::Kept::let_go() {
    tasks_.cancel();
    if (!is_started_ || is_over_) return;
    const auto written = writer_->write(driver_.options_.run_folder, note_, ++notes_);
    if (!written) {
        driver_.log_.warn("container_note_not_written",
                          {{"instance", instance()}, {"error", written.error()}});
    }
}

// Tells that it has started, then, perhaps in one go, how it ended; and that is the last thing that
// happens: it destroys this.
void DockerDriver::Kept::finish() {
    const auto self = shared_from_this();
    if (!is_started_ && !start_error_) {
        is_started_ = true;
        if (wish_ != Wish::kNone) tasks_.spawn(deliver());
        save_timer_.start(Duration(0));
        if (handler_ != nullptr) handler_->on_started(pid_);
    }
    if (!is_over_ && !start_error_) return;
    RunningHandler* const handler = std::exchange(handler_, nullptr);
    driver_.forget(*this);
    if (handler == nullptr) return;
    if (start_error_) return handler->on_start_failed(*start_error_);
    if (!note_.end->detail.empty()) handler->on_end_detail(note_.end->detail);
    handler->on_exit(ExitStatus{note_.end->exit_code, 0});
}

}  // namespace candela::host
