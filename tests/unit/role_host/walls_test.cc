// What a program finds within the walls that this machine can build. As root with a user of its
// own, otherwise in a user namespace; where the kernel has neither there is nothing to test, and
// that is said.

#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "loop/uv_loop.h"
#include "process_driver.h"
#include "seccomp_filter.h"
#include "temp_folder.h"

namespace candela::host {
namespace {

struct Walled : RunningHandler {
    test::TempFolder folder;
    InProcessHub hub;
    UvLoop loop{hub};
    std::unique_ptr<ProcessDriver> driver;
    WallSettings settings;
    std::string out;
    std::optional<ExitStatus> status;
    std::optional<Error> error;
    std::unique_ptr<Running> running;
    int pid = 0;

    Walled() {
        make_driver();
        std::optional<Result<Abilities>> abilities;
        TaskGroup tasks;
        tasks.spawn(look(*driver, abilities));
        REQUIRE(loop.run_until([&] { return abilities.has_value(); }, 20s));
        REQUIRE(abilities->has_value());
        settings.walls = plan_walls(**abilities, geteuid() == 0, {});
        settings.limits = {0, 0, 64, 4 << 20};
        settings.seccomp = make_seccomp_filter().value();
        if (!settings.walls.has_namespaces) SKIP("this kernel lets us make no namespaces");
        driver->set_walls(settings);
        std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
        folder.write("bundle/program", "of the bundle");
        folder.write("secret", "of the host");
    }
    virtual ~Walled() = default;

    void make_driver() {
        driver = std::make_unique<ProcessDriver>(loop, Logger());
        ProcessDriverOptions options;
        options.run_folder = folder / "run";
        options.run_id = "run";
        REQUIRE(driver->open(options).has_value());
    }
    static Task<void> look(ProcessDriver& driver, std::optional<Result<Abilities>>& out) {
        auto found = co_await driver.examine();
        out.emplace(std::move(found));
    }
    void on_started(int p) override { pid = p; }
    void on_start_failed(const Error& e) override { error = e; }
    void on_output(OutputKind, std::string_view bytes) override { out += bytes; }
    void on_output_lost(uint64_t) override {}
    void on_exit(const ExitStatus& s) override { status = s; }

