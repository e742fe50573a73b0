// Streaming, backpressure, upgrades, slow and vanishing clients, drain.

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

// Sends in pieces, as a socket would: a simulated stream passes on in one piece what is written at
// once.
void send_much(World& world, Peer& peer, size_t total, char what) {
    for (size_t sent = 0; sent < total; sent += 1 << 16) {
        peer.send(std::string(1 << 16, what));
        world.settle(5ms);
    }
}

constexpr std::string_view kUpgrade =
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
constexpr std::string_view kSwitch =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

}  // namespace

TEST_CASE("a slow reader holds the endpoint back, and loses nothing") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    client->pause();
    const size_t total = 8 << 20;
    Peer& endpoint = *world.at[1][0];
    endpoint.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(total) + "\r\n\r\n");
    send_much(world, endpoint, total, 'x');
    world.settle(1s);
    // What the proxy does not take stays with the sender.
    CHECK(endpoint.queued() > total / 2);
    client->resume();
    world.settle(10s);
    CHECK(count_of(client->received, "x") == total);
    CHECK(endpoint.queued() == 0);
    CHECK(world.statuses == std::vector<int>{200});
}

TEST_CASE("a slow endpoint holds the uploading client back, and loses nothing") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    const size_t total = 8 << 20;
    client->send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(total) +
                 "\r\n\r\n");
    world.settle();
    Peer& endpoint = *world.at[1][0];
    endpoint.pause();
    send_much(world, *client, total, 'x');
    world.settle(20s);  // longer than the window of the data rate: it is not the client who is slow
    CHECK(client->queued() > total / 2);
    endpoint.resume();
    world.settle(10s);
    CHECK(count_of(endpoint.received, "x") == total);
    endpoint.send(kOk);
    world.settle();
    CHECK_THAT(client->take(), EndsWith("ok"));
}

TEST_CASE("pieces of a stream come through one by one") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    world.at[1][0]->send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    world.settle();
    CHECK_THAT(client->take(), EndsWith("\r\n\r\n"));
    for (int i = 0; i < 3; ++i) {
        world.at[1][0]->send("9\r\ndata: 1\n\n\r\n");
        world.settle();
        CHECK(client->take() == "9\r\ndata: 1\n\n\r\n");
        world.settle(60s);
    }
}

TEST_CASE("an upgrade becomes a relay of raw bytes with half-close") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(std::string(kUpgrade) + "early");
    world.settle();
    Peer& endpoint = *world.at[1][0];
    CHECK_THAT(
        endpoint.take(),
        ContainsSubstring("Connection: Upgrade\r\nUpgrade: websocket\r\n") && EndsWith("\r\n\r\n"));
    endpoint.send(std::string(kSwitch) + "hello");
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 101 Switching Protocols\r\n") &&
                                   ContainsSubstring("Upgrade: websocket\r\n") &&
                                   EndsWith("\r\n\r\nhello"));
    CHECK(endpoint.take() == "early");
    client->send("GET / HTTP/1.1\r\n\r\n");
    world.settle();
    CHECK(endpoint.take() == "GET / HTTP/1.1\r\n\r\n");
    client->end();
    world.settle();
    CHECK(endpoint.ended);
    endpoint.send("last words");
    world.settle();
    CHECK(client->take() == "last words");
    endpoint.end();
    world.settle();
    CHECK(client->ended);
    CHECK(world.proxy->connection_count() == 0);
    CHECK(world.statuses == std::vector<int>{101});
}

TEST_CASE("a relay is bounded by the slower side") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kUpgrade);
    world.settle();
    Peer& endpoint = *world.at[1][0];
    endpoint.send(kSwitch);
    world.settle();
    client->take();
    client->pause();
    send_much(world, endpoint, 4 << 20, 'x');
    world.settle(1s);
    CHECK(endpoint.queued() > (2 << 20));
    client->resume();
    world.settle(5s);
    CHECK(client->received.size() == (4 << 20));
    endpoint.take();
    endpoint.pause();
    send_much(world, *client, 4 << 20, 'y');
    world.settle(1s);
    CHECK(client->queued() > (2 << 20));
    endpoint.resume();
    world.settle(5s);
    CHECK(endpoint.received.size() == (4 << 20));
}

TEST_CASE("an endpoint that switches protocols unasked is 502") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    world.at[1][0]->send(kSwitch);
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 502 "));
}

TEST_CASE("a refused upgrade leaves an ordinary connection") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kUpgrade);
    world.settle();
    world.at[1][0]->send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 403 "));
    client->send(kGet);
    world.settle();
    CHECK_THAT(world.at[1][0]->take(), EndsWith("\r\n\r\n"));
    world.at[1][0]->send(kOk);
    world.settle();
    CHECK_THAT(client->take(), EndsWith("ok"));
}

