#include "docker_driver.h"

#include <algorithm>
#include <optional>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "docker_container.h"
#include "fake_engine.h"
#include "loop/file.h"

namespace candela::host {
namespace {

constexpr const char* kRunning =
    R"({"Id":"c1","State":{"Status":"running","Pid":77,"ExitCode":0},
        "Config":{"StopSignal":"SIGQUIT"},"HostConfig":{"Memory":1048576},
        "NetworkSettings":{"IPAddress":"172.17.0.9"}})";
constexpr const char* kEnded =
    R"({"Id":"c1","State":{"Status":"exited","ExitCode":137,"OOMKilled":true},
        "HostConfig":{"Memory":1048576}})";
const std::string kLine = "2026-11-25T23:36:53.5Z ";

TEST_CASE("an_engine_speaks_a_version_that_both_know") {
    CHECK(choose_version("1.12", "1.41").value() == "1.41");
    CHECK(choose_version("1.12", "1.52").value() == "1.41");
    CHECK(choose_version("1.44", "1.52").value() == "1.44");
    CHECK(choose_version("1.12", "1.40").value() == "1.40");
    CHECK(choose_version("1.12", "1.29").error().code() == Code::kUnsupported);
    CHECK(choose_version("", "nonsense").error().code() == Code::kUnsupported);
    CHECK(is_older_version("1.9", "1.41"));
}

TEST_CASE("names_of_images_are_taken_apart") {
    const auto is = [](std::string_view image, std::string_view name, std::string_view tag) {
        const ImageName split = split_image(image);
        return split.name == name && split.tag == tag;
    };
    CHECK(is("nginx", "nginx", "latest"));
    CHECK(is("nginx:1.27", "nginx", "1.27"));
    CHECK(is("registry:5000/a/b", "registry:5000/a/b", "latest"));
    CHECK(is("registry:5000/a/b:2", "registry:5000/a/b", "2"));
    CHECK(is("a/b@sha256:00ff", "a/b", "sha256:00ff"));
    CHECK(is("a/b:2@sha256:00ff", "a/b", "sha256:00ff"));
}

TEST_CASE("progress_of_a_pull_is_that_of_all_layers") {
    PullProgress progress;
    CHECK(progress.text().empty());
    progress.feed(
        R"({"status":"Pulling from library/nginx","id":"1.27"})"
        "\n"
        R"({"status":"Downloading","id":"a","progressDetail":{"current":512,"total":1024}})"
        "\nnonsense\n[]\n");
    CHECK(progress.text() == "50 % of 1.0 KiB");
    progress.feed(
        R"({"status":"Downloading","id":"b","progressDetail":{"current":0,"total":1024}})");
    progress.feed(
        "\n"
        R"({"status":"Download complete","id":"a"})"
        "\n");
    CHECK(progress.text() == "50 % of 2.0 KiB");
    CHECK(progress.failure().empty());
    // A line of any length, and one that never ends.
    progress.feed(std::string(4 * PullProgress::kLineBytesMax, 'x'));
    progress.feed(
        "\n"
        R"({"error":"no space left on device","errorDetail":{}})"
        "\n");
    CHECK(progress.failure() == "no space left on device");
}

