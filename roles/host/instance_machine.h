#pragma once

// The life of one instance as a pure state machine: events in, actions out, no I/O and no clock.
// The Instance (instance.h) carries the actions out and reports what came of them.
//
//   preparing → starting → ready ⇄ unready → stopping → over
//       └── backoff ──┘  (after an exit, a failed start, or a probe that keeps failing)
//
// What others see is state() in the words of docs/architecture.md. "failed" says that the host
// doubts that the instance can be started at all; it goes on trying, ever more slowly, until it is
// told to stop.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "loop/process.h"
#include "proto/messages.h"

namespace candela::host {

class InstanceMachine {
public:
    struct Settings {
        bool is_job = false;
        bool has_probe = false;
        Duration probe_interval = 1s;
        Duration start_timeout = 30s;
        Duration grace = 10s;
    };

    enum class Timer : uint8_t {
        kPhase,    // backoff, start timeout or grace: what the phase waits for
        kProbe,    // the next probe; without a probe: the time after which a start counts
        kHealthy,  // ready for so long that the backoff starts anew
    };

    enum class Do : uint8_t {
        kPrepare,    // bundle, credential, folders; then on_prepared() or on_prepare_failed()
        kSpawn,      // then on_spawned() or on_spawn_failed()
        kProbe,      // once; then on_probe()
        kTerminate,  // SIGTERM to the group
        kKill,       // SIGKILL to the group
        kSetTimer,
        kStopTimer,
        kReport,   // what others see has changed
        kCleanUp,  // nothing will run again: what kPrepare made can go
    };
    struct Action {
        Do what;
        Timer timer = Timer::kPhase;  // of kSetTimer and kStopTimer
        Duration delay{};             // of kSetTimer
        Duration leeway{};            // so much later at most, with what else happens then

        Action(Do w)
            : what(w) {}  // NOLINT(google-explicit-constructor): a list of actions reads well
        Action(Do w, Timer t, Duration d = Duration(0), Duration l = Duration(0))
            : what(w), timer(t), delay(d), leeway(l) {}
        friend bool operator==(const Action&, const Action&) = default;
    };
    using Actions = std::vector<Action>;

    // Jitter comes from `random`, which must outlive the machine.
    InstanceMachine(const Settings& settings, Random& random)
        : settings_(settings), random_(random) {}

    // Wishes.
    Actions start();  // once
    // Instead of start(): an earlier life of this host started it, and its keeper kept it. What its
    // next start needs is prepared meanwhile.
    Actions adopt(bool was_ready, uint32_t restarts);
    // Of a job that ended in an earlier life of this host.
    Actions resume_ended(int exit_code);
    // Instead of start(): it will never run here.
    Actions refuse(std::string cause);
    Actions set_draining();
    Actions stop();

    // What happened. Events that no longer matter are ignored.
    Actions on_prepared();
    Actions on_prepare_failed(const Error& error);
    Actions on_spawned();
    Actions on_spawn_failed(const Error& error);
    // `has_answered`: somebody was there to say that it is not well.
    Actions on_probe(bool is_well, std::string_view answer, bool has_answered = true);
    // `detail`: what is known of it beside its status.
    Actions on_exit(const ExitStatus& status, std::string_view detail = {});
    Actions on_timer(Timer timer);

    // What others see.
    proto::InstanceState state() const;
    const std::string& cause() const { return cause_; }
    const std::string& last_exit() const { return last_exit_; }
    const std::string& probe_answer() const { return probe_answer_; }
    int exit_code() const { return exit_code_; }
    uint32_t restarts() const { return restarts_; }
    bool is_over() const { return phase_ == Phase::kOver; }
    bool is_running() const {
        return phase_ == Phase::kStarting || phase_ == Phase::kReady || is_stopping();
    }

    static constexpr uint32_t kUnreadyFailures = 3;  // probes in a row: no more requests
    static constexpr uint32_t kHungFailures = 3;     // unanswered in a row: it hangs, start it anew
    static constexpr uint32_t kRestartFailures = 10;  // answered badly in a row: likewise
    static constexpr uint32_t kFailedStarts = 3;  // starts in a row that came to nothing: "failed"
    static constexpr Duration kBackoffMin =
        100ms;  // before the second restart; the first is at once
    static constexpr Duration kBackoffMax = 30s;
    static constexpr Duration kHealthyAfter = 30s;
    static constexpr Duration kSettleTime = 250ms;  // without a probe, a start counts after this

private:
    enum class Phase : uint8_t {
        kNew,
        kPreparing,
        kBackoff,
        kSpawning,
        kStarting,
        kReady,
        kStopping,
        kOver
    };

    bool is_stopping() const { return phase_ == Phase::kStopping; }
    Actions end(bool has_failed);
    Actions ready();
    Action next_probe() const;
    Actions begin_stop(bool is_restart);
    // After a start that came to nothing, or an exit: wait, then try again.
    void back_off(Actions& actions, std::string cause, bool is_final_failure);
    Duration next_backoff(bool has_run);

    Settings settings_;
    Random& random_;
    Phase phase_ = Phase::kNew;
    bool is_prepared_ = false;
    bool must_prepare_ = false;    // again, before the next start
    bool has_been_ready_ = false;  // since it was last started
    bool is_draining_ = false;
    bool is_unready_ = false;     // in kReady: probes fail
    bool is_restarting_ = false;  // in kStopping: to be started anew
    bool stop_wanted_ = false;
    bool has_failed_ = false;     // sticky until it is ready again
    uint32_t failed_starts_ = 0;  // in a row
    uint32_t failed_probes_ = 0;  // in a row
    uint32_t silent_probes_ = 0;  // in a row, nobody answered
    uint32_t backoffs_ = 0;       // in a row
    uint32_t restarts_ = 0;
    int exit_code_ = 0;
    std::string cause_, last_exit_, probe_answer_;
};

}  // namespace candela::host
