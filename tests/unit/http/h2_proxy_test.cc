// The course of HTTP/2 requests through the proxy.

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "h2_client.h"
#include "http/h2_connection.h"
#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

struct H2World : World {
    explicit H2World(ProxyOptions options = ProxyOptions()) : World(std::move(options)) {
        open_endpoint(1);
        route_to({1});
    }
    // The endpoint's connection number `index`, once it has been asked something.
    Peer& asked(size_t index = 0) {
        sim.run_until([&] { return at[1].size() > index && !at[1][index]->received.empty(); }, 1s);
        REQUIRE(at[1].size() > index);
        return *at[1][index];
    }
};

}  // namespace

TEST_CASE("an HTTP/2 request reaches the endpoint as HTTP/1.1, and its answer the client") {
    H2World world;
    H2Client client(world.connect_stream());
    H2FieldList fields = H2Client::get("/a?b=c", "Hello.Example:80");
    fields.insert(fields.end(), {{"x-own", "1"},
                                 {"cookie", "a=1"},
                                 {"cookie", "b=2"},
                                 {"te", "trailers"},
                                 {"x-forwarded-for", "6.6.6.6"}});
    const int32_t id = client.request(fields);
    Peer& endpoint = world.asked();
    const std::string seen = endpoint.take();
    CHECK_THAT(seen, StartsWith("GET /a?b=c HTTP/1.1\r\nHost: Hello.Example:80\r\nx-own: 1\r\n"));
    CHECK_THAT(seen, ContainsSubstring("cookie: a=1; b=2\r\n"));
    CHECK_THAT(seen, !ContainsSubstring("te:") && !ContainsSubstring("6.6.6.6") &&
                         !ContainsSubstring("Content-Length") && !ContainsSubstring("chunked"));
    CHECK(world.last_host == "hello.example");
    endpoint.send(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\nConnection: x-hop\r\n"
        "X-Hop: 1\r\nX-Answer: 3\r\n\r\nok");
    world.settle();
    const H2Answer& answer = client.answers[id];
    CHECK(answer.status == 200);
    CHECK(answer.body == "ok");
    CHECK(answer.is_complete);
    CHECK(answer.fields.at("content-length") == "2");
    CHECK(answer.fields.at("x-answer") == "3");
    CHECK(answer.fields.contains("date"));
    CHECK_FALSE(answer.fields.contains("keep-alive"));
    CHECK_FALSE(answer.fields.contains("x-hop"));
    CHECK(world.statuses == std::vector<int>{200});
}

TEST_CASE("requests of one HTTP/2 connection are answered in any order") {
    H2World world;
    H2Client client(world.connect_stream());
    std::vector<int32_t> ids;
    for (int i = 0; i < 3; ++i) ids.push_back(client.request(H2Client::get(fmt::format("/{}", i))));
    for (size_t i = 3; i-- > 0;) {
        Peer& endpoint = world.asked(i);
        const std::string path = endpoint.take().substr(5, 1);
        endpoint.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + path);
    }
    world.settle();
    for (int i = 0; i < 3; ++i) CHECK(client.answers[ids[i]].body == fmt::format("{}", i));
}

TEST_CASE("an HTTP/2 body goes up as it comes, with its length or in chunks") {
    H2World world;
    H2Client client(world.connect_stream());
    H2FieldList fields = H2Client::get("/up");
    fields[0].second = "POST";
    const bool has_length = GENERATE(false, true);
    if (has_length) fields.emplace_back("content-length", "6");
    const int32_t id = client.request_with_body(fields);
    client.send_body(id, "abc", false);
    Peer& endpoint = world.asked();
    world.settle();
    CHECK_THAT(endpoint.received, ContainsSubstring("abc"));
    client.send_body(id, "def", true);
    world.settle();
    if (has_length) {
        CHECK_THAT(endpoint.received, ContainsSubstring("Content-Length: 6\r\n") &&
                                          Catch::Matchers::EndsWith("\r\n\r\nabcdef"));
    } else {
        CHECK_THAT(endpoint.received,
                   ContainsSubstring("Transfer-Encoding: chunked\r\n") &&
                       Catch::Matchers::EndsWith("3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"));
    }
    endpoint.send("HTTP/1.1 204 No Content\r\n\r\n");
    world.settle();
    CHECK(client.answers[id].status == 204);
    CHECK(client.answers[id].is_complete);
}

TEST_CASE("an endpoint that does not read its upload holds the HTTP/2 client back") {
    ProxyOptions options;
    options.buffer_bytes_max = 32 * 1024;
    H2World world(options);
    H2Client client(world.connect_stream());
    H2FieldList fields = H2Client::get("/up");
    fields[0].second = "POST";
    const int32_t id = client.request_with_body(fields);
    client.send_body(id, "x", false);
    Peer& endpoint = world.asked();
    endpoint.pause();
    const std::string much(4 * 1024 * 1024, 'y');
    client.send_body(id, much, true);
    world.settle(2s);
    // What the endpoint, the gateway and the stream's window hold is all that has left the client.
    CHECK(client.unsent_body(id) > much.size() - 1024 * 1024);
    endpoint.resume();
    world.settle(5s);
    CHECK(client.unsent_body(id) == 0);
    CHECK_THAT(endpoint.received, Catch::Matchers::EndsWith("0\r\n\r\n"));
}