TEST_CASE("a_container_is_made_with_no_more_than_it_needs") {
    StartRequest request;
    request.instance = "web-1";
    request.command = {"/bin/server", "--fast"};
    request.environment = {"PORT=21000"};
    request.port = 21000;
    request.grace = 1500ms;
    request.container.emplace();
    ContainerWish& wish = *request.container;
    wish.image = "nginx:1.27";
    wish.bundle_folder = "/b";
    wish.credentials_folder = "/c";
    wish.labels = {{"candela.node", "n1"}};
    InstanceLimits limits;
    limits.memory_bytes = 1 << 20;
    limits.cpu_percent = 50;
    limits.pids = 10;
    limits.scratch_bytes = 4096;
    EngineInfo engine;
    engine.has_init = true;
    Json body = parse_json(container_body(request, limits, engine, "run-1")).value();
    const Json& host = body["HostConfig"];
    CHECK(body["Entrypoint"] == Json::array({"/bin/server"}));
    CHECK(body["Cmd"] == Json::array({"--fast"}));
    CHECK(body["WorkingDir"] == "/candela/bundle");
    CHECK(body["Labels"]["candela.run"] == "run-1");
    CHECK(body["Labels"]["candela.node"] == "n1");
    CHECK(body["StopTimeout"] == 2);
    CHECK_FALSE(body.contains("User"));
    CHECK(host["ReadonlyRootfs"] == true);
    CHECK(host["CapDrop"] == Json::array({"ALL"}));
    CHECK(host["SecurityOpt"] == Json::array({"no-new-privileges"}));
    CHECK(host["Init"] == true);
    CHECK(host["Memory"] == 1 << 20);
    CHECK(host["MemorySwap"] == 1 << 20);
    CHECK(host["NanoCpus"] == 500'000'000);
    CHECK(host["PidsLimit"] == 10);
    CHECK(host["Tmpfs"]["/tmp"].get<std::string>().ends_with("size=4096"));
    CHECK(host["Mounts"].size() == 2);
    for (const Json& mount : host["Mounts"]) CHECK(mount["ReadOnly"] == true);
    CHECK(host["NetworkMode"] == "bridge");
    CHECK(host["PortBindings"]["21000/tcp"][0]["HostIp"] == "127.0.0.1");
    CHECK(host["PortBindings"]["21000/tcp"][0]["HostPort"] == "21000");

    wish.port = 80;
    wish.user = "1000";
    wish.is_writable = true;
    request.command.clear();
    body = parse_json(container_body(request, InstanceLimits(), EngineInfo(), "run-1")).value();
    CHECK_FALSE(body.contains("Entrypoint"));
    CHECK_FALSE(body.contains("WorkingDir"));
    CHECK(body["User"] == "1000");
    CHECK(body["HostConfig"]["ReadonlyRootfs"] == false);
    CHECK(body["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"] == "21000");
    CHECK_FALSE(body["HostConfig"].contains("Memory"));
    CHECK_FALSE(body["HostConfig"].contains("Init"));

    wish.is_host_network = true;
    body = parse_json(container_body(request, limits, engine, "run-1")).value();
    CHECK(body["HostConfig"]["NetworkMode"] == "host");
    CHECK_FALSE(body["HostConfig"].contains("PortBindings"));
}

TEST_CASE("containers_give_the_level_that_their_engine_has") {
    EngineInfo engine;
    CHECK(container_level(engine) == "none");
    engine.has_seccomp = true;
    CHECK(container_level(engine) == "isolated");
    engine.has_memory = engine.has_cpu = engine.has_pids = true;
    CHECK(container_level(engine) == "strict");
}

TEST_CASE("a_note_of_a_container_is_read_as_it_was_written") {
    ContainerNote note;
    note.instance = "web-1";
    note.name = "candela-web-1-x";
    note.id = "c1";
    note.note = "{\"port\":1}";
    note.inner_port = 80;
    note.log.out = {5, 2};
    note.log.err = {7, 1};
    CHECK(parse_container_note(to_text(note)).value() == note);
    note.end = ContainerNote::End{137, "out of memory"};
    CHECK(parse_container_note(to_text(note)).value() == note);
    for (const char* bad : {"", "[]", "{}", R"({"instance":1,"name":"x"})"})
        CHECK_FALSE(parse_container_note(bad).has_value());
}

// One instance, an engine that may go and come back, and a host that may, too.
struct Contained : RunningHandler {
    test::TempFolder folder;
    InProcessHub hub;
    UvLoop loop{hub};
    std::unique_ptr<FakeEngine> fake;
    std::unique_ptr<DockerEngine> engine;
    std::unique_ptr<DockerDriver> driver;
    std::unique_ptr<Running> running;
    int started_pid = -1;
    std::string out, err, detail;
    std::optional<Error> error;
    std::optional<ExitStatus> status;
    bool has_ended = false;  // the container, as the engine sees it

