#include "process_driver.h"

#include <signal.h>

#include <fstream>
#include <optional>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "keeper_folder.h"
#include "line_splitter.h"
#include "loop/uv_loop.h"
#include "temp_folder.h"

namespace candela::host {
namespace {

// One instance and a host that may go and come back.
struct Children : RunningHandler {
    test::TempFolder folder;
    InProcessHub hub;
    UvLoop loop{hub};
    std::unique_ptr<ProcessDriver> driver;
    std::string out;
    uint64_t taken = 0;  // position of the last of it; 0 again for another instance
    uint64_t lost_bytes = 0;
    std::optional<ExitStatus> status;
    std::optional<Error> error;
    int started_pid = 0;
    std::unique_ptr<Running> running;
    std::string note;

    Children() { make_driver(); }
    virtual ~Children() = default;
    void on_started(int pid) override { started_pid = pid; }
    void on_start_failed(const Error& e) override { error = e; }
    void on_output(OutputKind, std::string_view bytes) override { out += bytes; }
    // A host that goes may take its last acknowledgement along: what it confirmed comes again.
    bool on_output_at(OutputKind kind, std::string_view bytes, uint64_t position) override {
        if (position <= taken) return true;
        taken = position;
        on_output(kind, bytes);
        return true;
    }
    void on_output_lost(uint64_t bytes) override { lost_bytes += bytes; }
    void on_exit(const ExitStatus& s) override { status = s; }

