#include "job_planner.h"

#include "assignment_book.h"
#include "planner_world.h"

namespace candela::lighthouse {
namespace {

using service::Job;

const JobKey kReport{"default", "web", "report"};

WallTime at(int day, int hour, int minute, int second = 0) {
    const std::chrono::sys_days date =
        std::chrono::year(2026) / std::chrono::month(3) / std::chrono::day(day);
    return WallTime(std::chrono::duration_cast<WallTime::duration>(date.time_since_epoch()) +
                    std::chrono::hours(hour) + std::chrono::minutes(minute) +
                    std::chrono::seconds(second));
}

// A service that serves, with one job, and a clock that the test moves.
class Jobbing : public World {
public:
    Jobbing() { deploy(Job()); }

    void deploy(Job job) {
        job.name = "report";
        job.command = {"./report"};
        Release next;
        next.manifest.name = "web";
        next.manifest.jobs = {std::move(job)};
        apply(start_release(wanted, kWeb, std::move(next), now, wall), wanted, seen);
        Service& service = wanted.services.at(kWeb);
        service.stable = service.target;
        service.find(service.target)->rollout = Rollout::kDone;
    }
    void with(const std::function<void(Job&)>& change) {
        Service& service = wanted.services.at(kWeb);
        change(service.find(service.stable)->manifest.jobs.front());
    }
    // Plans until there is nothing more to do.
    void settle_jobs() {
        for (int round = 0; round < 20; ++round) {
            auto make_id = [&](const ServiceKey&) { return fmt::format("i{}", ++ids); };
            const Change change = planner->plan(wanted, seen, now, wall, limits, make_id);
            if (change.empty()) return;
            apply(change, wanted, seen);
        }
        FAIL("the job planner never comes to rest");
    }
    void pass_both(Duration time) {
        pass(time);
        wall += time;
        settle_jobs();
    }
    void go_to(WallTime time) {
        wall = time;
        settle_jobs();
    }
    // A restart of the lighthouse: what is not in SQL is gone.
    void restart() {
        planner = std::make_unique<JobPlanner>(find_zone);
        begin_anew(wanted, seen, now);
        seen.listening_since = now;
        pass(0s);
    }
    void ends(const std::string& id, int code) {
        proto::InstanceStatus status;
        status.instance = id;
        status.state = code == 0 ? InstanceState::kExited : InstanceState::kFailed;
        status.exit_code = code;
        status.last_exit = fmt::format("exit {}", code);
        sight(seen.instances[id], status, now);
        settle_jobs();
    }
    void runs(const std::string& id) {
        is(id, InstanceState::kReady);
        settle_jobs();
    }
    Result<> start(std::vector<std::string> arguments = {}) {
        JobRun run;
        run.author = "ada";
        run.arguments = std::move(arguments);
        CANDELA_TRY_ASSIGN(const Change change, start_run(wanted, kReport, run, wall));
        apply(change, wanted, seen);
        settle_jobs();
        return {};
    }
    const JobState& job() const { return wanted.jobs.at(kReport); }
    const JobRun& run(uint64_t number) const { return job().runs.at(number); }
    // "done failed waiting"
    std::string states() const {
        std::string text;
        for (const auto& [number, each] : job().runs) {
            if (!text.empty()) text += ' ';
            text += to_string(each.state);
        }
        return text;
    }

