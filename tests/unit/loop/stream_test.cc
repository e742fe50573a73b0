// The same behaviour is asked of every kind of stream: TCP, unix, in-process and simulated.

#include "loop/stream.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "loop/flow.h"
#include "loop/runtime.h"
#include "loop/sim_loop.h"
#include "loop/uv_loop.h"

namespace candela {
namespace {

struct Peer final : StreamHandler {
    void on_data(std::string_view bytes) override {
        received += bytes;
        if (on_bytes) on_bytes();
    }
    void on_end() override { ended = true; }
    void on_error(const Error& error) override { failure = error.message(); }
    void on_drained() override { ++drained; }

    StreamPtr stream;
    std::string received;
    std::string failure;
    bool ended = false;
    int drained = 0;
    std::function<void()> on_bytes;
};

struct Net {
    virtual ~Net() = default;
    virtual Loop& loop() = 0;
    virtual Address listen_address() = 0;
    virtual bool run_until(const std::function<bool()>& condition) = 0;
};

struct UvNet : Net {
    explicit UvNet(Address::Kind k) : kind(k) {}
    ~UvNet() override { std::filesystem::remove_all(directory); }
    Loop& loop() override { return real; }
    Address listen_address() override {
        if (kind == Address::Kind::kTcp) return Address::tcp("127.0.0.1", 0);
        if (kind == Address::Kind::kInProcess) return Address::in_process("test");
        char name[] = "/tmp/candela-stream-XXXXXX";
        directory = ::mkdtemp(name);
        return Address::unix_socket(directory + "/s");
    }
    bool run_until(const std::function<bool()>& condition) override {
        return real.run_until(condition, 20s);
    }
    Address::Kind kind;
    std::string directory = "/tmp/candela-none";
    InProcessHub hub;
    UvLoop real{hub};
};

struct SimNet : Net {
    Loop& loop() override { return simulated; }
    Address listen_address() override { return Address::tcp("10.0.0.1", 80); }
    bool run_until(const std::function<bool()>& condition) override {
        return world.run_until(condition, 20s);
    }
    SimWorld world{3};
    SimLoop& simulated = world.add_loop("one");
};

std::unique_ptr<Net> make_net(int which) {
    switch (which) {
        case 0: return std::make_unique<UvNet>(Address::Kind::kTcp);
        case 1: return std::make_unique<UvNet>(Address::Kind::kUnix);
        case 2: return std::make_unique<UvNet>(Address::Kind::kInProcess);
        default: return std::make_unique<SimNet>();
    }
}

struct Connected {
    explicit Connected(Net& net) {
        auto listening =
            net.loop().listen(net.listen_address(), ListenOptions(), [this](StreamPtr stream) {
                server.stream = std::move(stream);
                server.stream->start(server);
            });
        REQUIRE(listening.has_value());
        listener = std::move(*listening);
        attempt = net.loop().connect(listener->address(), [this](Result<StreamPtr> stream) {
            REQUIRE(stream.has_value());
            client.stream = std::move(*stream);
            client.stream->start(client);
        });
        REQUIRE(net.run_until([this] { return client.stream && server.stream; }));
    }
    Peer client;
    Peer server;
    std::unique_ptr<Listener> listener;
    std::unique_ptr<ConnectAttempt> attempt;
};

TEST_CASE("bytes_arrive_whole_and_in_order_with_backpressure_both_ways") {
    const auto net = make_net(GENERATE(0, 1, 2, 3));
    Connected pair(*net);
    std::string big(5'000'000, '\0');
    for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 31 + i / 251);
    pair.server.stream->pause();
    pair.client.stream->write(std::string_view(big).substr(0, 1'000'000));
    pair.client.stream->write(std::string_view(big).substr(1'000'000));
    CHECK(pair.client.stream->queued_bytes() > 0);
    pair.server.stream->resume();
    REQUIRE(net->run_until([&] { return pair.server.received.size() == big.size(); }));
    CHECK(pair.server.received == big);
    REQUIRE(net->run_until([&] { return pair.client.drained > 0; }));
    CHECK(pair.client.stream->queued_bytes() == 0);
    pair.server.stream->write("answer");
    REQUIRE(net->run_until([&] { return pair.client.received == "answer"; }));
}

TEST_CASE("ending_one_direction_leaves_the_other_open") {
    const auto net = make_net(GENERATE(0, 1, 2, 3));
    Connected pair(*net);
    pair.client.stream->write("last");
    pair.client.stream->end();
    REQUIRE(net->run_until([&] { return pair.server.ended; }));
    CHECK(pair.server.received == "last");
    pair.server.stream->write("still here");
    REQUIRE(net->run_until([&] { return pair.client.received == "still here"; }));
    CHECK(pair.client.drained > 0);
}

TEST_CASE("a_stream_may_be_destroyed_in_its_own_callback_and_the_peer_is_told") {
    const auto net = make_net(GENERATE(0, 1, 2, 3));
    Connected pair(*net);
    pair.server.on_bytes = [&] { pair.server.stream.reset(); };
    pair.client.stream->write("hello");
    REQUIRE(net->run_until([&] { return pair.client.ended || !pair.client.failure.empty(); }));
    CHECK(pair.server.stream == nullptr);
}

TEST_CASE("a_tcp_stream_destroyed_with_bytes_in_its_queue_is_reset") {
    const auto net = make_net(0);
    Connected pair(*net);
    pair.client.stream->pause();
    const std::string big(20'000'000, 'x');
    pair.server.stream->write(big);
    REQUIRE(pair.server.stream->queued_bytes() > 0);
    const size_t with_the_kernel = big.size() - pair.server.stream->queued_bytes();
    pair.server.stream.reset();
    pair.client.stream->resume();
    REQUIRE(net->run_until([&] { return pair.client.ended || !pair.client.failure.empty(); }));
    // What the client had not been sent yet is dropped, in the kernel as well.
    CHECK(pair.client.received.size() < with_the_kernel);
}

TEST_CASE("connecting_where_nobody_listens_fails_with_the_address") {
    const auto net = make_net(GENERATE(0, 2, 3));
    auto listening = net->loop().listen(net->listen_address(), ListenOptions(), [](StreamPtr) {});
    REQUIRE(listening.has_value());
    const Address address = (*listening)->address();
    listening->reset();
    std::string message;
    const auto attempt = net->loop().connect(address, [&](Result<StreamPtr> stream) {
        REQUIRE_FALSE(stream.has_value());
        message = stream.error().message();
    });
    REQUIRE(net->run_until([&] { return !message.empty(); }));
    CHECK(message.find(address.to_string()) != std::string::npos);
}

TEST_CASE("a_cancelled_connection_attempt_is_never_heard_of") {
    const auto net = make_net(GENERATE(0, 1, 2, 3));
    int accepted = 0;
    auto listening =
        net->loop().listen(net->listen_address(), ListenOptions(), [&](StreamPtr) { ++accepted; });
    REQUIRE(listening.has_value());
    bool called = false;
    auto attempt =
        net->loop().connect((*listening)->address(), [&](Result<StreamPtr>) { called = true; });
    attempt.reset();
    bool settled = false;
    Timer timer(net->loop().timers(), [&] { settled = true; });
    timer.start(50ms);
    REQUIRE(net->run_until([&] { return settled; }));
    CHECK_FALSE(called);
}

TEST_CASE("in_process_streams_cross_threads") {
    Runtime runtime(2);
    Peer server;
    Peer client;
    std::unique_ptr<Listener> listener;
    std::unique_ptr<ConnectAttempt> attempt;
    Loop& there = *runtime.loops()[1];
    const size_t total = 2'000'000;
    there.post([&] {
        auto listening = there.listen(Address::in_process("x"), ListenOptions(), [&](StreamPtr s) {
            server.stream = std::move(s);
            server.on_bytes = [&] {  // echo
                server.stream->write(std::exchange(server.received, {}));
            };
            server.stream->start(server);
        });
        listener = std::move(*listening);
        runtime.control().post([&] {
            attempt = runtime.control().connect(Address::in_process("x"), [&](Result<StreamPtr> s) {
                client.stream = std::move(*s);
                client.on_bytes = [&] {
                    if (client.received.size() < total) return;
                    client.stream.reset();
                    there.post([&] {
                        server.stream.reset();
                        listener.reset();
                        runtime.stop();
                    });
                };
                client.stream->start(client);
                client.stream->write(std::string(total, 'z'));
            });
        });
    });
    runtime.run();
    CHECK(client.received.size() == total);
}

TEST_CASE("a_simulated_cut_holds_bytes_until_the_machines_are_joined") {
    SimWorld world(11);
    SimLoop& a = world.add_loop("a");
    SimLoop& b = world.add_loop("b");
    Peer client;
    Peer server;
    auto listening = b.listen(Address::tcp("b", 1), ListenOptions(), [&](StreamPtr s) {
        server.stream = std::move(s);
        server.stream->start(server);
    });
    const auto attempt = a.connect(Address::tcp("b", 1), [&](Result<StreamPtr> s) {
        client.stream = std::move(*s);
        client.stream->start(client);
    });
    REQUIRE(world.run_until([&] { return server.stream && client.stream; }, 1s));
    world.cut(a, b);
    client.stream->write("one");
    CHECK_FALSE(world.run_until([&] { return !server.received.empty(); }, 10s));
    world.join(a, b);
    CHECK(world.run_until([&] { return server.received == "one"; }, 1s));
}

// As a server does that refuses a body: it answers, and closes with bytes unread, which resets the
// connection. The answer has come before.
TEST_CASE(
    "what a peer said before it reset the connection is read before the failed write is told") {
    InProcessHub hub;
    UvLoop loop(hub);
    const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listening, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listening, 1) == 0);
    REQUIRE(::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    Peer client;
    const auto attempt = loop.connect(Address::tcp("127.0.0.1", ntohs(address.sin_port)),
                                      [&client](Result<StreamPtr> stream) {
                                          client.stream = std::move(*stream);
                                          client.stream->start(client);
                                      });
    REQUIRE(loop.run_until([&] { return client.stream != nullptr; }, 10s));
    const int accepted = ::accept(listening, nullptr, nullptr);
    ::close(listening);
    client.stream->write("a body that nobody reads");
    REQUIRE(::send(accepted, "refused", 7, MSG_NOSIGNAL) == 7);
    ::close(accepted);
    SECTION("and all of it") {
        client.stream->write("more");
        REQUIRE(loop.run_until([&] { return !client.failure.empty(); }, 10s));
        CHECK(client.received == "refused");
    }
    SECTION("also where the reader goes away then") {
        client.on_bytes = [&client] { client.stream.reset(); };
        client.stream->write("more");
        REQUIRE(loop.run_until([&] { return client.stream == nullptr; }, 10s));
        CHECK(client.received == "refused");
        CHECK(client.failure.empty());
    }
    SECTION("but not to one who has paused") {
        client.stream->pause();
        client.stream->write("more");
        REQUIRE(loop.run_until([&] { return !client.failure.empty(); }, 10s));
        CHECK(client.received.empty());
    }
}

}  // namespace
}  // namespace candela
