// Requests to HTTP/2 endpoints that end before their time: resets both ways, refusals, GOAWAY,
// broken and silent sessions, drains.

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "h2_client.h"
#include "h2_server.h"
#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

TEST_CASE("a client that resets its request resets it at the endpoint") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(H2Client::grpc());
    client.send_body(id, "x", false);
    H2Server& endpoint = world.asked();
    if (GENERATE(false, true)) endpoint.send_head(1, {{":status", "200"}});
    world.settle();
    client.reset(id);
    world.settle();
    CHECK(endpoint.asked[1].error_code == kH2Cancel);
    CHECK(world.proxy->counters().requests_in_flight == 0);
    // An HTTP/1.1 client that goes does the same; the session stays.
    auto peer = world.connect();
    peer->send(kGet);
    world.asked(1, 0, 3);
    peer->close();
    world.settle();
    CHECK(endpoint.asked[3].error_code == kH2Cancel);
    CHECK_FALSE(endpoint.is_over());
}

TEST_CASE("an endpoint that resets a stream is told on as it was meant") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t before = client.request_with_body(H2Client::grpc());
    world.asked().reset(1, kH2InternalError);
    world.settle();
    CHECK(client.answers[before].status == 502);
    CHECK_THAT(client.answers[before].body, ContainsSubstring("has reset the request"));
    const auto [theirs, ours] =
        GENERATE(std::pair(kH2Cancel, kH2Cancel), std::pair(kH2EnhanceYourCalm, kH2EnhanceYourCalm),
                 std::pair(kH2RefusedStream, kH2InternalError),
                 std::pair(kH2ProtocolError, kH2InternalError));
    const int32_t amid = client.request(H2Client::get());
    world.asked(1, 0, 3).send_head(3, {{":status", "200"}});
    world.h2[1][0]->send_body(3, "half", false);
    world.settle();
    world.h2[1][0]->reset(3, theirs);
    world.settle();
    CHECK(client.answers[amid].body == "half");
    CHECK_FALSE(client.answers[amid].is_complete);
    CHECK(client.answers[amid].error_code == ours);
    // On HTTP/1.1 only a cut shows it.
    auto peer = world.connect();
    peer->send(kGet);
    world.asked(1, 0, 5).send_head(5, {{":status", "200"}});
    world.h2[1][0]->send_body(5, "half", false);
    world.settle();
    world.h2[1][0]->reset(5, theirs);
    world.settle();
    CHECK(peer->is_over());
    CHECK_THAT(peer->take(), EndsWith("4\r\nhalf\r\n"));
}

TEST_CASE("an endpoint may answer before it has all of the request") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(H2Client::grpc());
    client.send_body(id, "first", false);
    H2Server& endpoint = world.asked();
    endpoint.send_head(1, {{":status", "200"}, {"grpc-status", "3"}}, true);
    world.settle();
    CHECK(client.answers[id].status == 200);
    CHECK(client.answers[id].is_complete);
    CHECK(endpoint.asked[1].error_code == kH2Cancel);
    const int32_t next = client.request(H2Client::get());
    world.asked(1, 0, 3).answer(3);
    world.settle();
    CHECK(client.answers[next].body == "ok");
}

TEST_CASE("a stream that is refused is asked for again, whatever the method") {
    H2EndpointWorld world;
    world.open_h2(1);
    world.open_h2(2);
    world.route_to_h2({1, 2});
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(H2Client::grpc());
    client.send_body(id, "all of it", false);
    client.send_trailers(id, {{"x-sum", "9"}});
    world.settle();
    const int chosen = world.h2[1].empty() ? 2 : 1;
    H2Server& first = world.asked(chosen);
    CHECK(first.asked[1].body == "all of it");
    first.reset(1, kH2RefusedStream);
    H2Server& second = world.asked(3 - chosen);
    world.settle();
    CHECK(second.asked[1].body == "all of it");
    CHECK(second.asked[1].trailers.at("x-sum") == "9");
    CHECK(second.asked[1].is_complete);
    second.answer(1);
    world.settle();
    CHECK(client.answers[id].body == "ok");
    CHECK(world.upstream->counters().retries == 1);
}

TEST_CASE("the only endpoint that refuses is asked thrice, and no more") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(H2Client::grpc());
    client.send_body(id, "body", true);
    for (const int32_t stream : {1, 3, 5}) {
        H2Server& endpoint = world.asked(1, 0, stream);
        world.settle(1ms);
        CHECK(endpoint.asked[stream].body == "body");
        endpoint.reset(stream, kH2RefusedStream);
    }
    world.settle(1s);
    CHECK(world.h2[1][0]->asked.size() == 3);
    CHECK(client.answers[id].status == 502);
    CHECK_THAT(client.answers[id].body, ContainsSubstring("has refused the request"));
}

TEST_CASE("a refused request of which part is gone is not made up") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(H2Client::grpc());
    client.send_body(id, std::string(100 * 1024, 'x'), false);
    H2Server& endpoint = world.asked();
    world.settle();
    CHECK(endpoint.asked[1].body.size() == 100 * 1024);
    endpoint.reset(1, kH2RefusedStream);
    world.settle(1s);
    CHECK(client.answers[id].status == 502);
    CHECK(endpoint.asked.size() == 1);
}