    Contained() {
        REQUIRE(make_directories(folder / "run/web-1").has_value());
        fake = std::make_unique<FakeEngine>(loop, (folder / "engine.sock").string());
        fake->say("GET /containers/json", "[]");
        fake->script("POST /containers/create",
                     [] { return FakeEngine::Answer{201, R"({"Id":"c1"})"}; });
        fake->say("POST /containers/c1/start", "", 204);
        fake->say("POST /containers/c1/kill", "", 204);
        fake->say("DELETE /containers/c1", "", 204);
        fake->script("GET /containers/c1/json",
                     [this] { return FakeEngine::Answer{200, has_ended ? kEnded : kRunning}; });
        fake->script("GET /containers/c1/logs", [this] {
            return FakeEngine::Answer{200, frame(1, kLine + "hello\n") + frame(2, kLine + "oops\n"),
                                      !has_ended};
        });
        make_host();
    }
    virtual ~Contained() = default;
    void make_host() {
        driver.reset();
        engine = std::make_unique<DockerEngine>(loop, fake->socket, Logger(), [this] {
            if (driver) driver->on_engine_change();
        });
        driver = std::make_unique<DockerDriver>(loop, *engine, Logger());
        DockerDriverOptions options;
        options.run_folder = folder / "run";
        options.run_id = "run-1";
        driver->open(options);
    }
    void on_started(int pid) override { started_pid = pid; }
    void on_start_failed(const Error& e) override { error = e; }
    void on_output(OutputKind kind, std::string_view bytes) override {
        (kind == OutputKind::kStdout ? out : err) += bytes;
    }
    void on_output_lost(uint64_t) override {}
    void on_end_detail(std::string_view text) override { detail = text; }
    void on_exit(const ExitStatus& s) override { status = s; }

    template <class Condition>
    bool until(Condition condition) {
        Timer again(loop.timers(), [&] { again.start(5ms); });
        again.start(5ms);
        return loop.run_until(condition, 20s);
    }
    template <class T>
    T wait_for(Task<T> task) {
        std::optional<T> result;
        TaskGroup tasks;
        tasks.spawn(keep(std::move(task), result));
        REQUIRE(until([&] { return result.has_value(); }));
        return std::move(*result);
    }
    template <class T>
    static Task<void> keep(Task<T> task, std::optional<T>& out) {
        auto value = co_await std::move(task);
        out.emplace(std::move(value));
    }
    static Task<int> begin(DockerEngine& engine) {
        co_await engine.start();
        co_return 0;
    }
    size_t come_up() {
        wait_for(begin(*engine));
        return wait_for(driver->find())->size();
    }
    void start() {
        StartRequest request;
        request.instance = "web-1";
        request.note = "noted";
        request.command = {"/bin/server"};
        request.port = 21000;
        request.container.emplace();
        request.container->image = "nginx:1.27";
        auto made = driver->start(request, *this);
        REQUIRE(made.has_value());
        running = std::move(*made);
    }
    ContainerNote note() const {
        const auto notes = read_container_notes(folder / "run");
        return notes.empty() ? ContainerNote() : notes.front();
    }
    // The host goes without a word.
    void die() {
        driver->let_go();
        running.reset();
        make_host();
    }
    void end_container() {
        has_ended = true;
        // The log ends with its container: here, with all connections.
        restart_engine();
    }
    void restart_engine() {
        auto scripts = std::move(fake->answers);
        const auto requests = std::move(fake->requests);
        const std::string socket = fake->socket;
        fake.reset();
        fake = std::make_unique<FakeEngine>(loop, socket);
        fake->answers = std::move(scripts);
        fake->requests = requests;
    }
};

