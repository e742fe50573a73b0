#include "process_driver.h"

#include <signal.h>

#include <optional>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "line_splitter.h"
#include "loop/uv_loop.h"

namespace candela::host {
namespace {

struct Children : RunningHandler {
    InProcessHub hub;
    UvLoop loop{hub};
    ProcessDriver driver{loop};
    std::string out;
    std::optional<ExitStatus> status;
    std::unique_ptr<Running> running;

    virtual ~Children() = default;
    void on_output(OutputKind, std::string_view bytes) override { out += bytes; }
    void on_exit(const ExitStatus& s) override { status = s; }

    void shell(std::string script) {
        StartRequest request;
        request.command = {"/bin/sh", "-c", std::move(script)};
        request.environment = {"PATH=/usr/bin:/bin"};
        auto started = driver.start(request, *this);
        REQUIRE(started.has_value());
        running = std::move(*started);
    }
    bool until_exit() {
        return loop.run_until([this] { return status.has_value(); }, 20s);
    }
    bool until_said(std::string_view text) {
        return loop.run_until([&] { return out.find(text) != std::string::npos; }, 20s);
    }
    // The pid that the script printed behind "pid=".
    int printed_pid() const { return std::stoi(out.substr(out.find("pid=") + 4)); }
};

bool is_running(int pid) {
    const std::string path = fmt::format("/proc/{}/stat", pid);
    FILE* file = fopen(path.c_str(), "r");
    if (file == nullptr) return false;
    char line[512] = {};
    const bool is_read = fgets(line, sizeof(line), file) != nullptr;
    fclose(file);
    // A zombie waits for an init that a container may lack.
    return is_read && std::string_view(line).find(") Z ") == std::string_view::npos;
}

TEST_CASE_METHOD(Children, "all_output_comes_before_the_end") {
    shell("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo last; exit 7");
    REQUIRE(until_exit());
    CHECK(status->code == 7);
    CHECK(out.ends_with("line 1999\nlast\n"));
}

TEST_CASE_METHOD(Children, "ten_megabytes_without_a_line_end_take_little_memory") {
    std::string line;
    LineSplitter splitter([&](std::string_view text) { line = text; });
    struct Counting final : RunningHandler {
        explicit Counting(LineSplitter& s) : splitter(s) {}
        void on_output(OutputKind, std::string_view bytes) override {
            total += bytes.size();
            splitter.feed(bytes);
        }
        void on_exit(const ExitStatus& s) override { status = s; }
        LineSplitter& splitter;
        size_t total = 0;
        std::optional<ExitStatus> status;
    } counting(splitter);
    StartRequest request;
    request.command = {"/bin/sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x"};
    request.environment = {"PATH=/usr/bin:/bin"};
    const auto started = driver.start(request, counting);
    REQUIRE(started.has_value());
    REQUIRE(loop.run_until([&] { return counting.status.has_value(); }, 20s));
    splitter.finish();
    CHECK(counting.total == 10'000'000);
    CHECK(line.size() <= LineSplitter::kLineMax);
}

TEST_CASE_METHOD(Children, "terminate_is_heard_and_may_take_its_time") {
    // The shell tells on its stderr, a pipe of its own, that its sleep was terminated, too.
    shell("exec 2>/dev/null; trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done");
    REQUIRE(until_said("up"));
    running->terminate();
    REQUIRE(until_exit());
    CHECK(status->ok());
    CHECK(out.ends_with("bye\n"));
}

TEST_CASE_METHOD(Children, "what_ignores_terminate_is_killed") {
    shell("trap '' TERM; echo up; while :; do sleep 0.01; done");
    REQUIRE(until_said("up"));
    running->terminate();
    bool asked = false;
    Timer timer(loop.timers(), [&] { asked = true; });
    timer.start(50ms);
    REQUIRE(loop.run_until([&] { return asked; }, 20s));
    CHECK_FALSE(status.has_value());
    running->kill();
    REQUIRE(until_exit());
    CHECK(status->signal == SIGKILL);
}

TEST_CASE_METHOD(Children, "no_child_survives_the_end_of_its_leader") {
    shell("sleep 1000 & echo pid=$!; exit 1");
    REQUIRE(until_exit());
    const int child = printed_pid();
    Timer again(loop.timers(), [&] { again.start(5ms); });
    again.start(5ms);
    CHECK(loop.run_until([&] { return !is_running(child); }, 20s));
}

TEST_CASE_METHOD(Children, "children_have_the_grace_time_too") {
    // The leader ends at once; its child says good-bye a moment later.
    shell(
        "(trap 'sleep 0.1; echo child done; exit 0' TERM; echo up; while :; do sleep 0.01; done) & wait");
    REQUIRE(until_said("up"));
    running->terminate();
    REQUIRE(until_exit());
    CHECK(out.find("child done") != std::string::npos);
}

TEST_CASE_METHOD(Children, "letting_go_kills_and_reaps") {
    shell("sleep 1000 & echo pid=$!; wait");
    REQUIRE(until_said("pid="));
    const int leader = running->pid();
    const int child = printed_pid();
    running.reset();
    Timer again(loop.timers(), [&] { again.start(5ms); });
    again.start(5ms);
    CHECK(loop.run_until([&] { return driver.process_count() == 0; }, 20s));
    CHECK(::kill(leader, 0) != 0);
    CHECK(loop.run_until([&] { return !is_running(child); }, 20s));
    CHECK_FALSE(status.has_value());
}

TEST_CASE_METHOD(Children, "a_missing_program_is_an_error") {
    StartRequest request;
    request.command = {"/no/such/program"};
    CHECK(driver.start(request, *this).error().code() == Code::kNotFound);
    CHECK(driver.process_count() == 0);
}

}  // namespace
}  // namespace candela::host
