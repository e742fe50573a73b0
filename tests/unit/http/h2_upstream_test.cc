// Requests to endpoints that speak HTTP/2: their course, sessions, flow control, long dialogues.

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

namespace {

using Fields = std::map<std::string, std::string>;

}  // namespace

TEST_CASE("an HTTP/1.1 request reaches an HTTP/2 endpoint, and its answer the client") {
    OneH2 world;
    auto client = world.connect();
    client->send(
        "POST /a?b=c HTTP/1.1\r\nHost: Hello.Example:80\r\nX-Own: 1\r\nConnection: x-hop\r\n"
        "X-Hop: 2\r\nContent-Length: 2\r\n\r\nhi");
    H2Server& endpoint = world.asked();
    world.settle();
    const H2Asked& asked = endpoint.asked[1];
    CHECK(asked.fields.at(":method") == "POST");
    CHECK(asked.fields.at(":scheme") == "http");
    CHECK(asked.fields.at(":authority") == "Hello.Example:80");
    CHECK(asked.fields.at(":path") == "/a?b=c");
    CHECK(asked.fields.at("x-own") == "1");
    CHECK(asked.fields.at("content-length") == "2");
    CHECK(asked.fields.contains("traceparent"));
    for (const char* name : {"host", "connection", "x-hop", "transfer-encoding", "te"}) {
        INFO(name);
        CHECK_FALSE(asked.fields.contains(name));
    }
    CHECK(asked.body == "hi");
    CHECK(asked.is_complete);
    endpoint.send_head(1, {{":status", "201"}, {"x-answer", "3"}});
    endpoint.send_body(1, "do", false);
    endpoint.send_body(1, "ne", true);
    world.settle();
    const std::string answer = client->take();
    CHECK_THAT(answer, StartsWith("HTTP/1.1 201 Created\r\nx-answer: 3\r\n"));
    CHECK_THAT(answer, ContainsSubstring("\r\nTransfer-Encoding: chunked\r\n"));
    CHECK_THAT(answer, EndsWith("done\r\n0\r\n\r\n") || EndsWith("do\r\n2\r\nne\r\n0\r\n\r\n"));
    CHECK(world.statuses == std::vector<int>{201});
    // The connection goes on, on the same session.
    client->send(kGet);
    world.asked(1, 0, 3).answer(3);
    world.settle();
    CHECK_THAT(client->take(), EndsWith("ok\r\n0\r\n\r\n"));
    CHECK(world.h2[1].size() == 1);
}

TEST_CASE("answers of an HTTP/2 endpoint in all forms reach an HTTP/1.1 client") {
    OneH2 world;
    auto client = world.connect();
    client->send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    world.asked().send_head(1, {{":status", "200"}, {"content-length", "100"}}, true);
    world.settle();
    CHECK_THAT(client->take(),
               ContainsSubstring("content-length: 100\r\n") && EndsWith("\r\n\r\n"));
    client->send(kGet);
    world.asked(1, 0, 3).send_head(3, {{":status", "204"}}, true);
    world.settle();
    CHECK_THAT(client->take(),
               StartsWith("HTTP/1.1 204 No Content\r\n") && !ContainsSubstring("ontent-"));
    client->send(kGet);
    world.asked(1, 0, 5).send_head(5, {{":status", "200"}}, true);
    world.settle();
    CHECK_THAT(client->take(), ContainsSubstring("Content-Length: 0\r\n"));
    client->send(kGet);
    H2Server& endpoint = world.asked(1, 0, 7);
    endpoint.send_head(7, {{":status", "103"}, {"link", "</a>"}});
    endpoint.send_head(7, {{":status", "200"}, {"content-length", "2"}});
    endpoint.send_body(7, "ok", true);
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
                                          "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n") &&
                                   EndsWith("\r\n\r\nok"));
    CHECK(world.statuses == std::vector<int>{200, 204, 200, 200});
}

