// What the proxy does when endpoints fail, are missing or slow: retry, hold, give up, say why.

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

TEST_CASE("a request that no endpoint has seen goes to another endpoint") {
    World world;
    world.open_endpoint(2);
    world.route_to({1, 2, 3});  // 1 and 3 refuse
    for (int i = 0; i < 6; ++i) {
        auto client = world.connect();
        client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        world.settle();
        REQUIRE_FALSE(world.at[2].empty());
        CHECK_THAT(world.at[2].back()->take(), StartsWith("POST ") && EndsWith("hi"));
        world.at[2].back()->send(kOk);
        world.settle();
        CHECK_THAT(client->take(), EndsWith("ok"));
    }
}

TEST_CASE("a pooled connection that turns out closed costs nobody an idempotent request") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    world.at[1][0]->send(kOk);
    world.settle();
    client->take();
    client->send(kGet);
    world.settle();
    world.at[1][0]->close();  // without a byte of an answer
    world.settle();
    REQUIRE(world.at[1].size() == 2);
    world.at[1][1]->send(kOk);
    world.settle();
    CHECK_THAT(client->take(), EndsWith("ok"));
}

TEST_CASE("a request that may have had an effect is not sent twice") {
    World world;
    world.open_endpoint(1);
    world.open_endpoint(2);
    world.route_to({1, 2});
    auto client = world.connect();
    client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    world.settle();
    const int chosen = world.at[1].empty() ? 2 : 1;
    world.at[chosen][0]->close();
    world.settle();
    CHECK_THAT(client->take(),
               StartsWith("HTTP/1.1 502 Bad Gateway\r\n") && ContainsSubstring("default/hello"));
    CHECK(world.at[3 - chosen].empty());
    CHECK_FALSE(client->is_over());
}

TEST_CASE(
    "an idempotent request is sent to another endpoint when the first breaks without a word") {
    World world;
    world.open_endpoint(1);
    world.open_endpoint(2);
    world.route_to({1, 2});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    const int chosen = world.at[1].empty() ? 2 : 1;
    world.at[chosen][0]->close();
    world.settle();
    REQUIRE(world.at[3 - chosen].size() == 1);
    world.at[3 - chosen][0]->send(kOk);
    world.settle();
    CHECK_THAT(client->take(), EndsWith("ok"));
}

TEST_CASE("the only endpoint is asked again after a moment, each longer, and no more than thrice") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle(10ms);
    REQUIRE(world.at[1].size() == 1);
    world.at[1][0]->close();
    world.settle(20ms);
    CHECK(world.at[1].size() == 1);
    world.settle(20ms);
    REQUIRE(world.at[1].size() == 2);
    world.at[1][1]->close();
    world.settle(90ms);
    CHECK(world.at[1].size() == 2);
    world.settle(30ms);
    REQUIRE(world.at[1].size() == 3);
    SECTION("and answers") {
        world.at[1][2]->send(kOk);
        world.settle();
        CHECK_THAT(client->take(), EndsWith("ok"));
    }
    SECTION("and fails for good") {
        world.at[1][2]->close();
        world.settle(1s);
        CHECK(world.at[1].size() == 3);
        CHECK_THAT(client->take(), StartsWith("HTTP/1.1 502 Bad Gateway\r\n"));
    }
}

TEST_CASE("a client that leaves while its request waits for another attempt leaves nothing") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle(10ms);
    world.at[1][0]->close();
    world.settle(5ms);
    client->close();
    world.settle(1s);
    CHECK(world.at[1].size() == 1);
    CHECK(world.proxy->counters().requests_in_flight == 0);
}

TEST_CASE("an answer that has begun is never begun again") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    world.at[1][0]->send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    world.settle();
    world.at[1][0]->close();
    world.settle();
    CHECK_THAT(client->take(), EndsWith("half"));
    CHECK(client->is_over());
    CHECK(world.at[1].size() == 1);
}

TEST_CASE("an answer that is not HTTP is 502") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    world.at[1][0]->send("SSH-2.0-OpenSSH\r\n");
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 502 Bad Gateway\r\n"));
    CHECK(world.at[1][0]->is_over());
}

TEST_CASE("bytes after an answer are not taken for the next one's") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    world.at[1][0]->send(std::string(kOk) + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    world.settle();
    CHECK_THAT(client->take(), EndsWith("\r\n\r\nok"));
    CHECK(world.at[1][0]->is_over());
    client->send(kGet);
    world.settle();
    REQUIRE(world.at[1].size() == 2);
    world.at[1][1]->send(kOk);
    world.settle();
    CHECK_THAT(client->take(), EndsWith("\r\n\r\nok"));
}

