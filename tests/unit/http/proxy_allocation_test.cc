// Counts what the proxy allocates for a request on warm keep-alive connections: nothing. An
// executable of its own, since it replaces operator new. Loop and streams are stubs that allocate
// nothing themselves.

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "count_allocations.h"
#include "http/proxy.h"

using candela::test::allocations;
using namespace candela;
using namespace candela::http;

namespace {

class StubStream final : public Stream {
public:
    explicit StubStream(Loop& loop) : loop_(loop) { written.reserve(1 << 16); }
    void start(StreamHandler& handler) override { handler_ = &handler; }
    void pause() override {}
    void resume() override {}
    void write(std::span<const std::string_view> parts) override {
        for (const std::string_view part : parts) written += part;
    }
    size_t queued_bytes() const override { return 0; }
    void end() override {}
    Loop& loop() override { return loop_; }
    Address peer() const override { return Address::tcp("192.0.2.1", 1234); }
    Address local() const override { return Address(); }

    StreamHandler& handler() { return *handler_; }
    std::string written;

private:
    Loop& loop_;
    StreamHandler* handler_ = nullptr;
};

class StubLoop final : public Loop {
public:
    MonoTime now() const override { return now_; }
    WallTime wall() const override { return WallTime(now_.time_since_epoch()); }
    Timers& timers() override { return timers_; }
    Random& random() override { return random_; }
    void post(Callback) override {}
    void defer(Callback) override {}
    void offload(Callback, Callback) override {}
    Result<std::unique_ptr<Listener>> listen(const Address&, const ListenOptions&,
                                             AcceptHandler) override {
        return fail(Code::kUnsupported, "not here");
    }
    std::unique_ptr<ConnectAttempt> connect(const Address&, ConnectHandler done) override {
        connecting = std::move(done);
        return std::make_unique<ConnectAttempt>();
    }
    void advance(Duration duration) {
        now_ += duration;
        timers_.run_due();
    }

    ConnectHandler connecting;

private:
    MonoTime now_{1h};
    Timers timers_{*this};
    SeededRandom random_{3};
};

class StubRouter final : public Router {
public:
    explicit StubRouter(Upstream& upstream) : upstream_(upstream) {}
    RouteResult route(const RouteRequest&) override {
        RouteResult result;
        result.upstream = &upstream_;
        return result;
    }
    void on_done(const ProxyRecord& record) override { last_status = record.status; }
    int last_status = 0;

private:
    Upstream& upstream_;
};

constexpr std::string_view kRequest =
    "GET /some/path/of/usual/length?with=a&query=too HTTP/1.1\r\nHost: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef0123456789\r\n\r\n";
constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 13\r\n"
    "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\nHello, world!";
constexpr std::string_view kUpload =
    "POST /upload HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
constexpr std::string_view kChunkedAnswer =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";

}  // namespace