    StartRequest request(std::string script) const {
        StartRequest request;
        request.instance = "hello-1";
        request.directory = folder / "bundle";
        request.readable = {folder / "bundle"};
        request.command = {"/bin/sh", "-c", std::move(script)};
        request.environment = {"PATH=/usr/bin:/bin", "HOME=/tmp/home"};
        return request;
    }
    void start(std::string script) {
        auto started = driver->start(request(std::move(script)), *this);
        REQUIRE(started.has_value());
        running = std::move(*started);
    }
    // What the script printed, to its end.
    std::string run(std::string script) {
        start(std::move(script));
        REQUIRE(loop.run_until([this] { return status || error; }, 30s));
        if (error) FAIL(error->message());
        return out;
    }
    bool until_said(std::string_view text) {
        return loop.run_until([&] { return out.find(text) != std::string::npos || error; }, 20s) &&
               !error;
    }
};

TEST_CASE_METHOD(Walled, "it_sees_its_bundle_and_no_other_file_of_the_host") {
    const std::string secret = folder / "secret";
    CHECK(run("cat program; echo; cat " + secret + " 2>&1; ls /root /home /var 2>&1; ls " +
              folder.path().string())
              .find("of the bundle\n") == 0);
    CHECK(out.find("of the host") == std::string::npos);
    CHECK(out.find("No such file") != std::string::npos);
    CHECK(out.ends_with("bundle\n"));
}

TEST_CASE_METHOD(Walled, "it_writes_to_its_scratch_only_and_not_without_limit") {
    run("for f in program /usr/x /etc/x /x /proc/sys/kernel/hostname; do (echo x > $f) 2>&1; done;"
        "echo data > /tmp/a; echo data > $HOME/b; cat /tmp/a $HOME/b;"
        "(head -c 100000000 /dev/zero > /tmp/full) 2>&1; ls -s /tmp/full; df -k /tmp | tail -1");
    for (const char* file : {"program", "/usr/x", "/etc/x", "/x", "/proc/sys/kernel/hostname"}) {
        CHECK(out.find(fmt::format("cannot create {}", file)) != std::string::npos);
    }
    CHECK(out.find("data\ndata\n") != std::string::npos);
    CHECK(out.find("No space left") != std::string::npos);
}

TEST_CASE_METHOD(Walled, "it_sees_no_process_but_its_own_and_has_no_capability") {
    run("ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm; grep -E '^(Cap|NoNewPrivs|Seccomp:)' "
        "/proc/self/status; id -u");
    CHECK(std::stoi(out) <= 5);  // the keeper, the shell, and what this line takes
    CHECK(out.find("candela-keeper") != std::string::npos);
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
        CHECK(out.find(fmt::format("{}:\t0000000000000000", set)) != std::string::npos);
    }
    CHECK(out.find("NoNewPrivs:\t1") != std::string::npos);
    CHECK(out.find("Seccomp:\t2") != std::string::npos);
    const uint32_t uid = settings.walls.has_own_uid ? instance_uid("run", "hello-1") : geteuid();
    CHECK(out.ends_with(fmt::format("{}\n", uid)));
}

TEST_CASE_METHOD(Walled, "everything_in_its_namespace_ends_with_it") {
    start("setsid sh -c 'setsid sleep 1000 & sleep 1000' & echo up; exec sleep 1000");
    REQUIRE(until_said("up"));
    // The host's pid, not that of the namespace.
    std::ifstream name(fmt::format("/proc/{}/comm", pid));
    CHECK(name.good());
    REQUIRE(::kill(pid, SIGKILL) == 0);
    REQUIRE(loop.run_until([this] { return status.has_value(); }, 20s));
    CHECK(status->signal == SIGKILL);
}

TEST_CASE_METHOD(Walled, "a_fork_bomb_meets_its_limit") {
    run("i=0; while [ $i -lt 200 ]; do sleep 100 & i=$((i+1)); done 2>&1; echo through");
    CHECK(out.find("fork") != std::string::npos);
}

TEST_CASE_METHOD(Walled, "a_program_beside_it_is_within_the_same_walls") {
    start("echo mine > /tmp/file; echo up; exec sleep 1000");
    REQUIRE(until_said("up"));
    struct Other final : RunningHandler {
        void on_started(int) override {}
        void on_start_failed(const Error& e) override { error = e; }
        void on_output(OutputKind, std::string_view bytes) override { out += bytes; }
        void on_output_lost(uint64_t) override {}
        void on_exit(const ExitStatus& s) override { status = s; }
        std::string out;
        std::optional<ExitStatus> status;
        std::optional<Error> error;
    } other;
    auto beside = running->run_beside(
        request("cat /tmp/file; grep CapEff /proc/self/status; id -u; exit 3"), other);
    REQUIRE(beside.has_value());
    REQUIRE(loop.run_until([&] { return other.status || other.error; }, 20s));
    REQUIRE(other.status.has_value());
    CHECK(other.status->code == 3);
    CHECK(other.out.starts_with("mine\nCapEff:\t0000000000000000\n"));
}

TEST_CASE_METHOD(Walled, "the_next_host_adopts_it") {
    start("echo up; exec sleep 1000");
    REQUIRE(until_said("up"));
    const int before = pid;
    driver->let_go();
    running.reset();
    make_driver();
    std::optional<Result<std::vector<FoundInstance>>> found;
    struct Look {
        static Task<void> at(ProcessDriver& d, decltype(found)& out) {
            auto result = co_await d.find();
            out.emplace(std::move(result));
        }
    };
    TaskGroup tasks;
    tasks.spawn(Look::at(*driver, found));
    REQUIRE(loop.run_until([&] { return found.has_value(); }, 20s));
    REQUIRE((*found)->size() == 1);
    running = driver->adopt("hello-1", *this);
    CHECK(running->pid() == before);
    running->kill();
    REQUIRE(loop.run_until([this] { return status.has_value(); }, 20s));
}

TEST_CASE_METHOD(Walled, "what_can_not_be_built_stops_the_start") {
    settings.seccomp = "not a filter....";
    driver->set_walls(settings);
    auto started = driver->start(request("echo up"), *this);
    running = std::move(*started);
    REQUIRE(loop.run_until([this] { return status || error; }, 20s));
    REQUIRE(error.has_value());
    CHECK(error->message().find("filtering its system calls") != std::string::npos);
    CHECK(out.empty());
}

}  // namespace
}  // namespace candela::host
