#include "leftovers.h"

#include <signal.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "loop/file.h"
#include "loop/process.h"
#include "loop/uv_loop.h"
#include "temp_folder.h"

namespace candela::host {
namespace {

struct Silent final : ProcessHandler {
    void on_output(OutputKind, std::string_view bytes) override { out += bytes; }
    void on_exit(const ExitStatus& s) override { status = s; }
    std::string out;
    std::optional<ExitStatus> status;
};

struct Leftovers {
    test::TempFolder folder;
    InProcessHub hub;
    UvLoop loop{hub};
    Silent handler;

    std::unique_ptr<Process> start(std::string script, std::string run_id) {
        SpawnOptions options;
        options.command = {"/bin/sh", "-c", std::move(script)};
        options.environment = {"PATH=/usr/bin:/bin", "CANDELA_RUN_ID=" + run_id};
        auto process = Process::spawn(loop, options, handler);
        REQUIRE(process.has_value());
        REQUIRE(
            loop.run_until([this] { return handler.out.find("up\n") != std::string::npos; }, 20s));
        return std::move(*process);
    }
};

TEST_CASE_METHOD(Leftovers, "the_run_id_is_drawn_once_for_a_folder") {
    const auto first = load_run_id(folder.path());
    REQUIRE(first.has_value());
    CHECK(load_run_id(folder.path()).value() == *first);
    const test::TempFolder other;
    CHECK(load_run_id(other.path()).value() != *first);
}

TEST_CASE_METHOD(Leftovers, "processes_of_this_folder_are_ended_and_no_others") {
    const std::string ours = load_run_id(folder.path()).value();
    const auto mine = start("trap '' TERM; echo up; while :; do sleep 0.01; done", ours);
    handler.out.clear();
    Silent other_handler;
    const auto other = start("echo up; exec sleep 1000", "of-another-folder");
    const auto ended = end_leftovers(ours, {}, 50ms);
    REQUIRE(ended.has_value());
    CHECK(*ended >= 1);
    CHECK(::kill(other->pid(), 0) == 0);
    REQUIRE(other->signal_group(SIGKILL));
    CHECK(end_leftovers(ours, {}, 0s).value() == 0);
}

TEST_CASE_METHOD(Leftovers, "a_process_that_hid_its_environment_is_known_by_its_record") {
    const auto process = start("echo up; exec sleep 1000", "hidden");
    REQUIRE(make_directories(folder / "run/hello-1"));
    REQUIRE(record_process(folder / "run/hello-1", process->pid()));
    const auto records = read_records(folder / "run");
    REQUIRE(records.size() == 1);
    CHECK(records[0].pid == process->pid());
    CHECK(end_leftovers("nobody", records, 5s).value() == 1);
}

TEST_CASE_METHOD(Leftovers, "a_pid_that_belongs_to_another_by_now_is_left_alone") {
    auto record = look_up_process(getpid());
    REQUIRE(record.has_value());
    ++record->started;
    CHECK(end_leftovers("nobody", {*record}, 0s).value() == 0);
}

TEST_CASE_METHOD(Leftovers, "broken_records_are_ignored") {
    folder.write("run/a/process", "nonsense");
    folder.write("run/b/process", "1 1");
    folder.write("run/c/other", "");
    CHECK(read_records(folder / "run").empty());
    CHECK(read_records(folder / "missing").empty());
    CHECK_FALSE(look_up_process(1 << 30));
}

}  // namespace
}  // namespace candela::host