TEST_CASE("what an endpoint that goes has not processed is asked for on a new session") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t done = client.request_with_body(H2Client::grpc("/done"));
    world.asked(1, 0, 1);
    const int32_t again = client.request_with_body(H2Client::grpc("/again"));
    client.send_body(again, "part", false);
    H2Server& endpoint = world.asked(1, 0, 3);
    world.settle();
    endpoint.goaway(1);
    H2Server& other = world.asked(1, 1, 1);
    world.settle();
    CHECK(other.asked[1].fields.at(":path") == "/again");
    CHECK(other.asked[1].body == "part");
    client.send_body(again, " and rest", true);
    world.settle();
    CHECK(other.asked[1].body == "part and rest");
    CHECK(other.asked[1].is_complete);
    other.answer(1, "again");
    // What it had begun, it ends; then the session does.
    client.send_body(done, "more", true);
    world.settle();
    CHECK(endpoint.asked[1].body == "more");
    endpoint.answer(1, "done");
    world.settle();
    CHECK(client.answers[done].body == "done");
    CHECK(client.answers[again].body == "again");
    CHECK(endpoint.is_over());
    CHECK(world.h2[1].size() == 2);
}

TEST_CASE("a session that breaks is a connection that breaks") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t warm = client.request(H2Client::get());
    world.asked().answer(1);
    world.settle();
    CHECK(client.answers[warm].body == "ok");
    const int32_t safe = client.request(H2Client::get("/safe"));
    const int32_t unsafe = client.request_with_body(H2Client::grpc("/unsafe"));
    client.send_body(unsafe, "x", false);
    const int32_t begun = client.request(H2Client::get("/begun"));
    H2Server& endpoint = world.asked(1, 0, 7);
    endpoint.send_head(7, {{":status", "200"}});
    endpoint.send_body(7, "half", false);
    world.settle();
    endpoint.close();
    H2Server& other = world.asked(1, 1, 1);
    CHECK(other.asked[1].fields.at(":path") == "/safe");
    other.answer(1);
    world.settle();
    CHECK(client.answers[safe].body == "ok");
    CHECK(client.answers[unsafe].status == 502);
    CHECK(client.answers[begun].error_code == kH2InternalError);
    CHECK(world.proxy->counters().requests_in_flight == 0);
}

TEST_CASE("a session that is not used ends, and one that is silent is asked for its life") {
    OneH2 world(ProxyOptions(), H2ServerOptions{.answers_pings = GENERATE(true, false)});
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(H2Client::grpc());
    H2Server& endpoint = world.asked();
    endpoint.send_head(1, {{":status", "200"}});
    world.settle(5min);
    CHECK(endpoint.pings == 0);
    world.settle(45s);
    CHECK(endpoint.pings == 1);
    if (client.answers[id].is_closed) {  // it did not answer
        CHECK(client.answers[id].error_code == kH2InternalError);
        CHECK(endpoint.is_over());
        return;
    }
    endpoint.send_trailers(1, {{"grpc-status", "0"}});
    client.send_body(id, "", true);
    world.settle(50s);
    CHECK_FALSE(endpoint.is_over());
    world.settle(15s);
    CHECK(endpoint.is_over());
    CHECK(endpoint.goaways == std::vector<uint32_t>{kH2NoError});
}

TEST_CASE("an endpoint that leaves finishes what it has, and gets nothing new") {
    H2EndpointWorld world;
    world.open_h2(1);
    world.open_h2(2);
    world.route_to_h2({1});
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(H2Client::grpc());
    client.send_body(id, "a", false);
    H2Server& first = world.asked();
    world.route_to_h2({2});
    std::vector<std::string> busy;
    world.upstream->collect_busy(busy);
    CHECK(busy == std::vector<std::string>{"hello-1"});
    const int32_t next = client.request(H2Client::get());
    world.asked(2).answer(1, "second");
    client.send_body(id, "b", true);
    world.settle();
    CHECK(client.answers[next].body == "second");
    CHECK(first.asked[1].body == "ab");
    CHECK_FALSE(first.is_over());
    first.answer(1, "first");
    world.settle();
    CHECK(client.answers[id].body == "first");
    CHECK(first.is_over());
    busy.clear();
    world.upstream->collect_busy(busy);
    CHECK(busy.empty());
}

TEST_CASE("a proxy that drains lets streams to HTTP/2 endpoints end") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(H2Client::grpc());
    world.asked();
    bool is_empty = false;
    world.proxy->drain([&] { is_empty = true; });
    world.settle(5s);
    client.send_body(id, "late", true);
    world.settle();
    CHECK(world.h2[1][0]->asked[1].body == "late");
    world.h2[1][0]->answer(1);
    world.settle();
    CHECK(client.answers[id].body == "ok");
    client.close();
    world.settle(6s);
    CHECK(is_empty);
}

TEST_CASE("endpoints of one service may speak different protocols") {
    H2EndpointWorld world;
    world.open_h2(1);
    world.open_endpoint(2);
    world.upstream->update({H2EndpointWorld::h2_spec(1), World::spec(2)});
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(H2Client::grpc());
    client.send_body(id, "body", true);
    world.settle();
    if (world.h2[1].empty()) {
        client.reset(id);
        world.upstream->update({H2EndpointWorld::h2_spec(1)});
        const int32_t other = client.request_with_body(H2Client::grpc());
        client.send_body(other, "body", true);
        world.asked();
        world.upstream->update({H2EndpointWorld::h2_spec(1), World::spec(2)});
    }
    // Refused by the one, it goes to the other in the other's form.
    const size_t had = world.at[2].size();
    world.asked().reset(1, kH2RefusedStream);
    world.settle();
    REQUIRE(world.at[2].size() == had + 1);
    CHECK_THAT(world.at[2].back()->received, StartsWith("POST /pkg.Service/Method HTTP/1.1\r\n") &&
                                                 EndsWith("4\r\nbody\r\n0\r\n\r\n"));
}
