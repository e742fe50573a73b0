#include "http/flow_server.h"

#include "server_fixture.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;

namespace {

Task<void> hello(ServerRequest& request) {
    request.respond(200, "text/plain", "hello " + request.path());
    co_return;
}

Task<void> echo(ServerRequest& request) {
    Result<std::string> body = co_await request.read_all(1'000'000);
    if (!body) {
        const int status = body.error().code() == Code::kTimeout     ? 408
                           : body.error().code() == Code::kExhausted ? 413
                                                                     : 400;
        request.respond(status, "text/plain", body.error().message());
        co_return;
    }
    request.respond(200, "text/plain", *body);
}

Task<void> no_answer(ServerRequest&) { co_return; }

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

const std::string kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
const std::string kGetClose = "GET /z HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

}  // namespace

TEST_CASE("server_answers_and_keeps_the_connection") {
    ServerFixture fixture(hello);
    const auto client = fixture.connect();
    for (int round = 0; round < 3; ++round) {
        client->received.clear();
        client->stream->write(kGet);
        REQUIRE(fixture.run_until([&] { return contains(client->received, "hello /a"); }));
        CHECK(client->received.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"));
        CHECK(contains(client->received, "Content-Length: 8\r\n"));
        CHECK(contains(client->received, "Date: Thu, 01 Jan 2026 00:00:0"));
        CHECK_FALSE(contains(client->received, "Connection:"));
    }
    CHECK(fixture.server->connection_count() == 1);
}

TEST_CASE("server_answers_a_pipeline_in_order") {
    ServerFixture fixture(hello);
    std::string many;
    for (int index = 0; index < 200; ++index) {
        many += "GET /" + std::to_string(index) + " HTTP/1.1\r\nHost: x\r\n\r\n";
    }
    const std::string answer = fixture.exchange(many + kGetClose);
    size_t at = 0;
    for (int index = 0; index < 200; ++index) {
        at = answer.find("hello /" + std::to_string(index), at);
        REQUIRE(at != std::string::npos);
    }
    CHECK(answer.ends_with("hello /z"));
    CHECK(contains(answer, "Connection: close\r\n"));
}

TEST_CASE("server_reads_bodies_of_both_framings") {
    ServerFixture fixture(echo);
    CHECK(fixture.exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" + kGetClose)
              .find("\r\n\r\nabcHTTP/1.1 200") != std::string::npos);
    CHECK(fixture
              .exchange("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
              .ends_with("\r\n\r\nabcde"));
}

TEST_CASE("server_answers_head_without_a_body") {
    ServerFixture fixture(hello);
    const std::string answer =
        fixture.exchange("HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    CHECK(contains(answer, "Content-Length: 8\r\n"));
    CHECK(answer.ends_with("\r\n\r\n"));
}

TEST_CASE("server_gives_path_query_and_peer_decoded") {
    std::string seen;
    const auto handler = [&seen](ServerRequest& request) {
        seen = request.path() + "|" + std::string(request.query("q").value_or("none")) + "|" +
               std::string(request.query("absent").value_or("none")) + "|" +
               std::string(request.header("x-mine").value_or("none")) +
               (request.peer().encrypted ? "|tls" : "|plain");
        return hello(request);
    };
    ServerFixture fixture(handler);
    fixture.exchange(
        "GET /a/../b%2f%61?q=x+%26&r HTTP/1.1\r\nHost: x\r\nX-Mine: 1\r\nConnection: close\r\n\r\n");
    CHECK(seen == "/b%2Fa|x &|none|1|plain");
}

TEST_CASE("server_answers_malformed_requests_itself_and_closes") {
    ServerFixture fixture(hello);
    const std::string bad = fixture.exchange("GET / HTTP/1.1\r\n\r\n");
    CHECK(bad.starts_with("HTTP/1.1 400 Bad Request\r\n"));
    CHECK(bad.ends_with("{\"error\":{\"code\":\"invalid\",\"message\":\"no Host field\"}}"));
    CHECK(contains(bad, "Connection: close\r\n"));
    CHECK(fixture.exchange("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 400 "));
    CHECK(fixture.exchange("GET /../x HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 400 "));
    CHECK(fixture.exchange("GET /?a=%zz HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 400 "));
    CHECK(fixture.exchange("GET / HTTP/2.0\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 505 "));
    CHECK(fixture.exchange(kGet + "garbage\r\n\r\n").find("HTTP/1.1 400 ") != std::string::npos);
    CHECK(fixture.run_until([&] { return fixture.server->connection_count() == 0; }));
}

TEST_CASE("server_answers_500_where_the_handler_says_nothing") {
    ServerFixture fixture(no_answer);
    CHECK(fixture.exchange(kGet).starts_with("HTTP/1.1 500 "));
}

TEST_CASE("server_answers_500_rather_than_an_unsafe_field") {
    const auto handler = [](ServerRequest& request) -> Task<void> {
        Headers headers;
        headers.add("Location", "/a\r\nSet-Cookie: evil=1");
        request.respond(302, headers, "");
        co_return;
    };
    ServerFixture fixture(handler);
    const std::string answer = fixture.exchange(kGet);
    CHECK(answer.starts_with("HTTP/1.1 500 "));
    CHECK_FALSE(contains(answer, "evil"));
}

TEST_CASE("server_asks_for_the_body_only_when_the_handler_reads") {
    ServerFixture fixture(echo);
    const auto client = fixture.connect();
    client->stream->write(
        "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    REQUIRE(fixture.run_until([&] { return !client->received.empty(); }));
    CHECK(client->received == "HTTP/1.1 100 Continue\r\n\r\n");
    client->stream->write("hi");
    REQUIRE(fixture.run_until([&] { return client->received.ends_with("\r\n\r\nhi"); }));

    ServerFixture refusing(hello);
    const std::string answer = refusing.exchange(
        "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    CHECK(answer.starts_with("HTTP/1.1 200 "));
    CHECK(contains(answer, "Connection: close\r\n"));
}

TEST_CASE("server_refuses_a_body_beyond_the_handlers_limit") {
    ServerFixture fixture(echo);
    const std::string big(1'500'000, 'x');
    const std::string answer =
        fixture.exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1500000\r\n\r\n" + big);
    CHECK(answer.starts_with("HTTP/1.1 413 "));
    const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
    std::string chunks = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (int count = 0; count < 20; ++count) chunks += chunk;
    CHECK(fixture.exchange(chunks).starts_with("HTTP/1.1 413 "));
}

TEST_CASE("server_sends_one_answer_only") {
    const auto handler = [](ServerRequest& request) -> Task<void> {
        request.respond(200, "text/plain", "first");
        request.respond(200, "text/plain", "second");
        Result<> begun = co_await request.begin(ResponseHead());
        Result<> written = co_await request.write("third");
        Result<> ended = co_await request.end();
        CHECK_FALSE(begun.has_value());
        CHECK_FALSE(written.has_value());
        CHECK_FALSE(ended.has_value());
    };
    ServerFixture fixture(handler);
    CHECK(fixture.exchange(kGetClose).ends_with("\r\n\r\nfirst"));
}

TEST_CASE("server_tells_the_handler_of_a_malformed_body") {
    ServerFixture fixture(echo);
    CHECK(fixture.exchange("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
              .starts_with("HTTP/1.1 400 "));
}

TEST_CASE("server_times_out_slow_heads_slow_bodies_and_idle_clients") {
    ServerFixture fixture(echo);
    const MonoTime begun = fixture.world.now();
    CHECK(fixture.exchange("GET / HT").starts_with("HTTP/1.1 408 "));
    CHECK(fixture.world.now() - begun < 11s);
    CHECK(fixture.exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na")
              .starts_with("HTTP/1.1 408 "));
    CHECK(fixture.exchange("").empty());
    CHECK(fixture.world.now() - begun > 70s);
}

TEST_CASE("server_cuts_off_a_body_that_trickles") {
    ServerFixture fixture(echo);
    const auto client = fixture.connect();
    client->stream->write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    for (int second = 0; second < 12 && client->received.empty(); ++second) {
        client->stream->write("a");
        fixture.world.run_for(1s);
    }
    CHECK(client->received.starts_with("HTTP/1.1 408 "));
}

TEST_CASE("server_bounds_its_connections") {
    ServerOptions options;
    options.connections_max = 1;
    ServerFixture fixture(hello, options);
    const auto first = fixture.connect();
    CHECK(fixture.exchange(kGet).starts_with("HTTP/1.1 503 "));
    first->stream->write(kGet);
    CHECK(fixture.run_until([&] { return contains(first->received, "hello"); }));
}