TEST_CASE_METHOD(Contained, "a_container_is_made_started_heard_and_its_end_is_told_with_why") {
    CHECK(come_up() == 0);
    CHECK(engine->is_on());
    CHECK(engine->detail() == "Docker 20.10.24, API 1.41, cgroup v2");
    start();
    CHECK(started_pid == -1);
    REQUIRE(until([this] { return err == "oops\n"; }));
    CHECK(started_pid == 77);
    CHECK(running->pid() == 77);
    CHECK(out == "hello\n");
    CHECK(running->probe_address(21000) == Address::tcp("172.17.0.9", 21000));
    REQUIRE(until([this] { return note().id == "c1"; }));
    CHECK(note().note == "noted");
    // The stop signal is the image's.
    running->terminate();
    REQUIRE(until([this] { return fake->count("POST /containers/c1/kill") == 1; }));
    end_container();
    REQUIRE(until([this] { return status.has_value(); }));
    CHECK(status->code == 137);
    CHECK(detail == "out of memory: it may take 1.0 MiB");
    CHECK(out == "hello\n");
    CHECK(fake->count("DELETE /containers/c1") == 1);
    CHECK(driver->container_count() == 0);
}

TEST_CASE_METHOD(Contained,
                 "a_start_that_the_engine_refuses_fails_with_its_words_and_leaves_nothing") {
    come_up();
    SECTION("not made") {
        fake->say("POST /containers/create", R"({"message":"No such image: nginx:1.27"})", 404);
    }
    SECTION("not started") {
        fake->say("POST /containers/c1/start", R"({"message":"No such image: nginx:1.27"})", 500);
    }
    start();
    REQUIRE(until([this] { return error.has_value(); }));
    CHECK(error->message() == "docker: No such image: nginx:1.27");
    CHECK(started_pid == -1);
    REQUIRE(until([this] {
        for (const std::string& request : fake->requests) {
            if (request.starts_with("DELETE /containers/")) return true;
        }
        return false;
    }));
}

TEST_CASE_METHOD(Contained, "odd_answers_are_errors_and_nothing_worse") {
    come_up();
    SECTION("no JSON") { fake->say("POST /containers/create", "<html>", 201); }
    SECTION("no id") { fake->say("POST /containers/create", R"({"Warnings":[]})", 201); }
    SECTION("another type") { fake->say("POST /containers/create", R"([{"Id":7}])", 201); }
    SECTION("cut off") {
        fake->script("POST /containers/create",
                     [] { return FakeEngine::Answer{201, R"({"Id":)", false, true}; });
    }
    SECTION("no state") { fake->say("GET /containers/c1/json", R"({"Id":"c1"})"); }
    SECTION("too much") {
        fake->say("GET /containers/c1/json", std::string(DockerApi::kAnswerBytesMax + 1, ' '));
    }
    start();
    REQUIRE(until([this] { return error.has_value(); }));
    CHECK(error->message().starts_with("docker"));
}

TEST_CASE_METHOD(Contained, "a_log_that_is_no_log_does_not_hide_the_end") {
    come_up();
    fake->script("GET /containers/c1/logs",
                 [] { return FakeEngine::Answer{200, "not frames at all"}; });
    start();
    REQUIRE(until([this] { return started_pid == 77; }));
    has_ended = true;
    REQUIRE(until([this] { return status.has_value(); }));
    CHECK(status->code == 137);
    CHECK(out.empty());
}

TEST_CASE_METHOD(Contained, "what_is_left_of_a_log_is_asked_for_until_it_is_there") {
    come_up();
    start();
    REQUIRE(until([this] { return out == "hello\n"; }));
    int refusals = 3;
    fake->script("GET /containers/c1/logs", [&refusals] {
        if (refusals-- > 0) return FakeEngine::Answer{500, R"({"message":"not now"})"};
        return FakeEngine::Answer{200,
                                  frame(1, kLine + "hello\n") + frame(1, kLine + "last words\n")};
    });
    end_container();
    REQUIRE(until([this] { return status.has_value(); }));
    CHECK(out == "hello\nlast words\n");
    CHECK(refusals < 0);
}

TEST_CASE_METHOD(Contained, "without_an_engine_a_start_fails_and_says_why") {
    fake.reset();
    CHECK(come_up() == 0);
    CHECK_FALSE(engine->is_on());
    start();
    REQUIRE(until([this] { return error.has_value(); }));
    CHECK(error->code() == Code::kUnreachable);
    CHECK(error->message().find("engine.sock") != std::string::npos);
}

