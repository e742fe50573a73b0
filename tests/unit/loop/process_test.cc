#include "loop/process.h"

#include <signal.h>

#include <fstream>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "loop/uv_loop.h"

namespace candela {
namespace {

struct Child final : ProcessHandler {
    void on_output(OutputKind kind, std::string_view bytes) override {
        (kind == OutputKind::kStdout ? out : err) += bytes;
    }
    void on_exit(const ExitStatus& s) override { status = s; }
    std::string out;
    std::string err;
    std::optional<ExitStatus> status;
};

struct Processes {
    InProcessHub hub;
    UvLoop loop{hub};
    Child child;
    SpawnOptions shell(std::string script) {
        SpawnOptions options;
        options.command = {"/bin/sh", "-c", std::move(script)};
        options.environment = {"PATH=/usr/bin:/bin", "GREETING=hi"};
        return options;
    }
};

// Gone, or a zombie: a container's first process may never reap what it inherits.
bool has_ended(const std::string& pid) {
    std::ifstream stat("/proc/" + pid + "/stat");
    std::string line;
    if (!std::getline(stat, line)) return true;
    return line.substr(line.rfind(')') + 1).starts_with(" Z");
}

TEST_CASE_METHOD(Processes, "a_child_sees_its_environment_and_its_output_and_exit_are_seen") {
    const auto process = Process::spawn(loop, shell("echo $GREETING; pwd >&2; exit 3"), child);
    REQUIRE(process.has_value());
    REQUIRE(loop.run_until(
        [&] { return child.status && child.out == "hi\n" && !child.err.empty(); }, 20s));
    CHECK(child.status->code == 3);
    CHECK(child.status->to_string() == "exit code 3");
}

TEST_CASE_METHOD(Processes, "a_child_can_open_its_output_by_name") {
    const auto process =
        Process::spawn(loop, shell("echo out > /dev/stdout; echo err > /dev/stderr"), child);
    REQUIRE(process.has_value());
    REQUIRE(loop.run_until([&] { return child.status && !child.out.empty() && !child.err.empty(); },
                           20s));
    CHECK(child.status->ok());
    CHECK(child.out == "out\n");
    CHECK(child.err == "err\n");
}

TEST_CASE_METHOD(Processes, "a_signal_reaches_the_whole_group") {
    const auto process = Process::spawn(loop, shell("sleep 100 & echo $!; wait"), child);
    REQUIRE(process.has_value());
    REQUIRE(loop.run_until([&] { return child.out.ends_with("\n"); }, 20s));
    child.out.pop_back();
    const std::string sleeper = child.out;
    REQUIRE((*process)->signal_group(SIGKILL).has_value());
    REQUIRE(loop.run_until([&] { return child.status.has_value(); }, 20s));
    CHECK(child.status->signal == SIGKILL);
    // Nothing tells us when the shell's own child has ended, so the test looks again and again.
    Timer again(loop.timers(), [&] { again.start(5ms); });
    again.start(5ms);
    CHECK(loop.run_until([&] { return has_ended(sleeper); }, 20s));
}

TEST_CASE_METHOD(Processes, "a_program_that_does_not_exist_is_an_error_with_its_name") {
    SpawnOptions options;
    options.command = {"/no/such/program"};
    const auto process = Process::spawn(loop, options, child);
    REQUIRE_FALSE(process.has_value());
    CHECK(process.error().code() == Code::kNotFound);
    CHECK(process.error().message().find("/no/such/program") != std::string::npos);
}

TEST_CASE_METHOD(Processes, "a_process_that_is_let_go_does_not_disturb_the_loop") {
    auto process = Process::spawn(loop, shell("sleep 0.05"), child);
    REQUIRE(process.has_value());
    process->reset();
    bool done = false;
    Timer timer(loop.timers(), [&] { done = true; });
    timer.start(100ms);
    CHECK(loop.run_until([&] { return done; }, 20s));
    CHECK_FALSE(child.status.has_value());
}

}  // namespace
}  // namespace candela