TEST_CASE("a client that leaves takes its request with it") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome");
    world.settle();
    client->close();
    world.settle();
    CHECK(world.at[1][0]->is_over());
    CHECK(world.proxy->connection_count() == 0);
    CHECK(world.proxy->counters().requests_in_flight == 0);
}

TEST_CASE("a client that closes its direction still gets its answer, unless it is gone") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    client->end();
    world.settle(20s);
    world.at[1][0]->send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok");
    world.settle();
    world.at[1][0]->send("ay");
    world.settle();
    CHECK_THAT(client->take(), EndsWith("okay"));
    CHECK(client->ended);

    auto silent = world.connect();
    silent->send(kGet);
    world.settle();
    world.at[1].back()->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    world.settle();
    silent->end();
    world.settle(11s);
    CHECK(world.at[1].back()->is_over());
    CHECK(world.proxy->counters().requests_in_flight == 0);
}

TEST_CASE("slow heads, slow bodies and idle connections end in time") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto idle = world.connect();
    auto slow_head = world.connect();
    auto slow_body = world.connect();
    slow_head->send("GET / HTTP/1.1\r\nHo");
    slow_body->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 40; ++i) {
        world.settle(1s);
        slow_body->send("x");
        if (i < 14) slow_head->send("s");
    }
    CHECK_THAT(slow_head->take(), StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
    CHECK_THAT(slow_body->take(), StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
    CHECK_FALSE(idle->is_over());
    world.settle(60s);
    CHECK(idle->ended);
    CHECK(idle->received.empty());
    CHECK(world.proxy->connection_count() == 0);
}

TEST_CASE("a client that takes nothing is cut off") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    client->pause();
    world.at[1][0]->send("HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" +
                         std::string(4000000, 'x'));
    world.settle(3min);
    CHECK(world.proxy->connection_count() == 0);
    CHECK(world.at[1][0]->is_over());
}

TEST_CASE("an answer that comes before the whole body ends the connection, not the answer") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nsome");
    world.settle();
    world.at[1][0]->send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    world.settle();
    client->send(std::string(500, 'x'));
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 413 ") && EndsWith("big"));
    CHECK(client->ended);
    CHECK(world.at[1][0]->is_over());
}

TEST_CASE("a body above the limit is 413, however it is framed") {
    ProxyOptions options;
    options.body_bytes_max = 10;
    World world(options);
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 413 "));
    client = world.connect();
    client->send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n");
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 413 "));
    CHECK(client->ended);
}

TEST_CASE("a drain lets requests in flight finish and closes idle connections") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto idle = world.connect();
    auto busy = world.connect();
    busy->send(kGet);
    world.settle();
    bool is_empty = false;
    world.proxy->drain([&] { is_empty = true; });
    world.settle();
    CHECK(idle->ended);
    CHECK_FALSE(is_empty);
    world.at[1][0]->send(kOk);
    world.settle();
    CHECK_THAT(busy->take(), ContainsSubstring("Connection: close\r\n") && EndsWith("ok"));
    CHECK(busy->ended);
    idle->end();
    busy->end();
    world.settle();
    CHECK(is_empty);
}

TEST_CASE("a drain with a grace serves what was on its way when another process took over") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto kept = world.connect();
    auto silent = world.connect();
    world.settle();
    bool is_empty = false;
    world.proxy->drain([&] { is_empty = true; }, 2s);
    auto late = world.connect();  // accepted before, handed on only now
    world.settle(500ms);
    CHECK_FALSE(kept->ended);
    for (auto* client : {&*kept, &*late}) {
        client->send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
        world.settle();
        CHECK_THAT(client->take(), ContainsSubstring("Connection: close\r\n"));
        CHECK(client->ended);
        client->end();
    }
    CHECK_FALSE(silent->ended);
    world.settle(2s);
    CHECK(silent->ended);
    silent->end();
    world.settle();
    CHECK(is_empty);
}

TEST_CASE("many pipelined requests to a client that does not read are not all answered") {
    World world;
    auto client = world.connect();
    client->pause();
    for (int i = 0; i < 200; ++i) {
        std::string many;
        for (int j = 0; j < 100; ++j) many += "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
        client->send(many);
    }
    world.settle(1s);
    CHECK(world.statuses.size() < 4000);
    client->resume();
    world.settle(5s);
    CHECK(world.statuses.size() == 20000);
    CHECK(count_of(client->received, "HTTP/1.1 404 ") == 20000);
}
