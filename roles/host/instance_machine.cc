#include "instance_machine.h"

#include <algorithm>

#include "base/text.h"

namespace candela::host {

using proto::InstanceState;
using Actions = InstanceMachine::Actions;

Actions InstanceMachine::start() {
    phase_ = Phase::kPreparing;
    return {Do::kReport, Do::kPrepare};
}

Actions InstanceMachine::adopt(bool was_ready, uint32_t restarts) {
    restarts_ = restarts;
    Actions actions;
    if (was_ready) {
        // No state in between, at which nobody would send it requests.
        actions = ready();
        if (settings_.has_probe) actions.emplace_back(Do::kProbe);
    } else {
        phase_ = Phase::kSpawning;
        actions = on_spawned();
    }
    actions.emplace_back(Do::kPrepare);
    return actions;
}

Actions InstanceMachine::resume_ended(int exit_code) {
    exit_code_ = exit_code;
    last_exit_ = fmt::format("exit code {}", exit_code);
    return end(exit_code != 0);
}

Actions InstanceMachine::refuse(std::string cause) {
    cause_ = std::move(cause);
    return end(true);
}

Actions InstanceMachine::set_draining() {
    if (is_draining_ || phase_ == Phase::kOver) return {};
    is_draining_ = true;
    // What does not run now will not be started for its last minutes.
    if (phase_ == Phase::kPreparing || phase_ == Phase::kBackoff) return stop();
    return {Do::kReport};
}

Actions InstanceMachine::stop() {
    if (stop_wanted_ || phase_ == Phase::kOver) return {};
    stop_wanted_ = true;
    switch (phase_) {
        case Phase::kStarting:
        case Phase::kReady: return begin_stop(false);
        case Phase::kSpawning: return {};  // on_spawned() goes on from here
        case Phase::kStopping: is_restarting_ = false; return {Do::kReport};
        default: return end(false);
    }
}

Actions InstanceMachine::on_prepared() {
    is_prepared_ = true;
    must_prepare_ = false;
    if (phase_ != Phase::kPreparing) return {};  // of one that was adopted
    phase_ = Phase::kSpawning;
    return {Do::kSpawn};
}

Actions InstanceMachine::on_prepare_failed(const Error& error) {
    if (phase_ != Phase::kPreparing) return {};
    // Who can't be reached now may be later; a bundle that does not verify never will.
    const bool may_pass = error.code() == Code::kUnreachable || error.code() == Code::kTimeout ||
                          error.code() == Code::kCancelled;
    Actions actions;
    back_off(actions, error.message(), !may_pass);
    return actions;
}

Actions InstanceMachine::on_spawned() {
    if (phase_ != Phase::kSpawning) return {};
    phase_ = Phase::kStarting;
    failed_probes_ = 0;
    silent_probes_ = 0;
    is_unready_ = false;
    if (stop_wanted_) return begin_stop(false);
    if (!settings_.has_probe) return {Do::kReport, {Do::kSetTimer, Timer::kProbe, kSettleTime}};
    return {Do::kReport, {Do::kSetTimer, Timer::kPhase, settings_.start_timeout}, Do::kProbe};
}

Actions InstanceMachine::on_spawn_failed(const Error& error) {
    if (phase_ != Phase::kSpawning) return {};
    if (stop_wanted_) return end(false);
    Actions actions;
    back_off(actions, error.message(), true);
    return actions;
}

Actions InstanceMachine::ready() {
    phase_ = Phase::kReady;
    has_been_ready_ = true;
    is_unready_ = false;
    has_failed_ = false;
    failed_starts_ = 0;
    cause_.clear();
    Actions actions{Do::kReport,
                    {Do::kStopTimer, Timer::kPhase},
                    {Do::kSetTimer, Timer::kHealthy, kHealthyAfter}};
    if (settings_.has_probe) {
        actions.push_back(next_probe());
    }
    return actions;
}

// An eighth sooner or later than asked, so that many instances are probed in one go.
InstanceMachine::Action InstanceMachine::next_probe() const {
    const Duration interval = settings_.probe_interval;
    return {Do::kSetTimer, Timer::kProbe, interval - interval / 8, interval / 4};
}

Actions InstanceMachine::on_probe(bool is_well, std::string_view answer, bool has_answered) {
    if (phase_ != Phase::kStarting && phase_ != Phase::kReady) return {};
    probe_answer_ = answer;
    if (is_well) {
        failed_probes_ = 0;
        silent_probes_ = 0;
        if (phase_ == Phase::kStarting || is_unready_) return ready();
        return {next_probe()};
    }
    if (phase_ == Phase::kStarting) {
        // Ask often at first: most programs listen within a moment, and nobody should wait for
        // them.
        const Duration pause =
            std::min(settings_.probe_interval, Duration(50ms) * ++failed_probes_);
        return {{Do::kSetTimer, Timer::kProbe, pause}};
    }
    ++failed_probes_;
    silent_probes_ = has_answered ? 0 : silent_probes_ + 1;
    const bool is_hopeless = silent_probes_ >= kHungFailures || failed_probes_ >= kRestartFailures;
    if (is_hopeless && !is_draining_) {
        cause_ = fmt::format("{} probes in a row failed: {}", failed_probes_, answer);
        return begin_stop(true);
    }
    Actions actions{next_probe()};
    if (failed_probes_ >= kUnreadyFailures && !is_unready_) {
        is_unready_ = true;
        cause_ = fmt::format("probe failed: {}", answer);
        actions.emplace_back(Do::kReport);
        actions.emplace_back(Do::kStopTimer, Timer::kHealthy);
    }
    return actions;
}

Actions InstanceMachine::on_exit(const ExitStatus& status, std::string_view detail) {
    if (!is_running()) return {};
    last_exit_ = status.to_string();
    if (!detail.empty()) last_exit_ += fmt::format(" ({})", detail);
    exit_code_ = status.signal != 0 ? 128 + status.signal : status.code;
    // Whatever the program left behind in its group goes with it.
    Actions actions{Do::kKill,
                    {Do::kStopTimer, Timer::kProbe},
                    {Do::kStopTimer, Timer::kHealthy},
                    {Do::kStopTimer, Timer::kPhase}};
    const auto append = [&](Actions more) {
        actions.insert(actions.end(), more.begin(), more.end());
    };
    if (stop_wanted_ || is_draining_) {
        append(end(false));
    } else if (is_stopping()) {
        back_off(actions, cause_, false);
    } else if (settings_.is_job) {
        if (!status.ok()) cause_ = fmt::format("the job ended with {}", last_exit_);
        append(end(!status.ok()));
    } else {
        const bool was_ready = phase_ == Phase::kReady;
        back_off(actions,
                 fmt::format("{} with {}", was_ready ? "it ended" : "it ended before it was ready",
                             last_exit_),
                 false);
    }
    return actions;
}

Actions InstanceMachine::on_timer(Timer timer) {
    if (timer == Timer::kHealthy) {
        backoffs_ = 0;
        return {};
    }
    if (timer == Timer::kProbe) {
        if (phase_ != Phase::kStarting && phase_ != Phase::kReady) return {};
        if (settings_.has_probe) return {Do::kProbe};
        return phase_ == Phase::kStarting ? ready() : Actions();
    }
    switch (phase_) {
        case Phase::kBackoff:
            if (is_prepared_ && !must_prepare_) {
                phase_ = Phase::kSpawning;
                return {Do::kSpawn};
            }
            phase_ = Phase::kPreparing;
            return {Do::kPrepare};
        case Phase::kStarting:
            cause_ =
                fmt::format("not ready within {}{}{}", format_duration(settings_.start_timeout),
                            probe_answer_.empty() ? "" : ": ", probe_answer_);
            has_failed_ = true;
            return begin_stop(true);
        case Phase::kStopping: return {Do::kKill};
        default: return {};
    }
}

Actions InstanceMachine::begin_stop(bool is_restart) {
    phase_ = Phase::kStopping;
    is_restarting_ = is_restart;
    return {Do::kReport,
            {Do::kStopTimer, Timer::kProbe},
            {Do::kStopTimer, Timer::kHealthy},
            Do::kTerminate,
            {Do::kSetTimer, Timer::kPhase, settings_.grace}};
}

Actions InstanceMachine::end(bool has_failed) {
    phase_ = Phase::kOver;
    has_failed_ = has_failed;
    return {{Do::kStopTimer, Timer::kPhase}, Do::kCleanUp, Do::kReport};
}

void InstanceMachine::back_off(Actions& actions, std::string cause, bool is_final_failure) {
    const bool was_ready = phase_ == Phase::kReady;
    const bool has_run = is_running();
    phase_ = Phase::kBackoff;
    cause_ = std::move(cause);
    if (has_run) ++restarts_;
    if (!was_ready && (has_run || is_final_failure)) ++failed_starts_;
    // What it was given may be what is wrong: a bundle that is damaged, an image that is gone.
    if (!has_been_ready_) must_prepare_ = true;
    has_been_ready_ = false;
    if (is_final_failure || failed_starts_ >= kFailedStarts) has_failed_ = true;
    actions.emplace_back(Do::kReport);
    actions.emplace_back(Do::kSetTimer, Timer::kPhase, next_backoff(has_run));
}

Duration InstanceMachine::next_backoff(bool has_run) {
    const uint32_t before = backoffs_++;
    // A crash out of the blue costs as little as can be.
    if (before == 0 && has_run) return Duration(0);
    Duration delay = kBackoffMax;
    const uint32_t doublings = before == 0 ? 0 : before - 1;
    if (doublings < 9) delay = std::min(kBackoffMax, Duration(kBackoffMin.count() << doublings));
    // Up to a fifth shorter, so that many instances do not come back in step.
    return delay -
           Duration(static_cast<int64_t>(random_.below(static_cast<uint64_t>(delay.count() / 5))));
}

InstanceState InstanceMachine::state() const {
    if (phase_ == Phase::kOver)
        return has_failed_ ? InstanceState::kFailed : InstanceState::kExited;
    if (phase_ == Phase::kStopping && !is_restarting_) return InstanceState::kStopping;
    if (has_failed_) return InstanceState::kFailed;
    if (is_draining_ && phase_ == Phase::kReady) return InstanceState::kDraining;
    switch (phase_) {
        case Phase::kReady: return is_unready_ ? InstanceState::kUnready : InstanceState::kReady;
        case Phase::kStopping: return InstanceState::kUnready;
        case Phase::kNew: return InstanceState::kPending;
        case Phase::kPreparing:
        case Phase::kBackoff:
            return is_prepared_ ? InstanceState::kStarting : InstanceState::kPending;
        default: return InstanceState::kStarting;
    }
}

}  // namespace candela::host