TEST_CASE_METHOD(Contained, "an_engine_that_is_turned_off_is_never_asked") {
    engine = std::make_unique<DockerEngine>(loop, "", Logger(), [] {});
    wait_for(begin(*engine));
    CHECK_FALSE(engine->is_on());
    CHECK(engine->detail() == "turned off by [host] docker_socket");
    CHECK(fake->requests.empty());
}

TEST_CASE_METHOD(Contained, "an_engine_that_comes_back_is_heard_again_without_repeating_itself") {
    come_up();
    start();
    REQUIRE(until([this] { return err == "oops\n"; }));
    restart_engine();
    REQUIRE(until([this] { return fake->count("GET /containers/c1/logs") == 2; }));
    // A wish that came while it was away is told, too.
    CHECK_FALSE(status.has_value());
    end_container();
    running->kill();
    REQUIRE(until([this] { return status.has_value(); }));
    CHECK(out == "hello\n");
    CHECK(err == "oops\n");
}

TEST_CASE_METHOD(Contained, "the_next_host_finds_it_and_goes_on_with_its_log") {
    come_up();
    start();
    REQUIRE(until([this] { return err == "oops\n" && note().id == "c1"; }));
    die();
    SECTION("while it runs") {
        CHECK(come_up() == 1);
        running = driver->adopt("web-1", *this);
        REQUIRE(running != nullptr);
        CHECK(running->pid() == 77);
        REQUIRE(until([this] { return fake->count("GET /containers/c1/logs") == 2; }));
        end_container();
    }
    SECTION("after it has ended") {
        has_ended = true;
        CHECK(come_up() == 1);
        running = driver->adopt("web-1", *this);
    }
    SECTION("before the engine is back") {
        has_ended = true;
        fake->listener.reset();
        CHECK(come_up() == 1);
        running = driver->adopt("web-1", *this);
        CHECK(running->pid() == 0);
        fake->listen();
    }
    REQUIRE(until([this] { return status.has_value(); }));
    CHECK(status->code == 137);
    CHECK(out == "hello\n");
    CHECK(err == "oops\n");
    // Told once more by the next, should it have been lost on the way.
    CHECK(note().end.has_value());
}

TEST_CASE_METHOD(Contained, "one_that_is_gone_is_told_as_lost") {
    come_up();
    start();
    REQUIRE(until([this] { return note().id == "c1"; }));
    die();
    fake->answers.erase("GET /containers/c1/json");
    CHECK(come_up() == 1);
    running = driver->adopt("web-1", *this);
    REQUIRE(until([this] { return status.has_value(); }));
    CHECK(status->code == 137);
    CHECK(detail == "its container is gone");
}

TEST_CASE_METHOD(Contained, "what_nobody_knows_of_is_removed") {
    fake->say(
        "GET /containers/json",
        R"([{"Id":"stray","Names":["/candela-x"],"Labels":{"candela.instance":"x-1"}},{"Id":""},7])");
    fake->say("DELETE /containers/stray", "", 204);
    come_up();
    CHECK(fake->count("DELETE /containers/stray") == 1);
}

TEST_CASE_METHOD(Contained, "a_container_that_was_made_and_never_started_is_not_found") {
    ContainerNote made;
    made.instance = "web-1";
    made.name = "candela-web-1-x";
    SECTION("nor known to the engine") {}
    SECTION("by name") {
        fake->say("GET /containers/candela-web-1-x/json",
                  R"({"Id":"c1","State":{"Status":"created"}})");
        fake->say("GET /containers/json", R"([{"Id":"c1","Names":["/candela-web-1-x"]}])");
    }
    REQUIRE(write_container_note(folder / "run", made).has_value());
    CHECK(come_up() == 0);
    CHECK(driver->adopt("web-1", *this) == nullptr);
}