TEST_CASE("requests are held while no endpoint is ready, and go on when one is") {
    World world;
    auto client = world.connect();
    client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    world.settle(5s);
    CHECK(client->received.empty());
    CHECK(world.upstream->held_count() == 1);
    world.open_endpoint(1);
    world.route_to({1});
    world.settle();
    REQUIRE(world.at[1].size() == 1);
    CHECK_THAT(world.at[1][0]->take(), StartsWith("POST ") && EndsWith("hi"));
    world.at[1][0]->send(kOk);
    world.settle();
    CHECK_THAT(client->take(), EndsWith("ok"));
    CHECK(world.proxy->counters().requests_held == 0);
}

TEST_CASE("a request that is held too long is answered 503 with Retry-After") {
    World world;
    auto client = world.connect();
    client->send(kGet);
    world.settle(29s);
    CHECK(client->received.empty());
    world.settle(2s);
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 503 Service Unavailable\r\n") &&
                                   ContainsSubstring("Retry-After: "));
    CHECK_FALSE(client->is_over());
    CHECK(world.upstream->held_count() == 0);
    CHECK(world.proxy->counters().requests_held == 0);
}

TEST_CASE("an endpoint that comes back is found while requests wait for it") {
    World world;
    world.route_to({1});  // refuses
    auto client = world.connect();
    client->send(kGet);
    world.settle(3s);
    CHECK(client->received.empty());
    world.open_endpoint(1);
    world.settle(31s);
    REQUIRE(world.at[1].size() == 1);
    world.at[1][0]->send(kOk);
    world.settle();
    CHECK_THAT(client->take(), EndsWith("ok"));
}

TEST_CASE("only so many requests are held") {
    UpstreamOptions options;
    options.hold_requests_max = 2;
    World world(ProxyOptions(), options);
    auto first = world.connect(), second = world.connect(), third = world.connect();
    for (Peer* peer : {first.get(), second.get(), third.get()}) {
        peer->send(kGet);
        world.settle();
    }
    CHECK(world.upstream->held_count() == 2);
    CHECK_THAT(third->take() + second->take() + first->take(), StartsWith("HTTP/1.1 503 "));
    // One that leaves makes room.
    first->close();
    world.settle();
    CHECK(world.upstream->held_count() == 1);
    world.upstream->set_options(UpstreamOptions());
    second->close();
    world.settle();
    CHECK(world.upstream->held_count() == 0);
}

TEST_CASE("an endpoint that does not answer is 504") {
    ProxyOptions options;
    options.response_timeout = 10s;
    World world(options);
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle(11s);
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 504 Gateway Timeout\r\n"));
    CHECK(world.at[1].size() == 1);
    CHECK(world.at[1][0]->is_over());
}

TEST_CASE("an endpoint that stops taking a request's body is 504") {
    ProxyOptions options;
    options.response_timeout = 10s;
    World world(options);
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n");
    world.settle();
    world.at[1][0]->pause();
    for (int i = 0; i < 20; ++i) {
        client->send(std::string(1 << 16, 'x'));
        world.settle(5ms);
    }
    world.settle(25s);
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 504 Gateway Timeout\r\n"));
}

TEST_CASE("a service without routes answers those it holds, and lives until the last is done") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    Upstream& upstream = *world.upstream;
    world.proxy->retire(std::move(world.upstream));
    std::vector<std::string> busy;
    world.proxy->collect_busy(busy);
    CHECK(busy == std::vector<std::string>{"hello-1"});
    CHECK_FALSE(upstream.is_unused());
    world.at[1][0]->send(kOk);
    world.settle();
    CHECK_THAT(client->take(), EndsWith("ok"));
    busy.clear();
    world.proxy->collect_busy(busy);
    CHECK(busy.empty());
}

TEST_CASE("an endpoint that leaves finishes what it has and gets nothing new") {
    World world;
    world.open_endpoint(1);
    world.open_endpoint(2);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    world.route_to({2});
    auto other = world.connect();
    other->send(kGet);
    world.settle();
    CHECK(world.at[2].size() == 1);
    std::vector<std::string> busy;
    world.upstream->collect_busy(busy);
    CHECK(busy == std::vector<std::string>{"hello-1"});
    world.at[1][0]->send(kOk);
    world.settle();
    CHECK_THAT(client->take(), EndsWith("ok"));
    CHECK(world.at[1][0]->is_over());
    busy.clear();
    world.upstream->collect_busy(busy);
    CHECK(busy.empty());
}

TEST_CASE("an endpoint that stays keeps its connections when the table changes") {
    World world;
    world.open_endpoint(1);
    world.open_endpoint(2);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    world.at[1][0]->send(kOk);
    world.settle();
    world.route_to({2, 1});
    world.route_to({1});
    client->send(kGet);
    world.settle();
    CHECK(world.at[1].size() == 1);
    CHECK(count_of(world.at[1][0]->received, "GET ") == 2);
}