TEST_CASE("trailers go through to and from an HTTP/2 endpoint") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(H2Client::grpc());
    client.send_body(id, "question", false);
    client.send_trailers(id, {{"x-sum", "8"}, {"content-type", "evil/evil"}});
    H2Server& endpoint = world.asked();
    world.settle();
    CHECK(endpoint.asked[1].fields.at("te") == "trailers");
    CHECK(endpoint.asked[1].body == "question");
    CHECK(endpoint.asked[1].trailers == Fields{{"x-sum", "8"}});
    CHECK(endpoint.asked[1].is_complete);
    endpoint.send_head(1, {{":status", "200"}});
    endpoint.send_body(1, "answer", false);
    endpoint.send_trailers(1, {{"grpc-status", "0"}, {"set-cookie", "a=b"}});
    world.settle();
    CHECK(client.answers[id].body == "answer");
    CHECK(client.answers[id].trailers == Fields{{"grpc-status", "0"}});
    CHECK(client.answers[id].is_complete);
    // An answer that is only a head says it there.
    const int32_t next = client.request_with_body(H2Client::grpc());
    client.send_body(next, "", true);
    world.asked(1, 0, 3).send_head(3, {{":status", "200"}, {"grpc-status", "12"}}, true);
    world.settle();
    CHECK(client.answers[next].fields.at("grpc-status") == "12");
    CHECK(client.answers[next].is_complete);
}

TEST_CASE("exchanges share one session, and a further one is made when it is full") {
    OneH2 world(ProxyOptions(), H2ServerOptions{.streams_max = 3});
    H2Client client(world.connect_stream());
    std::vector<int32_t> ids;
    for (int i = 0; i < 7; ++i) ids.push_back(client.request(H2Client::get(fmt::format("/{}", i))));
    world.settle();
    REQUIRE(world.h2[1].size() == 3);
    size_t answered = 0;
    for (auto& server : world.h2[1]) {
        std::vector<int32_t> open;
        for (const auto& [id, asked] : server->asked) open.push_back(id);
        CHECK(open.size() <= 3);
        for (const int32_t id : open) {
            server->answer(id, server->asked[id].fields.at(":path"));
            ++answered;
        }
    }
    world.settle();
    CHECK(answered == 7);
    for (int i = 0; i < 7; ++i) CHECK(client.answers[ids[i]].body == fmt::format("/{}", i));
}

TEST_CASE("requests beyond all sessions are held until there is room") {
    OneH2 world(ProxyOptions(), H2ServerOptions{.streams_max = 1},
                UpstreamOptions{.h2_sessions_max = 2});
    H2Client client(world.connect_stream());
    std::vector<int32_t> ids;
    for (int i = 0; i < 5; ++i) ids.push_back(client.request(H2Client::get()));
    world.settle();
    CHECK(world.h2[1].size() == 2);
    CHECK(world.upstream->held_count() == 3);
    for (int round = 0; round < 5; ++round) {
        for (auto& server : world.h2[1]) {
            for (auto& [id, asked] : server->asked) {
                if (asked.has_head && !asked.is_closed) server->answer(id);
            }
        }
        world.settle();
    }
    for (const int32_t id : ids) CHECK(client.answers[id].body == "ok");
    CHECK(world.h2[1].size() == 2);
}

TEST_CASE("an HTTP/2 endpoint that does not read holds its client back, and nobody else") {
    OneH2 world(ProxyOptions(), H2ServerOptions{.reads_by_itself = false});
    H2Client client(world.connect_stream());
    const int32_t slow = client.request_with_body(H2Client::grpc());
    const std::string much(4 * 1024 * 1024, 'y');
    client.send_body(slow, much, true);
    H2Server& endpoint = world.asked();
    world.settle(2s);
    CHECK(endpoint.asked[1].body.size() == 65535);
    CHECK(client.unsent_body(slow) > much.size() - 1024 * 1024);
    // Its connection's window is spent by the slow stream: as much is given back.
    endpoint.take(1, 65535);
    world.settle();
    const int32_t quick = client.request(H2Client::get("/quick"));
    world.asked(1, 0, 3).answer(3);
    world.settle();
    CHECK(client.answers[quick].body == "ok");
    for (int i = 0; i < 1000 && client.unsent_body(slow) > 0; ++i) {
        endpoint.take(1, endpoint.asked[1].body.size() - endpoint.unsent_body(99));
        endpoint.asked[1].body.clear();
        world.settle(10ms);
    }
    CHECK(client.unsent_body(slow) == 0);
}