TEST_CASE("an HTTP/2 client that does not read holds the endpoint back, and nobody else") {
    H2World world;
    H2Client client(world.connect_stream(), false);
    const int32_t slow = client.request(H2Client::get("/slow"));
    Peer& first = world.asked(0);
    const std::string piece(16 * 1024, 'z');
    first.send(fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", piece.size() * 100));
    for (int i = 0; i < 100; ++i) {
        first.send(piece);
        world.settle(10ms);
    }
    // The client's window, and what the gateway keeps for it; the rest stays where it is.
    CHECK(client.answers[slow].body.size() == 65535);
    CHECK(first.queued() >= piece.size() * 90);
    // The connection's window is spent by the slow stream alone: give back what it took of it.
    client.take(slow, client.answers[slow].body.size());
    const int32_t quick = client.request(H2Client::get("/quick"));
    Peer& second = world.asked(1);
    second.send("HTTP/1.1 304 Not Modified\r\n\r\n");
    world.settle();
    CHECK(client.answers[quick].status == 304);
}

TEST_CASE("a HEAD, an interim answer and an answer until the end, over HTTP/2") {
    H2World world;
    H2Client client(world.connect_stream());
    H2FieldList head = H2Client::get();
    head[0].second = "HEAD";
    const int32_t first = client.request(head);
    world.asked().take();
    world.at[1][0]->send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    world.settle();
    CHECK(client.answers[first].is_complete);
    CHECK(client.answers[first].fields.at("content-length") == "100");
    const int32_t second = client.request(H2Client::get());
    world.asked().take();
    world.at[1][0]->send(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n"
        "\r\nrest");
    world.at[1][0]->end();
    world.settle();
    CHECK(client.answers[second].interim == std::vector<int>{103});
    CHECK(client.answers[second].body == "rest");
    CHECK(client.answers[second].is_complete);
}

TEST_CASE("an answer that is cut off resets its HTTP/2 stream alone") {
    H2World world;
    H2Client client(world.connect_stream());
    const int32_t cut = client.request(H2Client::get("/cut"));
    world.asked().send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    world.settle();
    world.at[1][0]->close();
    world.settle();
    CHECK(client.answers[cut].error_code == kH2InternalError);
    CHECK_FALSE(client.answers[cut].is_complete);
    const int32_t next = client.request(H2Client::get());
    world.asked(1).send(std::string(kOk));
    world.settle();
    CHECK(client.answers[next].body == "ok");
}

TEST_CASE("a reset HTTP/2 request lets go of its endpoint") {
    H2World world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request(H2Client::get());
    world.asked();
    client.reset(id);
    world.settle();
    CHECK(world.at[1][0]->is_over());
    CHECK(world.proxy->counters().requests_in_flight == 0);
}

TEST_CASE("without a route or an endpoint, HTTP/2 clients are told so") {
    H2World world;
    H2Client client(world.connect_stream());
    const int32_t nowhere = client.request(H2Client::get("/nowhere"));
    world.settle();
    CHECK(client.answers[nowhere].status == 404);
    CHECK_THAT(client.answers[nowhere].body, StartsWith("404 Not Found: no route"));
    world.route_to({});
    const int32_t held = client.request(H2Client::get());
    world.settle(31s);
    CHECK(client.answers[held].status == 503);
    CHECK(client.answers[held].fields.at("retry-after") == "2");
}

TEST_CASE("a drain lets HTTP/2 requests end and says which were the last") {
    H2World world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request(H2Client::get());
    world.asked();
    bool is_empty = false;
    world.proxy->drain([&] { is_empty = true; });
    world.settle(1500ms);
    REQUIRE(client.goaways.size() == 2);
    CHECK(client.goaways[0] == std::pair<uint32_t, int32_t>(kH2NoError, INT32_MAX));
    CHECK(client.goaways[1] == std::pair<uint32_t, int32_t>(kH2NoError, id));
    CHECK_FALSE(is_empty);
    world.at[1][0]->send(std::string(kOk));
    world.settle(100ms);
    CHECK(client.answers[id].body == "ok");
    CHECK(client.ended);
    client.close();
    world.settle(6s);
    CHECK(is_empty);
}

TEST_CASE("an idle HTTP/2 connection is closed in time") {
    H2World world;
    H2Client client(world.connect_stream());
    world.settle(80s);
    CHECK(client.ended);
    REQUIRE(client.goaways.size() == 1);
    CHECK(client.goaways[0].first == kH2NoError);
}

TEST_CASE("a preface in pieces is HTTP/2, and a request that begins like it is not") {
    H2World world;
    auto peer = world.connect();
    for (const char c : H2Connection::kPreface) {
        peer->send(std::string_view(&c, 1));
        world.settle(1ms);
    }
    world.settle();
    // The server's SETTINGS (RFC 9113 §6.5): length, type 4, no flags, stream 0.
    CHECK(peer->received.substr(3, 6) == std::string_view("\4\0\0\0\0\0", 6));
    auto other = world.connect();
    other->send("P");
    world.settle();
    other->send("ROPFIND / HTTP/1.1\r\nHost: hello.example\r\n\r\n");
    CHECK_THAT(world.asked().take(), StartsWith("PROPFIND / HTTP/1.1\r\n"));
}
