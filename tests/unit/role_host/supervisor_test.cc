#include "supervisor.h"

#include <signal.h>

#include <algorithm>

#include <catch2/catch_test_macros.hpp>

#include "loop/uv_loop.h"
#include "process_driver.h"
#include "temp_folder.h"

namespace candela::host {
namespace {

using proto::InstanceState;
using test::read_text;

// Everything is there at once, or an error.
struct ReadyMade final : Preparer {
    Prepared prepared;
    std::optional<Error> error;
    int prepared_count = 0;
    std::vector<std::string> cleaned;

    Task<Result<Prepared>> prepare(proto::InstanceSpec, OnProgress) override {
        ++prepared_count;
        if (error) co_return fail(*error);
        co_return prepared;
    }
    void clean_up(const std::string& instance) override { cleaned.push_back(instance); }
};

// A supervisor of real processes. Scripts run in `folder`.
struct Supervised {
    test::TempFolder folder;
    InProcessHub hub;
    UvLoop loop{hub};
    ProcessDriver driver{loop, Logger()};
    ReadyMade preparer;
    Ports ports{30100, 30899, loop.random()};
    std::vector<proto::LogBatch> logs;
    LogStreams shipper{loop, log_settings(),
                       [this](std::string_view, std::string_view payload) {
                           logs.push_back(proto::decode_log_batch(payload).value());
                           return true;
                       },
                       Logger()};
    JobRecords jobs{loop, folder / "jobs", Logger()};
    InstanceContext context{loop,    driver,           preparer,        ports,
                            shipper, Logger(),         "node-1",        "nats://127.0.0.1:4222",
                            "run-1", "/proc/self/exe", "/usr/bin:/bin", Walls()};
    int changes = 0;
    std::unique_ptr<Supervisor> supervisor;
    proto::Assignments wanted;

