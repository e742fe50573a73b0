#include "tunnels.h"

#include <catch2/catch_test_macros.hpp>

#include "loop/sim_loop.h"

namespace candela::host {
namespace {

// One end of a stream, with what came in.
struct End final : StreamHandler {
    void on_data(std::string_view bytes) override { got += bytes; }
    void on_end() override { has_ended = true; }
    void on_error(const Error&) override { has_failed = true; }
    StreamPtr stream;
    std::string got;
    bool has_ended = false;
    bool has_failed = false;
};

struct Tunnelled {
    SimWorld world{5};
    SimLoop& loop = world.add_loop("host");
    End gateway, instance;
    StreamPtr host_side;
    std::unique_ptr<Listener> tunnel_listener, listener;
    std::unique_ptr<ConnectAttempt> attempt;
    std::unique_ptr<Tunnels> tunnels;

    Tunnelled() {
        tunnels = std::make_unique<Tunnels>(
            loop,
            [](std::string_view name) {
                return name == "hello-1" ? std::optional<uint16_t>(21000) : std::nullopt;
            },
            Logger());
        // Stands for the stream over the bus.
        auto made = loop.listen(Address::tcp("10.0.0.1", 1), ListenOptions(),
                                [this](StreamPtr stream) { host_side = std::move(stream); });
        REQUIRE(made.has_value());
        tunnel_listener = std::move(*made);
        attempt = loop.connect(Address::tcp("10.0.0.1", 1), [this](Result<StreamPtr> stream) {
            gateway.stream = std::move(*stream);
            gateway.stream->start(gateway);
        });
        REQUIRE(world.run_until([this] { return host_side && gateway.stream; }, 10s));
    }
    void listen() {
        auto made = loop.listen(Address::tcp("127.0.0.1", 21000), ListenOptions(),
                                [this](StreamPtr stream) {
                                    instance.stream = std::move(stream);
                                    instance.stream->start(instance);
                                });
        REQUIRE(made.has_value());
        listener = std::move(*made);
    }
};

TEST_CASE_METHOD(Tunnelled, "bytes_pass_both_ways_and_ends_are_passed_on") {
    listen();
    gateway.stream->write("GET / HTTP/1.1\r\n");
    tunnels->accept(std::move(host_side), "hello-1");
    REQUIRE(world.run_until([this] { return instance.got == "GET / HTTP/1.1\r\n"; }, 10s));
    instance.stream->write("HTTP/1.1 200 OK\r\n");
    instance.stream->end();
    REQUIRE(world.run_until([this] { return gateway.has_ended; }, 10s));
    CHECK(gateway.got == "HTTP/1.1 200 OK\r\n");
    gateway.stream->write("more");
    gateway.stream->end();
    REQUIRE(world.run_until([this] { return instance.has_ended; }, 10s));
    CHECK(instance.got == "GET / HTTP/1.1\r\nmore");
    world.run_for(1s);
    CHECK(tunnels->size() == 0);
}

TEST_CASE_METHOD(Tunnelled, "much_data_arrives_whole") {
    listen();
    tunnels->accept(std::move(host_side), "hello-1");
    REQUIRE(world.run_until([this] { return instance.stream != nullptr; }, 10s));
    const std::string much(5'000'000, 'x');
    instance.stream->write(much);
    instance.stream->end();
    REQUIRE(world.run_until([this] { return gateway.has_ended; }, 10min));
    CHECK(gateway.got == much);
}

TEST_CASE_METHOD(Tunnelled, "an_instance_that_is_not_here_is_refused") {
    tunnels->accept(std::move(host_side), "hello-2");
    REQUIRE(world.run_until([this] { return gateway.has_ended || gateway.has_failed; }, 10s));
    CHECK(tunnels->size() == 0);
}

TEST_CASE_METHOD(Tunnelled, "an_instance_that_does_not_listen_ends_the_stream") {
    tunnels->accept(std::move(host_side), "hello-1");
    REQUIRE(world.run_until([this] { return gateway.has_ended || gateway.has_failed; }, 1min));
    world.run_for(1s);
    CHECK(tunnels->size() == 0);
}

TEST_CASE_METHOD(Tunnelled, "a_side_that_breaks_takes_the_other_with_it") {
    listen();
    tunnels->accept(std::move(host_side), "hello-1");
    REQUIRE(world.run_until([this] { return instance.stream != nullptr; }, 10s));
    world.run_for(100ms);
    instance.stream.reset();
    REQUIRE(world.run_until([this] { return gateway.has_ended || gateway.has_failed; }, 10s));
    gateway.stream.reset();
    world.run_for(1s);
    CHECK(tunnels->size() == 0);
}

TEST_CASE_METHOD(Tunnelled, "going_away_with_open_streams_is_safe") {
    listen();
    tunnels->accept(std::move(host_side), "hello-1");
    world.run_for(100ms);
    tunnels.reset();
    world.run_for(1s);
    CHECK((gateway.has_ended || gateway.has_failed));
}

}  // namespace
}  // namespace candela::host
