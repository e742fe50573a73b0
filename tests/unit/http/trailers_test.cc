// Trailers through the proxy: in both protocols, in both directions, and what is none.

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "h2_client.h"
#include "http/trailers.h"
#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;

namespace {

constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: X-Hop\r\n\r\n"
    "2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Type: evil/evil\r\nSet-Cookie: a=b\r\nX-Hop: 2\r\n"
    "X-Forwarded-For: 6.6.6.6\r\nContent_Length: 7\r\nX-Sum: 2\r\n\r\n";

struct TrailerWorld : World {
    TrailerWorld() {
        open_endpoint(1);
        route_to({1});
    }
    Peer& asked() {
        sim.run_until([&] { return !at[1].empty() && !at[1].back()->received.empty(); }, 1s);
        REQUIRE_FALSE(at[1].empty());
        return *at[1].back();
    }
};

H2FieldList post(std::string te = "") {
    H2FieldList fields = H2Client::get("/up");
    fields[0].second = "POST";
    if (!te.empty()) fields.emplace_back("te", std::move(te));
    return fields;
}

}  // namespace

TEST_CASE("fields that say how a message is to be taken are no trailers") {
    const Headers head = {{"Connection", "keep-alive, X-Hop"}};
    for (const char* name :
         {"Transfer-Encoding", "content-length", "HOST", "Authorization", "Set-Cookie", "TE",
          "Trailer", "Content-Encoding", "Cache-Control", "x-forwarded-anything", "Content_Length",
          "x-hop", "If-None-Match", "Proxy-Authorization", "proxy-authentication-info"}) {
        INFO(name);
        const Headers one = {{name, "1"}};
        CHECK_FALSE(may_be_trailer(head, one[0]));
    }
    for (const char* name : {"grpc-status", "Grpc-Message", "X-Checksum", "Digest", "ETag", "agent",
                             "x", "a-name-that-is-longer-than-all-of-the-list"}) {
        INFO(name);
        const Headers one = {{name, "1"}};
        CHECK(may_be_trailer(head, one[0]));
    }
}

TEST_CASE("an HTTP/1.1 client that says so gets the answer's trailers") {
    TrailerWorld world;
    auto client = world.connect();
    client->send("GET / HTTP/1.1\r\nHost: a\r\nTE: gzip, trailers\r\nConnection: TE\r\n\r\n");
    Peer& endpoint = world.asked();
    CHECK_THAT(endpoint.take(), ContainsSubstring("\r\nTE: trailers\r\nConnection: TE\r\n"));
    endpoint.send(kAnswer);
    world.settle();
    const std::string answer = client->take();
    CHECK_THAT(answer, ContainsSubstring("\r\nTrailer: X-Sum\r\n"));
    CHECK_THAT(answer, EndsWith("\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n"));
    // The connection goes on, and no trailer with it.
    client->send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
    world.settle();
    CHECK(world.at[1].size() == 1);
    endpoint.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    world.settle();
    CHECK_THAT(client->take(), EndsWith("\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
}

TEST_CASE("a client that does not say so gets none") {
    TrailerWorld world;
    auto client = world.connect();
    client->send(kGet);
    Peer& endpoint = world.asked();
    CHECK_THAT(endpoint.take(), !ContainsSubstring("TE:"));
    endpoint.send(kAnswer);
    world.settle();
    const std::string answer = client->take();
    CHECK_THAT(answer, !ContainsSubstring("Trailer") && !ContainsSubstring("X-Sum"));
    CHECK_THAT(answer, EndsWith("2\r\nok\r\n0\r\n\r\n"));
    auto old = world.connect();
    old->send("GET / HTTP/1.0\r\nTE: trailers\r\n\r\n");
    world.asked().send(kAnswer);
    world.settle();
    CHECK_THAT(old->take(), EndsWith("\r\n\r\nok"));
}

TEST_CASE("an HTTP/2 client gets the answer's trailers as such") {
    TrailerWorld world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request(H2Client::get());
    world.asked().send(kAnswer);
    world.settle();
    const H2Answer& answer = client.answers[id];
    CHECK(answer.body == "ok");
    CHECK(answer.is_complete);
    CHECK(answer.trailers == std::map<std::string, std::string>{{"x-sum", "2"}});
    CHECK(answer.fields.at("trailer") == "X-Sum");
}

TEST_CASE("trailers without a body before them reach an HTTP/2 client") {
    TrailerWorld world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request(H2Client::get());
    world.asked().send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGrpc-Status: 5\r\n\r\n");
    world.settle();
    CHECK(client.answers[id].is_complete);
    CHECK(client.answers[id].trailers.at("grpc-status") == "5");
}

TEST_CASE("a request's trailers go up in chunks, from either protocol") {
    TrailerWorld world;
    auto first = world.connect();
    first->send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        "2\r\nhi\r\n0\r\nX-Sum: 9\r\nAuthorization: evil\r\n\r\n");
    Peer& endpoint = world.asked();
    const std::string seen = endpoint.take();
    CHECK_THAT(seen, ContainsSubstring("\r\nTrailer: X-Sum\r\n"));
    CHECK_THAT(seen, EndsWith("2\r\nhi\r\n0\r\nX-Sum: 9\r\n\r\n"));
    endpoint.send(kOk);
    world.settle();
    CHECK_THAT(first->take(), EndsWith("ok"));

    H2Client second(world.connect_stream());
    const int32_t id = second.request_with_body(post("trailers"));
    second.send_body(id, "ho", false);
    world.settle();
    second.send_trailers(id, {{"x-sum", "8"}, {"host", "evil"}, {"x-forwarded-for", "6.6.6.6"}});
    Peer& other = world.asked();
    world.settle();
    CHECK_THAT(other.take(), ContainsSubstring("\r\nTE: trailers\r\nConnection: TE\r\n") &&
                                 EndsWith("2\r\nho\r\n0\r\nx-sum: 8\r\n\r\n"));
}

TEST_CASE("trailers of a request with a length are dropped") {
    TrailerWorld world;
    H2Client client(world.connect_stream());
    H2FieldList fields = post();
    fields.emplace_back("content-length", "2");
    const int32_t id = client.request_with_body(fields);
    client.send_body(id, "hi", false);
    client.send_trailers(id, {{"x-sum", "8"}});
    Peer& endpoint = world.asked();
    world.settle();
    CHECK_THAT(endpoint.take(), EndsWith("\r\n\r\nhi"));
    endpoint.send(kOk);
    world.settle();
    CHECK(client.answers[id].body == "ok");
}

TEST_CASE("trailers count as fields of the head do") {
    TrailerWorld world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(post());
    client.send_body(id, "hi", false);
    world.asked();
    H2FieldList many;
    for (int i = 0; i < 101; ++i) many.emplace_back(fmt::format("x-{}", i), "1");
    client.send_trailers(id, many);
    world.settle();
    CHECK(client.answers[id].status == 431);
    CHECK(world.at[1].back()->is_over());

    // An endpoint's, of which nobody knows the end.
    auto other = world.connect();
    other->send(kGet);
    world.settle();
    Peer& endpoint = *world.at[1].back();
    REQUIRE_FALSE(endpoint.received.empty());
    std::string answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";
    for (int i = 0; i < 101; ++i) answer += fmt::format("x-{}: 1\r\n", i);
    endpoint.send(answer + "\r\n");
    world.settle();
    CHECK(other->is_over());
}
