#include "prober.h"

#include <utility>

#include "http/client.h"

namespace candela::host {

namespace {

Duration timeout_of(const proto::Probe& probe) {
    return std::chrono::milliseconds(static_cast<int64_t>(probe.timeout_ms));
}

http::ClientOptions client_options() {
    // No connection is kept: a server that takes one at a time would wait for us instead of its
    // clients.
    http::ClientOptions options;
    options.pooled_connections_max = 0;
    return options;
}

Task<Result<ProbeResult>> ask_http(Loop& loop, Address address, std::string path) {
    http::Client client(loop, client_options());
    http::ClientRequest request;
    request.address = std::move(address);
    request.target = std::move(path);
    request.headers.add("Connection", "close");
    request.headers.add("User-Agent", "candela-probe");
    auto response = co_await client.send(std::move(request));
    if (!response) co_return fail(std::move(response).error());
    const int status = response->status();
    ProbeResult result;
    result.is_well = status >= 200 && status < 400;
    result.has_answered = true;
    result.answer = fmt::format("HTTP {}", status);
    co_return result;
}

Task<Result<ProbeResult>> ask_tcp(Task<Result<StreamPtr>> connecting) {
    auto stream = co_await std::move(connecting);
    if (!stream) co_return fail(std::move(stream).error());
    ProbeResult result;
    result.is_well = true;
    result.has_answered = true;
    result.answer = "connected";
    co_return result;
}

}  // namespace

// An exec probe under way. What it prints is its answer, of which the beginning is kept.
class Prober::Program final : public RunningHandler {
public:
    explicit Program(Prober& prober)
        : prober_(prober), timer_(prober.loop_.timers(), [this] { on_timeout(); }) {}

    Result<> start(Running& beside, const StartRequest& request, Duration timeout) {
        timer_.start(timeout);
        CANDELA_TRY_ASSIGN(running_, beside.run_beside(request, *this));
        return {};
    }

private:
    static constexpr size_t kAnswerMax = 200;

    void on_started(int) override {}
    void on_start_failed(const Error& error) override {
        ProbeResult result;
        result.answer = error.message();
        prober_.finish(std::move(result));
    }
    void on_output_lost(uint64_t) override {}
    void on_output(OutputKind, std::string_view bytes) override {
        said_ += bytes.substr(0, kAnswerMax - said_.size());
    }
    void on_exit(const ExitStatus& status) override {
        ProbeResult result;
        result.is_well = status.ok();
        result.has_answered = true;
        result.answer = status.to_string();
        if (const size_t end = said_.find('\n'); end != std::string::npos) said_.resize(end);
        if (!said_.empty()) result.answer += ": " + said_;
        prober_.finish(std::move(result));
    }
    void on_timeout() {
        ProbeResult result;
        result.answer =
            fmt::format("no answer within {}", format_duration(timeout_of(prober_.probe_)));
        prober_.finish(std::move(result));
    }

    Prober& prober_;
    Timer timer_;
    std::string said_;
    std::unique_ptr<Running> running_;
};

Prober::Prober(Loop& loop, proto::Probe probe, OnResult on_result)
    : loop_(loop),
      probe_(std::move(probe)),
      on_result_(std::move(on_result)),
      deliver_(loop.timers(), [this] { deliver(); }) {}

Prober::~Prober() = default;

void Prober::start(uint16_t port, Running* running,
                   const std::function<StartRequest()>& request_of) {
    if (probe_.kind != proto::ProbeKind::kExec) {
        auto address =
            running != nullptr ? running->probe_address(port) : Address::tcp("127.0.0.1", port);
        std::optional<Task<Result<StreamPtr>>> way_in;
        if (running != nullptr) way_in = running->reach();
        return tasks_.spawn(run(std::move(address), std::move(way_in)));
    }
    StartRequest request = request_of();
    request.command = probe_.command;
    request.executable.clear();
    ProbeResult result;
    if (running != nullptr) {
        program_ = std::make_unique<Program>(*this);
        const auto started = program_->start(*running, request, timeout_of(probe_));
        if (started) return;
        result.answer = started.error().message();
    } else {
        result.answer = "it does not run";
    }
    finish(std::move(result));
}

void Prober::cancel() {
    deliver_.stop();
    tasks_.cancel();
    program_.reset();
}

Task<void> Prober::run(Address address, std::optional<Task<Result<StreamPtr>>> way_in) {
    const Duration timeout = timeout_of(probe_);
    const bool is_http = probe_.kind == proto::ProbeKind::kHttp;
    // What listens in its stead listens whether it does or not: what it answers tells, and no
    // connection.
    if (!way_in) way_in.emplace(connect(loop_, address, timeout));
    Task<Result<ProbeResult>> question =
        is_http ? ask_http(loop_, std::move(address), probe_.path) : ask_tcp(std::move(*way_in));
    auto answer = co_await with_timeout(loop_, timeout, "probe", std::move(question));
    ProbeResult result;
    if (answer)
        result = std::move(*answer);
    else
        result.answer = answer.error().message();
    finish(std::move(result));
}

// The flow or program that has the result must not be destroyed from within itself, and the handler
// may start the next probe or destroy us: it is told from a timer.
void Prober::finish(ProbeResult result) {
    if (deliver_.is_active()) return;
    result_ = std::move(result);
    deliver_.start(Duration(0));
}

void Prober::deliver() {
    cancel();
    const ProbeResult result = std::exchange(result_, ProbeResult());
    on_result_(result);
}

}  // namespace candela::host
