// The plain course of requests through the proxy.

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

TEST_CASE("a request reaches the endpoint and its answer the client") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(
        "GET /a?b=c HTTP/1.1\r\nHost: Hello.Example:80\r\nX-Own: 1\r\nConnection: keep-alive, x-hop\r\n"
        "X-Hop: 2\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n");
    world.settle();
    REQUIRE(world.at[1].size() == 1);
    const std::string seen = world.at[1][0]->take();
    CHECK_THAT(seen, StartsWith("GET /a?b=c HTTP/1.1\r\nHost: Hello.Example:80\r\nX-Own: 1\r\n"));
    CHECK_THAT(seen, !ContainsSubstring("X-Hop") && !ContainsSubstring("6.6.6.6") &&
                         !ContainsSubstring("Connection"));
    CHECK_THAT(seen, ContainsSubstring(
                         "X-Forwarded-Proto: http\r\nX-Forwarded-Host: Hello.Example:80\r\n"));
    CHECK_THAT(seen, ContainsSubstring(";host=\"Hello.Example:80\";proto=http\r\n"));
    CHECK(world.last_host == "hello.example");
    CHECK(world.last_path == "/a");

    world.at[1][0]->send(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\nX-Answer: 3\r\n\r\nok");
    world.settle();
    CHECK_THAT(client->received,
               StartsWith("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Answer: 3\r\nDate: ") &&
                   EndsWith("\r\n\r\nok") && !ContainsSubstring("Keep-Alive"));
    CHECK(world.statuses == std::vector<int>{200});
    CHECK_FALSE(client->is_over());
}

TEST_CASE("connections to an endpoint are kept and used again") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    for (int i = 0; i < 5; ++i) {
        client->send(kGet);
        world.settle();
        REQUIRE(world.at[1].size() == 1);
        CHECK(count_of(world.at[1][0]->take(), "GET / ") == 1);
        world.at[1][0]->send(kOk);
        world.settle();
        CHECK_THAT(client->take(), EndsWith("ok"));
    }
    // Idle for longer than the pool keeps it, the connection is closed from our side.
    world.settle(10s);
    CHECK(world.at[1][0]->ended + world.at[1][0]->broken > 0);
}

TEST_CASE("a request split into single bytes is the same request") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    const std::string_view request =
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\n\r\n";
    for (const char byte : request) {
        client->send(std::string_view(&byte, 1));
        world.settle(2ms);
    }
    world.settle();
    CHECK_THAT(world.at[1][0]->take(),
               ContainsSubstring("Transfer-Encoding: chunked\r\n") &&
                   EndsWith("\r\n\r\n1\r\nw\r\n1\r\ni\r\n1\r\nk\r\n1\r\ni\r\n0\r\n\r\n"));
    for (const char byte : std::string_view("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                            "2\r\nok\r\n0\r\n\r\n")) {
        world.at[1][0]->send(std::string_view(&byte, 1));
        world.settle(2ms);
    }
    CHECK_THAT(client->take(), ContainsSubstring("\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"));
}

TEST_CASE("pipelined requests are answered in order, one at a time") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"
        "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    world.settle();
    CHECK(count_of(world.at[1][0]->received, "GET ") == 1);
    world.at[1][0]->send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    world.settle();
    CHECK_THAT(client->take(), ContainsSubstring("\r\n\r\noneHTTP/1.1 404 Not Found\r\n"));
    CHECK(count_of(world.at[1][0]->received, "GET ") == 2);
    world.at[1][0]->send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree");
    world.settle();
    CHECK_THAT(client->take(), EndsWith("three"));
    CHECK(world.statuses == std::vector<int>{200, 404, 200});
}

TEST_CASE("HEAD passes the length on and no body") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    world.settle();
    world.at[1][0]->send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    world.settle();
    CHECK_THAT(client->take(),
               ContainsSubstring("Content-Length: 1000\r\n") && EndsWith("\r\n\r\n"));
    client->send(kGet);
    world.settle();
    world.at[1][0]->send(kOk);
    world.settle();
    CHECK_THAT(client->take(), EndsWith("ok"));
    CHECK(world.at[1].size() == 1);
}

