#include "prober.h"

#include <optional>

#include <catch2/catch_test_macros.hpp>

#include "loop/uv_loop.h"
#include "process_driver.h"
#include "temp_folder.h"

namespace candela::host {
namespace {

// Answers everything it is told with one text, or with silence.
class Peer final : StreamHandler {
public:
    Peer(StreamPtr stream, std::string answer)
        : stream_(std::move(stream)), answer_(std::move(answer)) {
        stream_->start(*this);
    }

private:
    void on_data(std::string_view) override {
        if (!answer_.empty()) stream_->write(answer_);
    }
    void on_end() override {}
    void on_error(const Error&) override {}
    StreamPtr stream_;
    std::string answer_;
};

struct Probing : RunningHandler {
    test::TempFolder folder;
    InProcessHub hub;
    UvLoop loop{hub};
    ProcessDriver driver{loop, Logger()};
    std::unique_ptr<Running> instance;  // that exec probes run beside
    bool has_started = false;

    virtual ~Probing() = default;
    void on_started(int) override { has_started = true; }
    void on_start_failed(const Error&) override {}
    void on_output(OutputKind, std::string_view) override {}
    void on_output_lost(uint64_t) override {}
    void on_exit(const ExitStatus&) override {}

    void start_instance() {
        if (instance != nullptr) return;
        ProcessDriverOptions options;
        options.run_folder = folder / "run";
        REQUIRE(driver.open(options).has_value());
        StartRequest request;
        request.instance = "hello-1";
        request.command = {"/bin/sleep", "1000"};
        auto started = driver.start(request, *this);
        REQUIRE(started.has_value());
        instance = std::move(*started);
        REQUIRE(loop.run_until([this] { return has_started; }, 20s));
    }
    std::vector<std::unique_ptr<Peer>> peers;
    std::unique_ptr<Listener> listener;
    std::optional<ProbeResult> result;

    uint16_t listen(std::string answer) {
        auto made =
            loop.listen(Address::tcp("127.0.0.1", 0), ListenOptions(), [this, answer](StreamPtr s) {
                peers.push_back(std::make_unique<Peer>(std::move(s), answer));
            });
        REQUIRE(made.has_value());
        listener = std::move(*made);
        return listener->address().port;
    }
    static proto::Probe probe(proto::ProbeKind kind) {
        proto::Probe probe;
        probe.kind = kind;
        probe.path = "/healthz";
        probe.timeout_ms = 10'000;
        return probe;
    }
    ProbeResult ask(proto::Probe what, uint16_t port) {
        if (what.kind == proto::ProbeKind::kExec) start_instance();
        Prober prober(loop, std::move(what), [this](ProbeResult r) { result = std::move(r); });
        StartRequest request;
        request.environment = {"PATH=/usr/bin:/bin"};
        prober.start(port, instance.get(), [&request] { return request; });
        CHECK_FALSE(result.has_value());
        REQUIRE(loop.run_until([this] { return result.has_value(); }, 20s));
        return *result;
    }
};

TEST_CASE_METHOD(Probing, "http_statuses_below_400_are_well") {
    const uint16_t port = listen("HTTP/1.1 204 No Content\r\n\r\n");
    const ProbeResult answer = ask(probe(proto::ProbeKind::kHttp), port);
    CHECK(answer.is_well);
    CHECK(answer.answer == "HTTP 204");
}

TEST_CASE_METHOD(Probing, "an_http_error_is_not_well") {
    const uint16_t port = listen("HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\nno!");
    const ProbeResult answer = ask(probe(proto::ProbeKind::kHttp), port);
    CHECK_FALSE(answer.is_well);
    CHECK(answer.has_answered);
    CHECK(answer.answer == "HTTP 503");
}

TEST_CASE_METHOD(Probing, "an_old_server_that_closes_is_well_too") {
    const uint16_t port = listen("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    CHECK(ask(probe(proto::ProbeKind::kHttp), port).is_well);
}

TEST_CASE_METHOD(Probing, "what_is_not_http_is_not_well") {
    const uint16_t port = listen("SSH-2.0-nonsense\r\n");
    CHECK_FALSE(ask(probe(proto::ProbeKind::kHttp), port).is_well);
}

TEST_CASE_METHOD(Probing, "silence_ends_with_the_timeout") {
    const uint16_t port = listen("");
    proto::Probe wanted = probe(proto::ProbeKind::kHttp);
    wanted.timeout_ms = 50;
    const ProbeResult answer = ask(wanted, port);
    CHECK_FALSE(answer.is_well);
    CHECK_FALSE(answer.has_answered);
    CHECK(answer.answer.find("50ms") != std::string::npos);
}

TEST_CASE_METHOD(Probing, "tcp_needs_a_listener") {
    const uint16_t port = listen("");
    CHECK(ask(probe(proto::ProbeKind::kTcp), port).is_well);
    listener.reset();
    result.reset();
    CHECK_FALSE(ask(probe(proto::ProbeKind::kTcp), port).is_well);
}

TEST_CASE_METHOD(Probing, "a_program_tells_by_its_exit_status") {
    proto::Probe wanted = probe(proto::ProbeKind::kExec);
    wanted.command = {"sh", "-c", "exit 0"};
    CHECK(ask(wanted, 0).is_well);
    result.reset();
    wanted.command = {"sh", "-c", "echo the queue is full; exit 3"};
    const ProbeResult answer = ask(wanted, 0);
    CHECK_FALSE(answer.is_well);
    CHECK(answer.answer == "exit code 3: the queue is full");
}

TEST_CASE_METHOD(Probing, "a_program_that_hangs_is_killed") {
    proto::Probe wanted = probe(proto::ProbeKind::kExec);
    wanted.command = {"sh", "-c", "sleep 1000"};
    wanted.timeout_ms = 50;
    CHECK_FALSE(ask(wanted, 0).is_well);
    CHECK(loop.run_until([this] { return driver.process_count() == 1; }, 20s));
}

TEST_CASE_METHOD(Probing, "a_program_that_is_missing_is_an_answer") {
    proto::Probe wanted = probe(proto::ProbeKind::kExec);
    wanted.command = {"/no/such/program"};
    const ProbeResult answer = ask(wanted, 0);
    CHECK_FALSE(answer.is_well);
    CHECK(answer.answer.find("/no/such/program") != std::string::npos);
}

TEST_CASE_METHOD(Probing, "a_cancelled_probe_says_nothing") {
    const uint16_t port = listen("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    {
        Prober prober(loop, probe(proto::ProbeKind::kHttp), [this](ProbeResult r) { result = r; });
        prober.start(port, nullptr, [] { return StartRequest(); });
        prober.cancel();
        prober.start(port, nullptr, [] { return StartRequest(); });
    }
    bool done = false;
    Timer timer(loop.timers(), [&] { done = true; });
    timer.start(20ms);
    REQUIRE(loop.run_until([&] { return done; }, 20s));
    CHECK_FALSE(result.has_value());
}

}  // namespace
}  // namespace candela::host
