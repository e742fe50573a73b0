#include "instance_machine.h"

#include <algorithm>

#include <catch2/catch_test_macros.hpp>

namespace candela::host {
namespace {

using Do = InstanceMachine::Do;
using TimerKind = InstanceMachine::Timer;
using proto::InstanceState;

bool has(const InstanceMachine::Actions& actions, Do what) {
    return std::ranges::any_of(actions, [&](const auto& action) { return action.what == what; });
}
Duration delay(const InstanceMachine::Actions& actions, TimerKind timer) {
    for (const auto& action : actions) {
        if (action.what == Do::kSetTimer && action.timer == timer) return action.delay;
    }
    return Duration(-1);
}
ExitStatus exited(int code) { return ExitStatus{code, 0}; }

struct Machine {
    SeededRandom random{1};
    InstanceMachine::Settings settings;
    std::unique_ptr<InstanceMachine> machine;

    InstanceMachine& make() {
        machine = std::make_unique<InstanceMachine>(settings, random);
        return *machine;
    }
    InstanceMachine& starting() {
        settings.has_probe = true;
        InstanceMachine& m = make();
        m.start();
        m.on_prepared();
        m.on_spawned();
        return m;
    }
    InstanceMachine& ready() {
        InstanceMachine& m = starting();
        m.on_probe(true, "HTTP 200");
        return m;
    }
};

TEST_CASE_METHOD(Machine, "an_instance_becomes_ready_with_its_first_good_probe") {
    settings.has_probe = true;
    InstanceMachine& m = make();
    CHECK(has(m.start(), Do::kPrepare));
    CHECK(m.state() == InstanceState::kPending);
    CHECK(has(m.on_prepared(), Do::kSpawn));
    auto actions = m.on_spawned();
    CHECK(has(actions, Do::kProbe));
    CHECK(delay(actions, TimerKind::kPhase) == settings.start_timeout);
    CHECK(m.state() == InstanceState::kStarting);
    CHECK(delay(m.on_probe(false, "connection refused"), TimerKind::kProbe) == 50ms);
    CHECK(m.state() == InstanceState::kStarting);
    CHECK(has(m.on_timer(TimerKind::kProbe), Do::kProbe));
    CHECK(has(m.on_probe(true, "HTTP 200"), Do::kReport));
    CHECK(m.state() == InstanceState::kReady);
    CHECK(m.probe_answer() == "HTTP 200");
}

TEST_CASE_METHOD(Machine, "without_a_probe_a_start_counts_after_a_moment") {
    InstanceMachine& m = make();
    m.start();
    m.on_prepared();
    CHECK(delay(m.on_spawned(), TimerKind::kProbe) == InstanceMachine::kSettleTime);
    CHECK(m.state() == InstanceState::kStarting);
    m.on_timer(TimerKind::kProbe);
    CHECK(m.state() == InstanceState::kReady);
}

TEST_CASE_METHOD(Machine, "failing_probes_make_it_unready_and_at_last_restart_it") {
    InstanceMachine& m = ready();
    for (uint32_t i = 1; i < InstanceMachine::kUnreadyFailures; ++i) {
        m.on_probe(false, "HTTP 500");
        CHECK(m.state() == InstanceState::kReady);
    }
    CHECK(has(m.on_probe(false, "HTTP 500"), Do::kReport));
    CHECK(m.state() == InstanceState::kUnready);
    CHECK(m.cause() == "probe failed: HTTP 500");

    SECTION("it comes back") {
        m.on_probe(true, "HTTP 200");
        CHECK(m.state() == InstanceState::kReady);
        CHECK(m.cause().empty());
    }
    SECTION("it never gets well") {
        InstanceMachine::Actions actions;
        for (uint32_t i = InstanceMachine::kUnreadyFailures; i < InstanceMachine::kRestartFailures;
             ++i) {
            CHECK_FALSE(has(actions, Do::kTerminate));
            actions = m.on_probe(false, "HTTP 500");
        }
        CHECK(has(actions, Do::kTerminate));
        CHECK(delay(actions, TimerKind::kPhase) == settings.grace);
        CHECK(has(m.on_timer(TimerKind::kPhase), Do::kKill));
        m.on_exit(ExitStatus{0, 9});
        CHECK(m.state() == InstanceState::kStarting);
        CHECK(has(m.on_timer(TimerKind::kPhase), Do::kSpawn));
        CHECK(m.restarts() == 1);
    }
}

TEST_CASE_METHOD(Machine, "one_that_does_not_answer_three_probes_hangs_and_is_restarted") {
    InstanceMachine& m = ready();
    for (uint32_t i = 1; i < InstanceMachine::kHungFailures; ++i) {
        CHECK_FALSE(has(m.on_probe(false, "no answer within 500ms", false), Do::kTerminate));
    }
    // One that answers in between does not hang, however badly.
    CHECK_FALSE(has(m.on_probe(false, "HTTP 500"), Do::kTerminate));
    m.on_probe(true, "HTTP 200");
    for (uint32_t i = 1; i < InstanceMachine::kHungFailures; ++i) {
        CHECK_FALSE(has(m.on_probe(false, "no answer within 500ms", false), Do::kTerminate));
    }
    CHECK(has(m.on_probe(false, "no answer within 500ms", false), Do::kTerminate));
    CHECK(m.state() == InstanceState::kUnready);
    CHECK(m.cause().find("no answer") != std::string::npos);
}

TEST_CASE_METHOD(Machine, "one_that_was_ready_is_adopted_ready_and_prepared_for_its_next_start") {
    settings.has_probe = true;
    InstanceMachine& m = make();
    const auto actions = m.adopt(true, 4);
    CHECK(has(actions, Do::kPrepare));
    CHECK(has(actions, Do::kProbe));
    CHECK_FALSE(has(actions, Do::kSpawn));
    CHECK(m.state() == InstanceState::kReady);
    CHECK(m.restarts() == 4);
    SECTION("it goes on") {
        CHECK(m.on_prepared().empty());
        CHECK(m.on_probe(true, "HTTP 200").size() == 1);
        CHECK(has(m.stop(), Do::kTerminate));
    }
    SECTION("it ended meanwhile, and its bundle is there") {
        m.on_prepared();
        CHECK(delay(m.on_exit(exited(5)), TimerKind::kPhase) == 0s);
        CHECK(has(m.on_timer(TimerKind::kPhase), Do::kSpawn));
        CHECK(m.exit_code() == 5);
    }
    SECTION("it ended, and has to be prepared first") {
        m.on_exit(exited(5));
        CHECK(has(m.on_timer(TimerKind::kPhase), Do::kPrepare));
        CHECK(has(m.on_prepared(), Do::kSpawn));
        CHECK(m.on_prepared().empty());
    }
}

TEST_CASE_METHOD(Machine, "one_that_was_not_ready_is_adopted_starting") {
    settings.has_probe = true;
    InstanceMachine& m = make();
    const auto actions = m.adopt(false, 0);
    CHECK(m.state() == InstanceState::kStarting);
    CHECK(has(actions, Do::kProbe));
    m.on_probe(true, "HTTP 200");
    CHECK(m.state() == InstanceState::kReady);
}

TEST_CASE_METHOD(Machine,
                 "the_backoff_doubles_to_its_maximum_and_starts_anew_after_a_healthy_time") {
    InstanceMachine& m = ready();
    CHECK(delay(m.on_exit(exited(1)), TimerKind::kPhase) == 0s);  // the first is at once
    m.on_timer(TimerKind::kPhase);
    m.on_spawned();
    m.on_probe(true, "");
    Duration nominal = InstanceMachine::kBackoffMin;
    for (int i = 0; i < 12; ++i) {
        const Duration pause = delay(m.on_exit(exited(1)), TimerKind::kPhase);
        CHECK(pause <= nominal);
        CHECK(pause > nominal * 3 / 4);
        nominal = std::min(InstanceMachine::kBackoffMax, nominal * 2);
        m.on_timer(TimerKind::kPhase);
        m.on_spawned();
        m.on_probe(true, "");
    }
    m.on_timer(TimerKind::kHealthy);
    CHECK(delay(m.on_exit(exited(1)), TimerKind::kPhase) == 0s);
    CHECK(m.restarts() == 14);
    CHECK(m.last_exit() == "exit code 1");
    CHECK(m.exit_code() == 1);
}

TEST_CASE_METHOD(Machine, "starts_that_come_to_nothing_are_reported_as_failed_and_tried_further") {
    InstanceMachine& m = starting();
    for (uint32_t i = 1; i < InstanceMachine::kFailedStarts; ++i) {
        m.on_exit(exited(1));
        CHECK(m.state() == InstanceState::kStarting);
        // What it was given may be what is wrong.
        CHECK(has(m.on_timer(TimerKind::kPhase), Do::kPrepare));
        CHECK(m.state() == InstanceState::kStarting);
        CHECK(has(m.on_prepared(), Do::kSpawn));
        m.on_spawned();
    }
    m.on_exit(exited(1));
    CHECK(m.state() == InstanceState::kFailed);
    CHECK(m.cause() == "it ended before it was ready with exit code 1");
    CHECK(has(m.on_timer(TimerKind::kPhase), Do::kPrepare));
    CHECK(has(m.on_prepared(), Do::kSpawn));
    m.on_spawned();
    CHECK(m.state() == InstanceState::kFailed);
    m.on_probe(true, "HTTP 200");
    CHECK(m.state() == InstanceState::kReady);
    // It was right: a crash costs no preparation.
    m.on_exit(exited(1));
    CHECK(has(m.on_timer(TimerKind::kPhase), Do::kSpawn));
}

TEST_CASE_METHOD(Machine, "a_start_that_takes_too_long_fails_with_the_probes_answer") {
    InstanceMachine& m = starting();
    m.on_probe(false, "HTTP 503");
    CHECK(has(m.on_timer(TimerKind::kPhase), Do::kTerminate));
    CHECK(m.state() == InstanceState::kFailed);
    CHECK(m.cause() == "not ready within 30s: HTTP 503");
    m.on_exit(ExitStatus{0, 15});
    CHECK(m.state() == InstanceState::kFailed);
    CHECK(m.cause() == "not ready within 30s: HTTP 503");
}

TEST_CASE_METHOD(Machine, "what_can_not_be_prepared_fails_unless_it_may_pass") {
    InstanceMachine& m = make();
    m.start();
    SECTION("the lighthouse is away") {
        const auto actions = m.on_prepare_failed(Error(Code::kUnreachable, "nobody there"));
        CHECK(m.state() == InstanceState::kPending);
        CHECK(delay(actions, TimerKind::kPhase) > 0ms);
    }
    SECTION("the bundle is rotten") {
        m.on_prepare_failed(Error(Code::kCorrupt, "bad digest"));
        CHECK(m.state() == InstanceState::kFailed);
        CHECK(m.cause() == "bad digest");
    }
    CHECK(has(m.on_timer(TimerKind::kPhase), Do::kPrepare));
}

TEST_CASE_METHOD(Machine, "a_program_that_is_missing_fails_at_once") {
    InstanceMachine& m = make();
    m.start();
    m.on_prepared();
    m.on_spawn_failed(Error(Code::kNotFound, "no such program"));
    CHECK(m.state() == InstanceState::kFailed);
    CHECK(has(m.on_timer(TimerKind::kPhase), Do::kPrepare));
    CHECK(has(m.on_prepared(), Do::kSpawn));
}

TEST_CASE_METHOD(Machine, "stop_asks_then_kills_then_cleans_up") {
    InstanceMachine& m = ready();
    auto actions = m.stop();
    CHECK(has(actions, Do::kTerminate));
    CHECK(m.state() == InstanceState::kStopping);
    CHECK(m.stop().empty());
    CHECK(has(m.on_timer(TimerKind::kPhase), Do::kKill));
    actions = m.on_exit(ExitStatus{0, 9});
    CHECK(has(actions, Do::kKill));
    CHECK(has(actions, Do::kCleanUp));
    CHECK(m.state() == InstanceState::kExited);
    CHECK(m.is_over());
    CHECK(m.on_probe(true, "").empty());
    CHECK(m.on_timer(TimerKind::kPhase).empty());
}

TEST_CASE_METHOD(Machine, "stop_ends_what_does_not_run_at_once") {
    SECTION("while preparing") {
        InstanceMachine& m = make();
        m.start();
        CHECK(has(m.stop(), Do::kCleanUp));
        CHECK(m.on_prepared().empty());
        CHECK(m.state() == InstanceState::kExited);
    }
    SECTION("while backing off") {
        InstanceMachine& m = ready();
        m.on_exit(exited(1));
        CHECK(has(m.stop(), Do::kCleanUp));
        CHECK(m.on_timer(TimerKind::kPhase).empty());
    }
    SECTION("while being restarted") {
        InstanceMachine& m = starting();
        m.on_timer(TimerKind::kPhase);
        m.stop();
        CHECK(has(m.on_exit(exited(0)), Do::kCleanUp));
        CHECK(m.state() == InstanceState::kExited);
    }
}

TEST_CASE_METHOD(Machine, "a_draining_instance_serves_on_and_is_not_restarted") {
    InstanceMachine& m = ready();
    CHECK(has(m.set_draining(), Do::kReport));
    CHECK(m.state() == InstanceState::kDraining);
    CHECK(has(m.on_exit(exited(0)), Do::kCleanUp));
    CHECK(m.state() == InstanceState::kExited);
}

TEST_CASE_METHOD(Machine, "a_job_runs_once") {
    settings.is_job = true;
    InstanceMachine& m = make();
    m.start();
    m.on_prepared();
    m.on_spawned();
    SECTION("to its end") {
        CHECK(has(m.on_exit(exited(0)), Do::kCleanUp));
        CHECK(m.state() == InstanceState::kExited);
    }
    SECTION("and fails") {
        CHECK(has(m.on_exit(exited(3)), Do::kCleanUp));
        CHECK(m.state() == InstanceState::kFailed);
        CHECK(m.exit_code() == 3);
        CHECK(m.cause() == "the job ended with exit code 3");
    }
    SECTION("and is killed") {
        m.on_exit(ExitStatus{0, 9});
        CHECK(m.exit_code() == 137);
    }
    CHECK(m.is_over());
    CHECK(m.restarts() == 0);
}

TEST_CASE_METHOD(Machine, "a_job_that_ended_in_an_earlier_life_is_not_run_again") {
    InstanceMachine& m = make();
    CHECK_FALSE(has(m.resume_ended(0), Do::kSpawn));
    CHECK(m.state() == InstanceState::kExited);
    InstanceMachine& other = make();
    other.resume_ended(2);
    CHECK(other.state() == InstanceState::kFailed);
}

}  // namespace
}  // namespace candela::host
