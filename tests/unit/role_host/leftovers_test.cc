#include "leftovers.h"

#include <signal.h>

#include <catch2/catch_test_macros.hpp>

#include "loop/process.h"
#include "loop/uv_loop.h"
#include "process_table.h"
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

    std::unique_ptr<Process> start(Silent& handler, std::string run_id, std::string instance) {
        SpawnOptions options;
        options.command = {"/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.01; done"};
        options.environment = {"PATH=/usr/bin:/bin", "CANDELA_RUN_ID=" + run_id,
                               "CANDELA_INSTANCE=" + instance};
        auto process = Process::spawn(loop, options, handler);
        REQUIRE(process.has_value());
        REQUIRE(loop.run_until([&] { return handler.out.find("up\n") != std::string::npos; }, 20s));
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

TEST_CASE_METHOD(Leftovers, "what_is_left_of_one_instance_is_ended_and_nothing_else") {
    const std::string ours = load_run_id(folder.path()).value();
    Silent one, other_instance, other_folder;
    const auto mine = start(one, ours, "hello-1");
    const auto sister = start(other_instance, ours, "hello-2");
    const auto stranger = start(other_folder, "of-another-folder", "hello-1");
    CHECK(end_leftovers(ours, "hello-1") >= 1);
    REQUIRE(loop.run_until([&] { return one.status.has_value(); }, 20s));
    CHECK(one.status->signal == SIGKILL);
    CHECK(::kill(sister->pid(), 0) == 0);
    CHECK(::kill(stranger->pid(), 0) == 0);
    REQUIRE(sister->signal_group(SIGKILL));
    REQUIRE(stranger->signal_group(SIGKILL));
    CHECK(end_leftovers(ours, "hello-1") == 0);
}

}  // namespace
}  // namespace candela::host