TEST_CASE("100 Continue goes end to end") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send("PUT /f HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    world.settle();
    CHECK_THAT(world.at[1][0]->take(), ContainsSubstring("Expect: 100-continue\r\n"));
    CHECK(client->received.empty());
    world.at[1][0]->send("HTTP/1.1 100 Continue\r\n\r\n");
    world.settle();
    CHECK(client->take() == "HTTP/1.1 100 Continue\r\n\r\n");
    client->send("data");
    world.settle();
    CHECK(world.at[1][0]->take() == "data");
    world.at[1][0]->send(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    world.settle();
    CHECK_THAT(client->take(),
               StartsWith("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 "));
}

TEST_CASE("HTTP/1.0 clients get no chunks and no interim answers") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    world.settle();
    CHECK_THAT(world.at[1][0]->take(), StartsWith("GET / HTTP/1.1\r\nHost: localhost\r\n"));
    world.at[1][0]->send(kOk);
    world.settle();
    CHECK_THAT(client->take(), ContainsSubstring("Connection: keep-alive\r\n") && EndsWith("ok"));
    client->send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    world.settle();
    world.at[1][0]->send(
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\nok\r\n0\r\n\r\n");
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 200 OK\r\n") && EndsWith("\r\n\r\nok") &&
                                   ContainsSubstring("Connection: close\r\n"));
    CHECK(client->ended);
}

TEST_CASE("an answer that ends with the connection becomes chunks") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle();
    world.at[1][0]->send("HTTP/1.1 200 OK\r\n\r\nto the end");
    world.settle();
    CHECK_FALSE(client->received.ends_with("0\r\n\r\n"));
    world.at[1][0]->end();
    world.settle();
    CHECK_THAT(client->take(), ContainsSubstring("Transfer-Encoding: chunked\r\n") &&
                                   EndsWith("a\r\nto the end\r\n0\r\n\r\n"));
    CHECK_FALSE(client->is_over());
}

TEST_CASE("what is malformed is answered 400 and closed, and nothing goes upstream") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 400 Bad Request\r\n") &&
                                   ContainsSubstring("Connection: close\r\n"));
    CHECK(client->ended);
    CHECK(world.at[1].empty());

    client = world.connect();
    client->send("GET /a/../../b HTTP/1.1\r\nHost: a\r\n\r\n");
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 400 Bad Request\r\n"));
    CHECK(world.at[1].empty());
}

TEST_CASE("a body that turns out malformed takes the request down with it") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
    world.settle();
    client->send("nonsense\r\n");
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 400 "));
    CHECK(client->ended);
    CHECK(world.at[1][0]->is_over());
}

TEST_CASE("a connection's next request is held to the options of that time") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto early = world.connect();
    auto late = world.connect();
    const auto ask = [&](Peer& client, const std::string& answer) {
        client.send(kGet);
        world.settle();
        if (!world.at[1].empty() && !world.at[1][0]->take().empty()) world.at[1][0]->send(kOk);
        world.settle();
        CHECK_THAT(client.take(), ContainsSubstring(answer));
    };
    ask(*early, "200 OK");
    ask(*late, "200 OK");
    // A head that has begun by then, whose parser goes back to the others' when it is answered.
    early->send(kGet.substr(0, 10));
    world.settle();
    ProxyOptions options;
    options.request_limits.head_bytes_max = 20;
    world.proxy->set_options(options);
    early->send(kGet.substr(10));
    world.settle();
    world.at[1][0]->take();
    world.at[1][0]->send(kOk);
    world.settle();
    CHECK_THAT(early->take(), ContainsSubstring("200 OK"));
    ask(*late, "431 ");
    ask(*early, "431 ");
}

TEST_CASE("routes and endpoints see one normal path") {
    World world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    client->send("GET /a/./b/%2e%2e/%63?x=%2e HTTP/1.1\r\nHost: a\r\n\r\n");
    world.settle();
    CHECK(world.last_path == "/a/c");
    CHECK_THAT(world.at[1][0]->take(), StartsWith("GET /a/c?x=%2e HTTP/1.1\r\n"));
}