    void make_driver(bool ends_with_host = false) {
        driver = std::make_unique<ProcessDriver>(loop, Logger());
        ProcessDriverOptions options;
        options.run_folder = folder / "run";
        options.ends_with_host = ends_with_host;
        REQUIRE(driver->open(options).has_value());
    }
    StartRequest request(std::string script) const {
        StartRequest request;
        request.instance = "hello-1";
        request.directory = folder.path();
        request.command = {"/bin/sh", "-c", std::move(script)};
        request.environment = {"PATH=/usr/bin:/bin"};
        return request;
    }
    void shell(std::string script) {
        taken = 0;
        auto started = driver->start(request(std::move(script)), *this);
        REQUIRE(started.has_value());
        running = std::move(*started);
    }
    // The host goes, as after SIGTERM, or as a kill would have it: without a word.
    void leave() {
        driver->let_go();
        running.reset();
        driver.reset();
    }
    // Returns how many were found.
    size_t come_back() {
        make_driver();
        std::optional<Result<std::vector<FoundInstance>>> found;
        TaskGroup tasks;
        tasks.spawn(look(*driver, found));
        REQUIRE(loop.run_until([&] { return found.has_value(); }, 20s));
        REQUIRE(found->has_value());
        if (!(*found)->empty()) {
            note = (*found)->front().note;
            running = driver->adopt((*found)->front().instance, *this);
        }
        return (*found)->size();
    }
    static Task<void> look(ProcessDriver& driver,
                           std::optional<Result<std::vector<FoundInstance>>>& out) {
        auto found = co_await driver.find();
        out.emplace(std::move(found));
    }
    bool until_exit() {
        return loop.run_until([this] { return status.has_value(); }, 20s);
    }
    bool until_said(std::string_view text) {
        return loop.run_until([&] { return out.find(text) != std::string::npos; }, 20s);
    }
    bool until_nothing_is_kept() {
        return until([this] {
            return driver->process_count() == 0 && list_keepers(folder / "run").empty();
        });
    }
    // Something that no event tells of.
    template <class Condition>
    bool until(Condition condition) {
        Timer again(loop.timers(), [&] { again.start(5ms); });
        again.start(5ms);
        return loop.run_until(condition, 20s);
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

int parent_of(int pid) {
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::string text;
    std::getline(file, text);
    return std::stoi(text.substr(text.rfind(')') + 4));
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
        void on_started(int) override {}
        void on_start_failed(const Error&) override {}
        void on_output_lost(uint64_t bytes) override { lost += bytes; }
        void on_exit(const ExitStatus& s) override { status = s; }
        LineSplitter& splitter;
        size_t total = 0;
        uint64_t lost = 0;
        std::optional<ExitStatus> status;
    } counting(splitter);
    const auto started =
        driver->start(request("head -c 10000000 /dev/zero | tr '\\0' x"), counting);
    REQUIRE(started.has_value());
    REQUIRE(loop.run_until([&] { return counting.status.has_value(); }, 20s));
    splitter.finish();
    CHECK(counting.total == 10'000'000);
    CHECK(counting.lost == 0);
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
    CHECK(until([&] { return !is_running(child); }));
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

TEST_CASE_METHOD(Children, "what_left_its_session_ends_with_its_leader_too") {
    shell("setsid sh -c 'setsid sleep 1000 & echo pid=$!; exec sleep 1000' & sleep 0.2; exit 4");
    REQUIRE(until_exit());
    CHECK(status->code == 4);
    CHECK_FALSE(is_running(printed_pid()));
}

TEST_CASE_METHOD(Children, "dropping_it_kills_and_reaps") {
    shell("sleep 1000 & echo pid=$!; wait");
    REQUIRE(until_said("pid="));
    const int leader = running->pid();
    CHECK(leader == started_pid);
    const int child = printed_pid();
    running.reset();
    REQUIRE(until_nothing_is_kept());
    CHECK_FALSE(is_running(leader));
    CHECK_FALSE(is_running(child));
    CHECK_FALSE(status.has_value());
}

TEST_CASE_METHOD(Children, "dropping_it_before_it_started_leaves_nothing") {
    shell("echo up; exec sleep 1000");
    running.reset();
    CHECK(until_nothing_is_kept());
    CHECK(out.empty());
}

TEST_CASE_METHOD(Children, "a_missing_program_is_an_error") {
    StartRequest missing = request("");
    missing.command = {"/no/such/program"};
    auto started = driver->start(missing, *this);
    REQUIRE(started.has_value());
    REQUIRE(loop.run_until([this] { return error.has_value(); }, 20s));
    CHECK(error->code() == Code::kNotFound);
    CHECK(error->message().find("/no/such/program") != std::string::npos);
    CHECK(until_nothing_is_kept());
    missing.command.clear();
    CHECK(driver->start(missing, *this).error().code() == Code::kInvalid);
}

TEST_CASE_METHOD(Children, "a_folder_that_can_not_be_made_is_an_error") {
    folder.write("run", "a file");
    shell("exit 0");
    REQUIRE(loop.run_until([this] { return error.has_value(); }, 20s));
    CHECK_FALSE(status.has_value());
}

TEST_CASE_METHOD(Children, "a_program_gets_no_descriptor_of_ours") {
    shell("ls /proc/self/fd | tr '\\n' ' '");
    REQUIRE(until_exit());
    CHECK(out == "0 1 2 3 ");  // the third is ls's own, of the folder
}

TEST_CASE_METHOD(Children, "the_next_host_finds_it_with_its_note_and_its_output") {
    shell("echo first; while [ ! -e go ]; do sleep 0.01; done; echo second; sleep 1000");
    REQUIRE(until_said("first"));
    const int pid = running->pid();
    running->set_note("of the first host");
    leave();
    CHECK(is_running(pid));
    const auto keepers = list_keepers(folder / "run");
    REQUIRE(keepers.size() == 1);
    folder.write("go", "");
    REQUIRE(come_back() == 1);
    CHECK(running->pid() == pid);
    CHECK(note == "of the first host");
    running->kill();
    REQUIRE(until_exit());
    CHECK(status->signal == SIGKILL);
    CHECK(until_nothing_is_kept());
}

TEST_CASE_METHOD(Children, "output_of_the_time_without_a_host_is_kept_in_order") {
    shell(
        "echo up; i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; echo pid=$$; "
        "exec sleep 1000");
    REQUIRE(until_said("up\n"));
    leave();
    REQUIRE(come_back() == 1);
    REQUIRE(until_said("pid="));
    std::string expected = "up\n";
    for (int i = 0; i < 5000; ++i) expected += fmt::format("line {}\n", i);
    CHECK(out.starts_with(expected));
    CHECK(lost_bytes == 0);
}

TEST_CASE_METHOD(Children, "output_beyond_what_is_kept_drops_the_oldest_and_says_so") {
    shell("echo up; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo done >&2; exit 6");
    REQUIRE(until_said("up\n"));
    leave();
    // It is not blocked by nobody reading: it comes to its end.
    REQUIRE(until([this] {
        const auto places = list_keepers(folder / "run");
        return places.size() == 1 && read_exit_file(places[0].folder).has_value();
    }));
    REQUIRE(come_back() == 1);
    REQUIRE(until_exit());
    CHECK(status->code == 6);
    CHECK(lost_bytes > 10'000'000);
    CHECK(out.find("done\n") != std::string::npos);
    CHECK(out.size() + lost_bytes >= 20'000'000);
}

TEST_CASE_METHOD(Children, "the_exit_status_of_the_time_without_a_host_is_known") {
    shell("echo up; while [ ! -e go ]; do sleep 0.01; done; exit 9");
    REQUIRE(until_said("up"));
    leave();
    folder.write("go", "");
    REQUIRE(until([this] {
        const auto places = list_keepers(folder / "run");
        return places.size() == 1 && read_exit_file(places[0].folder).has_value();
    }));
    REQUIRE(come_back() == 1);
    CHECK(running->pid() == 0);
    REQUIRE(until_exit());
    CHECK(status->code == 9);
    CHECK(until_nothing_is_kept());
    CHECK(come_back() == 0);
}

TEST_CASE_METHOD(Children, "a_keeper_that_was_killed_left_a_status_or_counts_as_killed") {
    shell("echo pid=$$; exec sleep 1000");
    REQUIRE(until_said("pid="));
    const int pid = printed_pid();
    const int keeper = parent_of(pid);
    SECTION("while the host is there") {
        REQUIRE(::kill(keeper, SIGKILL) == 0);
        REQUIRE(until_exit());
    }
    SECTION("while it is away") {
        leave();
        REQUIRE(::kill(keeper, SIGKILL) == 0);
        REQUIRE(until([&] { return !is_running(keeper); }));
        REQUIRE(come_back() == 1);
        REQUIRE(until_exit());
    }
    CHECK(status->signal == SIGKILL);
    CHECK(until([&] { return !is_running(pid); }));
    CHECK(until_nothing_is_kept());
}

TEST_CASE_METHOD(Children, "without_a_host_a_keeper_listens_to_sigterm_and_to_its_grace") {
    auto stubborn = request("trap '' TERM; echo pid=$$; while :; do sleep 0.01; done");
    stubborn.grace = 100ms;
    auto started = driver->start(stubborn, *this);
    REQUIRE(started.has_value());
    running = std::move(*started);
    REQUIRE(until_said("pid="));
    const int pid = printed_pid();
    const int keeper = parent_of(pid);
    leave();
    REQUIRE(::kill(keeper, SIGTERM) == 0);
    CHECK(until([&] { return !is_running(pid); }));
}

TEST_CASE_METHOD(Children, "one_whose_folder_is_gone_ends") {
    shell("echo pid=$$; exec sleep 1000");
    REQUIRE(until_said("pid="));
    const int pid = printed_pid();
    const int keeper = parent_of(pid);
    leave();
    std::filesystem::remove_all(folder / "run");
    CHECK(until([&] { return !is_running(pid) && !is_running(keeper); }));
}

TEST_CASE_METHOD(Children, "one_that_ends_with_its_host_does") {
    running.reset();
    make_driver(true);
    shell("echo pid=$$; exec sleep 1000");
    REQUIRE(until_said("pid="));
    const int pid = printed_pid();
    const int keeper = parent_of(pid);
    // As a kill of the host would: the connection breaks, and nothing is said.
    leave();
    CHECK(until([&] { return !is_running(pid) && !is_running(keeper); }));
}

TEST_CASE_METHOD(Children, "a_program_beside_it_ends_with_it_and_before_it") {
    shell("echo pid=$$; exec sleep 1000");
    REQUIRE(until_said("pid="));
    struct Other final : RunningHandler {
        void on_started(int) override {}
        void on_start_failed(const Error& e) override { error = e; }
        void on_output(OutputKind, std::string_view bytes) override { out += bytes; }
        void on_output_lost(uint64_t) override {}
        void on_exit(const ExitStatus& s) override { status = s; }
        std::string out;
        std::optional<ExitStatus> status;
        std::optional<Error> error;
    } quick, slow, late;
    auto first = running->run_beside(request("echo hi; exit 3"), quick);
    REQUIRE(first.has_value());
    REQUIRE(loop.run_until([&] { return quick.status.has_value(); }, 20s));
    CHECK(quick.status->code == 3);
    CHECK(quick.out == "hi\n");
    auto second = running->run_beside(request("sleep 1000 & echo pid=$!; wait"), slow);
    REQUIRE(loop.run_until([&] { return slow.out.find("pid=") != std::string::npos; }, 20s));
    const int beside = std::stoi(slow.out.substr(4));
    SECTION("it is dropped") {
        second->reset();
        CHECK(until([&] { return !is_running(beside); }));
        CHECK(is_running(printed_pid()));
    }
    SECTION("the instance ends") {
        running->kill();
        REQUIRE(until_exit());
        CHECK(until([&] { return !is_running(beside); }));
        CHECK_FALSE(running->run_beside(request("exit 0"), late).has_value());
    }
}

TEST_CASE_METHOD(Children, "a_keeper_takes_less_than_a_megabyte_of_its_own") {
    shell("echo pid=$$; head -c 3000000 /dev/zero; echo; echo all; exec sleep 1000");
    REQUIRE(until_said("all"));
    const int keeper = parent_of(printed_pid());
    std::ifstream rollup(fmt::format("/proc/{}/smaps_rollup", keeper));
    size_t private_kb = 0;
    for (std::string line; std::getline(rollup, line);) {
        if (!line.starts_with("Private_")) continue;
        private_kb += std::stoul(line.substr(line.find(':') + 1));
    }
    CHECK(private_kb > 0);
    CHECK(private_kb < 1024);
}

}  // namespace
}  // namespace candela::host