    WallTime wall = at(1, 0, 0);
    JobPlanner::FindZone find_zone = [](const std::string& name) {
        return std::make_shared<const TimeZone>(
            name == "UTC" ? TimeZone()
                          : TimeZone::parse_rule("CET-1CEST,M3.5.0,M10.5.0/3").value());
    };
    std::unique_ptr<JobPlanner> planner = std::make_unique<JobPlanner>(find_zone);
};

TEST_CASE_METHOD(Jobbing, "a_run_by_hand_is_placed_with_its_arguments_and_ends_with_its_status") {
    settle_jobs();
    REQUIRE(start({"--month", "3"}));
    CHECK(run(1).state == RunState::kRunning);
    const std::string id = run(1).instance;
    const proto::Assignments told = [&] {
        AssignmentBook assignments(1);
        return assignments.answer(wanted.instances.at(id).node, 0, wanted);
    }();
    REQUIRE(told.instances.size() == 1);
    CHECK(told.instances[0].kind == "job");
    CHECK(told.instances[0].command == std::vector<std::string>{"./report", "--month", "3"});
    CHECK(told.instances[0].env.back().name == "CANDELA_JOB_ATTEMPT");
    runs(id);
    ends(id, 0);
    CHECK(run(1).state == RunState::kDone);
    CHECK(run(1).exit_code == 0);
    CHECK(wanted.instances.empty());
    REQUIRE(start());
    ends(run(2).instance, 7);
    CHECK(run(2).state == RunState::kFailed);
    CHECK(run(2).exit_code == 7);
    CHECK(run(2).cause == "exit 7");
}

TEST_CASE_METHOD(Jobbing, "a_schedule_runs_each_time_once_whatever_restarts_do") {
    with([](Job& job) { job.schedule = "*/5 * * * *"; });
    go_to(at(1, 0, 3));
    CHECK(job().runs.empty());
    for (int minute = 5; minute <= 15; minute += 5) {
        go_to(at(1, 0, minute));
        restart();
        go_to(at(1, 0, minute, 1));
        CHECK(run(job().last_number).scheduled_at == at(1, 0, minute));
        ends(run(job().last_number).instance, 0);
        restart();
        settle_jobs();
    }
    CHECK(states() == "done done done");
}

TEST_CASE_METHOD(Jobbing, "a_clock_that_jumps_back_runs_no_time_again") {
    with([](Job& job) { job.schedule = "*/5 * * * *"; });
    settle_jobs();
    go_to(at(1, 0, 5));
    ends(run(1).instance, 0);
    go_to(at(1, 0, 4));
    go_to(at(1, 0, 5));
    go_to(at(1, 0, 9));
    CHECK(states() == "done");
    go_to(at(1, 0, 10));
    CHECK(job().runs.size() == 2);
    ends(run(2).instance, 0);
    // A day ahead and back: what was decided stays so, until somebody says otherwise.
    go_to(at(2, 0, 0));
    ends(run(job().last_number).instance, 0);
    const auto count = job().last_number;
    go_to(at(1, 0, 15));
    CHECK(job().last_number == count);
    apply(set_job_paused(wanted, kReport, false, "ada", wall), wanted, seen);
    go_to(at(1, 0, 20));
    CHECK(job().last_number == count + 1);
}

TEST_CASE_METHOD(Jobbing, "missed_times_are_skipped_but_for_one_that_is_not_too_late") {
    with([](Job& job) {
        job.schedule = "0 * * * *";
        job.missed_within = 10min;
    });
    settle_jobs();
    go_to(at(1, 5, 30));
    CHECK(states() == "skipped");
    CHECK(run(1).scheduled_at == at(1, 5, 0));
    CHECK(run(1).cause == "missed: nobody could start it for 30m");
    go_to(at(1, 9, 8));
    CHECK(states() == "skipped running");
    CHECK(run(2).scheduled_at == at(1, 9, 0));
}

TEST_CASE_METHOD(Jobbing, "one_run_makes_up_for_all_missed_times_where_the_job_says_so") {
    with([](Job& job) {
        job.schedule = "* * * * *";
        job.missed = service::Missed::kOnce;
    });
    settle_jobs();
    go_to(at(31, 12, 30, 30));
    CHECK(states() == "running");
    CHECK(run(1).scheduled_at == at(31, 12, 30));
}

TEST_CASE_METHOD(Jobbing, "times_are_those_of_the_zone_over_changes_of_its_clocks") {
    with([](Job& job) {
        job.schedule = "30 2 * * *";
        job.time_zone = "Europe/Berlin";
    });
    wall = at(28, 12, 0);
    settle_jobs();
    go_to(at(29, 0, 59));
    CHECK(job().runs.empty());
    go_to(at(29, 1, 0));  // when the clocks have skipped it
    CHECK(states() == "running");
    ends(run(1).instance, 0);
    go_to(at(30, 0, 30));
    CHECK(states() == "done running");
}

TEST_CASE_METHOD(Jobbing, "overlap_is_forbidden_allowed_or_replaces") {
    with([](Job& job) { job.schedule = "* * * * *"; });
    settle_jobs();
    go_to(at(1, 0, 1));
    SECTION("forbidden") {
        go_to(at(1, 0, 2));
        CHECK(states() == "running skipped");
        CHECK(run(2).cause == "run 1 had not ended");
        const auto refused = start();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code() == Code::kConflict);
    }
    SECTION("allowed, up to a limit") {
        with([](Job& job) { job.overlap = service::Overlap::kAllow; });
        for (int minute = 2; minute <= static_cast<int>(kActiveRunsMax) + 1; ++minute) {
            go_to(at(1, 0, minute));
        }
        CHECK(active_count(job()) == kActiveRunsMax);
        CHECK(run(kActiveRunsMax + 1).state == RunState::kSkipped);
        CHECK(start().error().code() == Code::kExhausted);
    }
    SECTION("replaced: the new one begins when the old one has ended") {
        with([](Job& job) { job.overlap = service::Overlap::kReplace; });
        runs(run(1).instance);
        go_to(at(1, 0, 2));
        CHECK(states() == "running waiting");
        CHECK(wanted.instances.at(run(1).instance).stage == Stage::kStopping);
        ends(run(1).instance, 143);
        CHECK(states() == "cancelled running");
        CHECK(run(1).cause == "replaced by run 2");
    }
}

TEST_CASE_METHOD(Jobbing, "failed_attempts_are_retried_with_growing_pauses_and_then_no_more") {
    with([](Job& job) {
        job.retries = 2;
        job.backoff = 10s;
    });
    settle_jobs();
    REQUIRE(start());
    ends(run(1).instance, 1);
    CHECK(run(1).state == RunState::kWaiting);
    pass_both(9s);
    CHECK(run(1).attempt == 1);
    pass_both(1s);
    CHECK(run(1).attempt == 2);
    ends(run(1).instance, 1);
    pass_both(19s);
    CHECK(run(1).attempt == 2);
    pass_both(1s);
    CHECK(run(1).attempt == 3);
    ends(run(1).instance, 5);
    CHECK(run(1).state == RunState::kFailed);
    CHECK(run(1).exit_code == 5);
}

TEST_CASE_METHOD(Jobbing, "a_lost_host_is_a_failed_attempt") {
    with([](Job& job) { job.retries = 1; });
    host("c");
    settle_jobs();
    REQUIRE(start());
    const std::string first = run(1).instance;
    const std::string node = wanted.instances.at(first).node;
    runs(first);
    silent.insert(node);
    pass_both(30s);
    CHECK(run(1).state == RunState::kWaiting);
    CHECK(run(1).cause == "its host " + node + " was lost");
    CHECK_FALSE(wanted.instances.contains(first));
    pass_both(10s);
    CHECK(run(1).state == RunState::kRunning);
    CHECK(wanted.instances.at(run(1).instance).node != node);
    ends(run(1).instance, 0);
    CHECK(run(1).state == RunState::kDone);
}

TEST_CASE_METHOD(Jobbing, "an_attempt_that_takes_too_long_is_stopped_and_counts_as_failed") {
    with([](Job& job) { job.timeout = 1min; });
    settle_jobs();
    REQUIRE(start());
    runs(run(1).instance);
    pass_both(59s);
    CHECK(wanted.instances.at(run(1).instance).stage == Stage::kRun);
    pass_both(2s);
    CHECK(wanted.instances.at(run(1).instance).stage == Stage::kStopping);
    ends(run(1).instance, 0);  // it has ended well, but too late
    CHECK(run(1).state == RunState::kFailed);
    CHECK(run(1).cause == "timed out after 1m");
}

TEST_CASE_METHOD(Jobbing, "a_cancelled_run_is_not_tried_again") {
    with([](Job& job) { job.retries = 5; });
    settle_jobs();
    REQUIRE(start());
    runs(run(1).instance);
    apply(*cancel_run(wanted, kReport, 1, "bob"), wanted, seen);
    settle_jobs();
    ends(run(1).instance, 143);
    CHECK(run(1).state == RunState::kCancelled);
    CHECK(run(1).cause == "cancelled by bob");
    CHECK(cancel_run(wanted, kReport, 1, "bob").error().code() == Code::kConflict);
    CHECK(cancel_run(wanted, kReport, 9, "bob").error().code() == Code::kNotFound);
}

TEST_CASE_METHOD(Jobbing, "a_paused_schedule_makes_up_for_nothing") {
    with([](Job& job) {
        job.schedule = "* * * * *";
        job.missed = service::Missed::kOnce;
    });
    settle_jobs();
    apply(set_job_paused(wanted, kReport, true, "ada", wall), wanted, seen);
    go_to(at(1, 1, 0, 30));
    CHECK(job().runs.empty());
    REQUIRE(start());  // by hand it runs
    ends(run(1).instance, 0);
    apply(set_job_paused(wanted, kReport, false, "ada", wall), wanted, seen);
    settle_jobs();
    CHECK(states() == "done");
    go_to(at(1, 1, 1));
    CHECK(run(2).scheduled_at == at(1, 1, 1));
}

TEST_CASE_METHOD(Jobbing, "history_is_bounded_and_skipped_runs_push_no_others_out") {
    with([](Job& job) {
        job.schedule = "* * * * *";
        job.history = 3;
    });
    settle_jobs();
    for (int minute = 1; minute <= 5; ++minute) {
        go_to(at(1, 0, minute));
        ends(run(job().last_number).instance, 0);
    }
    CHECK(states() == "done done done");
    go_to(at(1, 0, 6));
    for (int minute = 7; minute <= 20; ++minute) go_to(at(1, 0, minute));
    CHECK(states() == "done done done running skipped skipped skipped");
}

TEST_CASE_METHOD(Jobbing, "a_deleted_service_waits_for_its_runs_and_takes_its_jobs_along") {
    settle_jobs();
    REQUIRE(start());
    const std::string id = run(1).instance;
    runs(id);
    apply(delete_service(web()), wanted, seen);
    settle_jobs();
    settle();
    CHECK(wanted.services.contains(kWeb));
    CHECK(wanted.instances.at(id).stage == Stage::kStopping);
    ends(id, 143);
    settle();
    CHECK(wanted.services.empty());
    CHECK(wanted.jobs.empty());
}

TEST_CASE_METHOD(Jobbing,
                 "a_job_that_no_release_has_any_more_is_forgotten_when_its_run_has_ended") {
    settle_jobs();
    REQUIRE(start());
    const std::string id = run(1).instance;
    Release next;
    next.manifest.name = "web";
    apply(start_release(wanted, kWeb, std::move(next), now, wall), wanted, seen);
    wanted.services.at(kWeb).stable = 2;
    settle_jobs();
    CHECK(run(1).state == RunState::kRunning);
    CHECK(start().error().code() == Code::kNotFound);
    ends(id, 0);
    CHECK(wanted.jobs.empty());
}

TEST_CASE_METHOD(Jobbing, "attempts_of_jobs_are_no_instances_of_their_service") {
    settle_jobs();
    wanted.services.at(kWeb).find(1)->manifest.routes = {service::Route("web.localhost", "/")};
    REQUIRE(start());
    runs(run(1).instance);
    CHECK(settle().empty());
    CHECK(book.table().services.at(0).endpoints.empty());
}

TEST_CASE_METHOD(Jobbing, "what_has_no_room_waits_and_says_why") {
    silent = {"a", "b"};
    pass(1min);
    settle_jobs();
    REQUIRE(start());
    CHECK(run(1).state == RunState::kWaiting);
    CHECK(planner->waiting_for(kReport).find("are away") != std::string::npos);
}

}  // namespace
}  // namespace candela::lighthouse