TEST_CASE_METHOD(Contained, "a_program_beside_runs_in_the_container") {
    come_up();
    start();
    REQUIRE(until([this] { return started_pid == 77; }));
    struct Probe final : RunningHandler {
        std::string out;
        std::optional<ExitStatus> status;
        std::optional<Error> error;
        void on_started(int) override {}
        void on_start_failed(const Error& e) override { error = e; }
        void on_output(OutputKind, std::string_view bytes) override { out += bytes; }
        void on_output_lost(uint64_t) override {}
        void on_exit(const ExitStatus& s) override { status = s; }
    } probe;
    StartRequest request;
    request.command = {"check"};
    SECTION("and tells how it ended") {
        fake->say("POST /containers/c1/exec", R"({"Id":"e1"})", 201);
        fake->say("POST /exec/e1/start", frame(1, "well") + frame(2, ", not quite"));
        fake->say("GET /exec/e1/json", R"({"Running":false,"ExitCode":3,"Pid":0})");
        auto beside = running->run_beside(request, probe);
        REQUIRE(beside.has_value());
        REQUIRE(until([&] { return probe.status.has_value(); }));
        CHECK(probe.status->code == 3);
        CHECK(probe.out == "well, not quite");
        CHECK(fake->bodies["POST /containers/c1/exec"].find("check") != std::string::npos);
    }
    SECTION("or why it could not") {
        fake->say("POST /containers/c1/exec", R"({"message":"Container c1 is not running"})", 409);
        auto beside = running->run_beside(request, probe);
        REQUIRE(beside.has_value());
        REQUIRE(until([&] { return probe.error.has_value(); }));
        CHECK(probe.error->message() == "docker: Container c1 is not running");
    }
}

TEST_CASE_METHOD(Contained, "an_image_is_pulled_once_for_all_who_ask") {
    come_up();
    std::vector<std::string> progress;
    bool is_there = false;
    fake->script("GET /images/a/b:1/json", [&] {
        return is_there ? FakeEngine::Answer{200, "{}"} : FakeEngine::Answer{404, "{}"};
    });
    fake->script("POST /images/create", [&] {
        is_there = true;
        return FakeEngine::Answer{
            200, R"({"status":"Downloading","id":"x","progressDetail":{"current":1,"total":4}})"
                 "\n"};
    });
    const auto listen = [&](std::string_view text) { progress.emplace_back(text); };
    std::optional<Result<>> first, second;
    TaskGroup tasks;
    tasks.spawn(keep(engine->provide_image("a/b:1", listen), first));
    tasks.spawn(keep(engine->provide_image("a/b:1", listen), second));
    REQUIRE(until([&] { return first && second; }));
    CHECK(first->has_value());
    CHECK(second->has_value());
    CHECK(fake->count("POST /images/create") == 1);
    CHECK(std::ranges::find(progress, "pulling a/b:1, 25 % of 4 B") != progress.end());
    CHECK(wait_for(engine->provide_image("a/b:1", listen)).has_value());
    CHECK(fake->count("POST /images/create") == 1);
}

TEST_CASE_METHOD(Contained, "an_image_that_can_not_be_had_is_said_with_the_registry_s_words") {
    come_up();
    size_t asked = 1;
    SECTION("refused") {
        fake->say("POST /images/create", R"({"message":"manifest for a:1 not found"})", 404);
    }
    SECTION("in the middle") {
        fake->say("POST /images/create", R"({"error":"manifest for a:1 not found"})"
                                         "\n");
    }
    SECTION("a registry that does not answer is asked again") {
        fake->say("POST /images/create",
                  R"({"message":"dial tcp: not found: manifest for a:1 not found"})", 500);
        asked = DockerEngine::kPullAttempts;
    }
    const auto provided = wait_for(engine->provide_image("a:1", [](std::string_view) {}));
    REQUIRE_FALSE(provided.has_value());
    CHECK(provided.error().code() == Code::kIo);
    CHECK(provided.error().message().starts_with("pulling a:1: docker: "));
    CHECK(provided.error().message().ends_with("manifest for a:1 not found"));
    CHECK(fake->count("POST /images/create") == asked);
}

}  // namespace
}  // namespace candela::host