TEST_CASE("a client that does not read holds its HTTP/2 stream back, and nobody else") {
    const bool is_http2 = GENERATE(false, true);
    ProxyOptions options;
    options.buffer_bytes_max = 64 * 1024;
    OneH2 world(options);
    H2Client slow_client(world.connect_stream(), false);
    auto slow_peer = world.connect();
    if (is_http2) {
        slow_client.request(H2Client::get("/slow"));
    } else {
        slow_peer->pause();
        slow_peer->send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    H2Server& endpoint = world.asked();
    const std::string much(8 * 1024 * 1024, 'z');
    endpoint.send_head(1, {{":status", "200"}});
    endpoint.send_body(1, much, true);
    world.settle(2s);
    // What the stream's window, the gateway and the client's connection hold has left.
    CHECK(endpoint.unsent_body(1) > much.size() - 2 * 1024 * 1024);
    const size_t left = endpoint.unsent_body(1);
    // Others use the session meanwhile, as fast as they can.
    H2Client quick(world.connect_stream());
    const int32_t id = quick.request(H2Client::get("/quick"));
    H2Server& same = world.asked(1, 0, 3);
    const std::string more(3 * 1024 * 1024, 'q');
    same.answer(3, more);
    world.settle(1s);
    CHECK(quick.answers[id].body.size() == more.size());
    CHECK(endpoint.unsent_body(1) == left);
    if (is_http2) return;
    slow_peer->resume();
    world.settle(5s);
    CHECK(endpoint.unsent_body(1) == 0);
    CHECK(slow_peer->received.size() > much.size());
}

TEST_CASE("both sides of a stream may talk at once and for long") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(H2Client::grpc());
    client.send_body(id, "1", false);
    H2Server& endpoint = world.asked();
    // No word for longer than an upload may pause, or an answer be waited for.
    world.settle(10min);
    CHECK(endpoint.asked[1].body == "1");
    CHECK_FALSE(endpoint.asked[1].is_closed);
    client.send_body(id, "2", false);
    world.settle();
    CHECK(endpoint.asked[1].body == "12");
    endpoint.send_head(1, {{":status", "200"}});
    for (int i = 0; i < 5; ++i) {
        endpoint.send_body(1, "a", false);
        world.settle(9min);
        client.send_body(id, "q", false);
        world.settle(9min);
    }
    CHECK(client.answers[id].body == "aaaaa");
    CHECK(endpoint.asked[1].body == "12qqqqq");
    client.send_body(id, "", true);
    world.settle();
    CHECK(endpoint.asked[1].is_complete);
    // The server answers on when the client has said all.
    endpoint.send_body(1, "b", false);
    endpoint.send_trailers(1, {{"grpc-status", "0"}});
    world.settle();
    CHECK(client.answers[id].body == "aaaaab");
    CHECK(client.answers[id].is_complete);
    CHECK(world.h2[1].size() == 1);
}

TEST_CASE("a request whose client says nothing at all ends one day") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request_with_body(H2Client::grpc());
    H2Server& endpoint = world.asked();
    world.settle(59min);
    CHECK_FALSE(endpoint.asked[1].is_closed);
    world.settle(2min);
    CHECK(endpoint.asked[1].error_code == kH2Cancel);
    CHECK(client.answers[id].status == 408);
}

TEST_CASE("an HTTP/2 endpoint that does not answer is given up in time, and not asked again") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request(H2Client::get());
    world.asked();
    world.settle(121s);
    CHECK(client.answers[id].status == 504);
    CHECK(world.h2[1][0]->asked[1].error_code == kH2Cancel);
    // It said nothing at all, so that nothing more is asked on that session.
    client.request(H2Client::get());
    world.asked(1, 1, 1);
    CHECK(world.h2[1].size() == 2);
    CHECK(world.h2[1][0]->is_over());
}