    LogStreamsSettings log_settings() const {
        LogStreamsSettings settings;
        settings.folder = folder / "logs";
        settings.node = "node-1";
        return settings;
    }
    Supervised() {
        ProcessDriverOptions options;
        options.run_folder = folder / "run";
        REQUIRE(driver.open(options).has_value());
        preparer.prepared.bundle_folder = folder.path();
        preparer.prepared.home_folder = folder / "home";
        preparer.prepared.temporary_folder = folder / "tmp";
        preparer.prepared.credentials_file = folder / "bus.creds";
        REQUIRE(jobs.load().has_value());
        make_supervisor(10);
    }
    void make_supervisor(size_t instances_max) {
        supervisor =
            std::make_unique<Supervisor>(context, jobs, instances_max, [this] { ++changes; });
    }
    proto::InstanceSpec& add(std::string name, std::string script, std::string kind = "bus") {
        proto::InstanceSpec& spec = wanted.instances.emplace_back();
        spec.instance = std::move(name);
        spec.space = "default";
        spec.service = "hello";
        spec.release = 4;
        spec.kind = std::move(kind);
        spec.command = {"/bin/sh", "-c", std::move(script)};
        spec.stop_grace_ms = 20'000;
        return spec;
    }
    void apply() {
        ++wanted.version;
        supervisor->apply(wanted);
    }
    InstanceState state(std::string_view name) const {
        const Instance* instance = supervisor->find(name);
        return instance == nullptr ? InstanceState::kUnknown : instance->machine().state();
    }
    bool until(std::string_view name, InstanceState wanted_state) {
        return loop.run_until([&] { return state(name) == wanted_state; }, 30s);
    }
    bool until_logged(std::string_view text) {
        return loop.run_until(
            [&] {
                for (const auto& batch : logs) {
                    for (const auto& entry : batch.entries) {
                        if (entry.text.find(text) != std::string::npos) return true;
                    }
                }
                return false;
            },
            30s);
    }
    static constexpr const char* kForever = "while :; do sleep 0.02; done";
};

TEST_CASE_METHOD(Supervised, "an_instance_finds_what_it_is_in_its_environment_and_nothing_else") {
    auto& spec = add("hello-1", "env > environment; pwd > where; " + std::string(kForever));
    spec.env = {{"GREETING", "hi"}, {"CANDELA_SERVICE", "forged"}};
    apply();
    REQUIRE(until("hello-1", InstanceState::kReady));
    const std::string environment = read_text(folder / "environment");
    const auto has = [&](const std::string& line) {
        return environment.find(line + "\n") != std::string::npos;
    };
    CHECK(has("GREETING=hi"));
    CHECK(has("CANDELA_SPACE=default"));
    CHECK(has("CANDELA_SERVICE=hello"));
    CHECK(has("CANDELA_INSTANCE=hello-1"));
    CHECK(has("CANDELA_RELEASE=4"));
    CHECK(has("CANDELA_NODE=node-1"));
    CHECK(has("CANDELA_BUS_URL=nats://127.0.0.1:4222"));
    CHECK(has("CANDELA_BUS_CREDS=" + (folder / "bus.creds").string()));
    CHECK(has("HOST=127.0.0.1"));
    CHECK(has(fmt::format("PORT={}", supervisor->find("hello-1")->port())));
    CHECK(has("HOME=" + (folder / "home").string()));
    CHECK(has("TMPDIR=" + (folder / "tmp").string()));
    CHECK(environment.find("USER=") == std::string::npos);
    CHECK(read_text(folder / "where") == folder.path().string() + "\n");
}

TEST_CASE_METHOD(Supervised, "what_is_no_longer_assigned_is_stopped_cleaned_up_and_forgotten") {
    add("hello-1", "trap 'echo going; exit 0' TERM; " + std::string(kForever));
    apply();
    REQUIRE(until("hello-1", InstanceState::kReady));
    wanted.instances.clear();
    apply();
    REQUIRE(loop.run_until([this] { return supervisor->find("hello-1") == nullptr; }, 30s));
    CHECK(preparer.cleaned == std::vector<std::string>{"hello-1"});
    CHECK(until_logged("going"));
}

TEST_CASE_METHOD(Supervised, "repeating_the_assignments_changes_nothing") {
    add("hello-1", kForever);
    apply();
    REQUIRE(until("hello-1", InstanceState::kReady));
    const int pid = supervisor->find("hello-1")->pid();
    for (int i = 0; i < 5; ++i) apply();
    CHECK(supervisor->find("hello-1")->pid() == pid);
    CHECK(preparer.prepared_count == 1);
    REQUIRE(supervisor->statuses().size() == 1);
}

TEST_CASE_METHOD(Supervised, "a_killed_instance_comes_back_on_another_port") {
    add("hello-1", kForever);
    apply();
    REQUIRE(until("hello-1", InstanceState::kReady));
    const uint16_t port = supervisor->find("hello-1")->port();
    REQUIRE(::kill(supervisor->find("hello-1")->pid(), SIGKILL) == 0);
    REQUIRE(loop.run_until(
        [this] {
            const Instance* instance = supervisor->find("hello-1");
            return instance->machine().restarts() == 1 && state("hello-1") == InstanceState::kReady;
        },
        30s));
    CHECK(supervisor->find("hello-1")->port() != port);
    const auto status = supervisor->statuses().front();
    CHECK(status.exit_code == 137);
    CHECK(status.last_exit.find("signal 9") != std::string::npos);
    CHECK(preparer.prepared_count == 1);
}

TEST_CASE_METHOD(Supervised, "a_program_that_keeps_ending_is_failed_with_its_last_lines") {
    add("hello-1",
        "i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); done; echo no database >&2; exit 1");
    apply();
    REQUIRE(until("hello-1", InstanceState::kFailed));
    const auto status = supervisor->statuses().front();
    CHECK(status.log_tail.size() == Instance::kTailLines);
    CHECK(std::ranges::find(status.log_tail, "no database") != status.log_tail.end());
    CHECK(std::ranges::find(status.log_tail, "line 0") == status.log_tail.end());
    CHECK(status.cause == "it ended before it was ready with exit code 1");
    CHECK(status.exit_code == 1);
    CHECK(until_logged("ended with exit code 1"));
}

TEST_CASE_METHOD(Supervised, "an_exec_probe_makes_it_ready_and_unready") {
    auto& spec = add("hello-1", kForever);
    spec.probe.kind = proto::ProbeKind::kExec;
    spec.probe.command = {"test", "-f", "well"};
    spec.probe.interval_ms = 20;
    spec.probe.timeout_ms = 10'000;
    spec.probe.start_timeout_ms = 60'000;
    apply();
    REQUIRE(loop.run_until(
        [this] { return !supervisor->find("hello-1")->machine().probe_answer().empty(); }, 30s));
    CHECK(state("hello-1") == InstanceState::kStarting);
    folder.write("well", "");
    REQUIRE(until("hello-1", InstanceState::kReady));
    std::filesystem::remove(folder / "well");
    REQUIRE(until("hello-1", InstanceState::kUnready));
    REQUIRE(loop.run_until(
        [this] { return supervisor->find("hello-1")->machine().restarts() == 1; }, 30s));
}

TEST_CASE_METHOD(Supervised, "a_start_that_takes_too_long_is_failed_and_killed") {
    auto& spec = add("hello-1", "trap '' TERM; " + std::string(kForever));
    spec.probe.kind = proto::ProbeKind::kTcp;
    spec.probe.interval_ms = 20;
    spec.probe.timeout_ms = 1000;
    spec.probe.start_timeout_ms = 150;
    spec.stop_grace_ms = 50;
    apply();
    REQUIRE(until("hello-1", InstanceState::kFailed));
    CHECK(supervisor->statuses().front().cause.starts_with("not ready within 150ms"));
    REQUIRE(loop.run_until(
        [this] { return supervisor->find("hello-1")->machine().restarts() == 1; }, 30s));
}

TEST_CASE_METHOD(Supervised, "a_missing_program_and_a_rotten_bundle_are_failed_with_their_cause") {
    add("hello-1", "").command = {"/no/such/program"};
    apply();
    REQUIRE(until("hello-1", InstanceState::kFailed));
    CHECK(supervisor->statuses().front().cause.find("/no/such/program") != std::string::npos);
    preparer.error = Error(Code::kCorrupt, "the digest differs");
    add("hello-2", kForever);
    apply();
    REQUIRE(until("hello-2", InstanceState::kFailed));
    CHECK(supervisor->statuses().back().cause == "the digest differs");
    wanted.instances.clear();
    apply();
    CHECK(loop.run_until([this] { return supervisor->statuses().empty(); }, 30s));
}

TEST_CASE_METHOD(Supervised, "what_can_not_be_reached_is_tried_again") {
    preparer.error = Error(Code::kUnreachable, "the lighthouse is away");
    add("hello-1", kForever);
    apply();
    REQUIRE(loop.run_until([this] { return preparer.prepared_count == 2; }, 30s));
    CHECK(state("hello-1") == InstanceState::kPending);
    preparer.error.reset();
    CHECK(until("hello-1", InstanceState::kReady));
}

TEST_CASE_METHOD(Supervised, "a_job_runs_once_and_is_not_run_again_after_a_restart_of_the_host") {
    add("job-1", "echo run >> runs", "job");
    apply();
    REQUIRE(until("job-1", InstanceState::kExited));
    // That it has begun is on the disk; how it ended will be.
    REQUIRE(loop.run_until([this] { return read_text(folder / "jobs/job-1") == "0"; }, 30s));
    make_supervisor(10);
    JobRecords again(loop, folder / "jobs", Logger());
    REQUIRE(again.load().has_value());
    Supervisor other(context, again, 10, [] {});
    other.apply(wanted);
    REQUIRE(other.find("job-1") != nullptr);
    CHECK(other.find("job-1")->machine().state() == InstanceState::kExited);
    CHECK(read_text(folder / "runs") == "run\n");
    wanted.instances.clear();
    other.apply(wanted);
    CHECK(loop.run_until([this] { return !std::filesystem::exists(folder / "jobs/job-1"); }, 30s));
}

TEST_CASE_METHOD(Supervised,
                 "a_job_whose_host_ended_in_its_middle_has_failed_and_is_not_run_again") {
    add("job-1", "echo run >> runs; " + std::string(kForever), "job");
    apply();
    REQUIRE(loop.run_until([this] { return std::filesystem::exists(folder / "runs"); }, 30s));
    JobRecords again(loop, folder / "jobs", Logger());
    REQUIRE(again.load());
    CHECK(again.has_begun("job-1"));
    supervisor.reset();
    Supervisor other(context, again, 10, [] {});
    other.apply(wanted);
    REQUIRE(other.find("job-1") != nullptr);
    CHECK(other.find("job-1")->machine().state() == InstanceState::kFailed);
    CHECK(other.find("job-1")->machine().cause() == "its host ended while it ran");
    CHECK(read_text(folder / "runs") == "run\n");
}

TEST_CASE_METHOD(Supervised, "a_job_that_fails_is_failed_with_its_exit_code") {
    add("job-1", "exit 3", "job");
    apply();
    REQUIRE(until("job-1", InstanceState::kFailed));
    CHECK(supervisor->statuses().front().exit_code == 3);
}

TEST_CASE_METHOD(Supervised, "a_draining_instance_is_not_restarted") {
    add("hello-1", kForever);
    apply();
    REQUIRE(until("hello-1", InstanceState::kReady));
    wanted.instances[0].draining = true;
    apply();
    CHECK(state("hello-1") == InstanceState::kDraining);
    REQUIRE(::kill(supervisor->find("hello-1")->pid(), SIGKILL) == 0);
    CHECK(until("hello-1", InstanceState::kExited));
}

TEST_CASE_METHOD(Supervised, "more_instances_than_allowed_are_refused") {
    make_supervisor(1);
    add("hello-1", kForever);
    add("hello-2", kForever);
    apply();
    CHECK(state("hello-2") == InstanceState::kFailed);
    CHECK(supervisor->statuses().back().cause.find("at most 1 instances") != std::string::npos);
    CHECK(until("hello-1", InstanceState::kReady));
}

TEST_CASE_METHOD(Supervised, "names_that_could_leave_their_folder_are_ignored") {
    for (const char* name : {"../evil", "a/b", "", "A", "a b", "x.y", "*"}) add(name, kForever);
    apply();
    CHECK(supervisor->statuses().empty());
}

TEST_CASE_METHOD(Supervised, "draining_the_host_stops_everything") {
    add("hello-1", kForever);
    add("hello-2", "trap '' TERM; " + std::string(kForever)).stop_grace_ms = 50;
    apply();
    REQUIRE(until("hello-1", InstanceState::kReady));
    REQUIRE(until("hello-2", InstanceState::kReady));
    TaskGroup tasks;
    tasks.spawn(supervisor->drain(loop.now() + 60s));
    REQUIRE(loop.run_until([&] { return tasks.size() == 0; }, 30s));
    CHECK(supervisor->running_count() == 0);
    apply();
    CHECK(supervisor->running_count() == 0);
}

TEST_CASE_METHOD(Supervised, "a_supervisor_that_goes_leaves_no_process") {
    add("hello-1", kForever);
    apply();
    REQUIRE(until("hello-1", InstanceState::kReady));
    supervisor.reset();
    CHECK(loop.run_until([this] { return driver.process_count() == 0; }, 30s));
}

}  // namespace
}  // namespace candela::host