TEST_CASE("a request on warm connections allocates nothing") {
    StubLoop loop;
    Upstream upstream(loop, "default/hello", UpstreamOptions());
    StubRouter router(upstream);
    upstream.update(
        {EndpointSpec{"a", "a", std::make_shared<AddressConnector>(Address::tcp("x", 1))},
         EndpointSpec{"b", "b", std::make_shared<AddressConnector>(Address::tcp("y", 1))}});
    // Whether they are counted or not.
    const auto counts = std::make_shared<AnswerCounts>();
    if (GENERATE(false, true)) {
        std::vector<EndpointSpec> specs = {
            EndpointSpec{"a", "a", std::make_shared<AddressConnector>(Address::tcp("x", 1))},
            EndpointSpec{"b", "b", std::make_shared<AddressConnector>(Address::tcp("y", 1))}};
        for (EndpointSpec& spec : specs) spec.counts = counts;
        upstream.update(std::move(specs));
    }
    Proxy proxy(loop, router, ProxyOptions(), Logger());
    auto owned = std::make_unique<StubStream>(loop);
    StubStream& client = *owned;
    proxy.accept(std::move(owned));

    // Until both endpoints have a connection.
    std::vector<StubStream*> endpoints;
    for (int i = 0; i < 100; ++i) {
        client.handler().on_data(kRequest);
        if (loop.connecting) {
            auto made = std::make_unique<StubStream>(loop);
            endpoints.push_back(made.get());
            auto done = std::move(loop.connecting);
            loop.connecting = nullptr;
            done(std::move(made));
        }
        for (StubStream* endpoint : endpoints) {
            if (endpoint->written.empty()) continue;
            endpoint->written.clear();
            endpoint->handler().on_data(kAnswer);
        }
        REQUIRE(router.last_status == 200);
        loop.advance(1ms);
    }
    REQUIRE(endpoints.size() == 2);

    const auto count = [&](std::string_view request, std::string_view answer) {
        size_t answered = 0;
        const auto exchange = [&] {
            client.written.clear();
            router.last_status = 0;
            client.handler().on_data(request);
            for (StubStream* endpoint : endpoints) {
                if (endpoint->written.empty()) continue;
                endpoint->written.clear();
                endpoint->handler().on_data(answer);
            }
            answered += router.last_status == 200;
            loop.advance(100us);
        };
        for (int i = 0; i < 50; ++i) exchange();  // warm for this kind
        const size_t before = allocations;
        for (int i = 0; i < 1000; ++i) exchange();
        const size_t made = allocations - before;
        CHECK(answered == 1050);
        return made;
    };
    CHECK(count(kRequest, kAnswer) == 0);
    CHECK(count(kUpload, kChunkedAnswer) == 0);
    if (counts.use_count() > 1) CHECK(counts->answers.load() >= 2100);
}

TEST_CASE("connections share a bounded number of parsers") {
    constexpr size_t kClients = 300;
    constexpr size_t kParsersKept = 256;
    StubLoop loop;
    Upstream upstream(loop, "default/hello", UpstreamOptions());
    StubRouter router(upstream);
    upstream.update(
        {EndpointSpec{"a", "a", std::make_shared<AddressConnector>(Address::tcp("x", 1))}});
    Proxy proxy(loop, router, ProxyOptions(), Logger());
    std::vector<StubStream*> clients;
    const auto accept = [&] {
        auto made = std::make_unique<StubStream>(loop);
        clients.push_back(made.get());
        proxy.accept(std::move(made));
    };
    for (size_t i = 0; i < kClients; ++i) accept();

    std::vector<StubStream*> endpoints;
    // Requests of the first clients, all in progress at once; how many allocations that took.
    const auto serve = [&](size_t from, size_t to) {
        const size_t before = allocations;
        size_t connected = 0;
        for (size_t i = from; i < to; ++i) {
            clients[i]->handler().on_data(kRequest);
            if (!loop.connecting) continue;
            auto made = std::make_unique<StubStream>(loop);
            endpoints.push_back(made.get());
            auto done = std::move(loop.connecting);
            loop.connecting = nullptr;
            done(std::move(made));
            ++connected;
        }
        for (StubStream* endpoint : endpoints) {
            if (endpoint->written.empty()) continue;
            endpoint->written.clear();
            endpoint->handler().on_data(kAnswer);
        }
        const size_t made = allocations - before;
        for (size_t i = from; i < to; ++i) {
            CHECK(clients[i]->written.starts_with("HTTP/1.1 200 OK"));
            clients[i]->written.clear();
        }
        return made;
    };
    for (int i = 0; i < 3; ++i) serve(0, kClients);  // warm: as many exchanges and connections

    CHECK(serve(0, kParsersKept) == 0);
    // Beyond, each has a new parser, which is not kept.
    CHECK(serve(0, kClients) >= kClients - kParsersKept);
    CHECK(serve(0, kClients) >= kClients - kParsersKept);
    // A client's first request is served by a parser that was another's.
    accept();
    CHECK(serve(kClients, kClients + 1) == 0);
}
