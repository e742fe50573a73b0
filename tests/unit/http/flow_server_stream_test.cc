// Streamed answers, backpressure, cancellation and drain.

#include "server_fixture.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;

namespace {

const std::string kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

Task<void> hello(ServerRequest& request) {
    request.respond(200, "text/plain", "hello");
    co_return;
}

Task<void> three_pieces(ServerRequest& request) {
    ResponseHead head;
    head.headers.add("Content-Type", "text/event-stream");
    Result<> begun = co_await request.begin(std::move(head));
    if (!begun) co_return;
    for (const std::string_view piece : {"one", "two", "three"}) {
        Result<> written = co_await request.write(piece);
        if (!written) co_return;
    }
    Result<> ended = co_await request.end();
    CHECK(ended.has_value());
}

Task<void> promises_five(ServerRequest& request) {
    ResponseHead head;
    head.headers.add("Content-Length", "5");
    Result<> begun = co_await request.begin(std::move(head));
    CHECK(begun.has_value());
    Result<> written = co_await request.write("abc");
    CHECK(written.has_value());
    Result<> ended = co_await request.end();
    CHECK_FALSE(ended.has_value());
}

Task<void> gives_up(ServerRequest& request) {
    Result<> begun = co_await request.begin(ResponseHead());
    CHECK(begun.has_value());
    Result<> written = co_await request.write("abc");
    CHECK(written.has_value());
}

struct Gone {
    bool* flag;
    explicit Gone(bool* f) : flag(f) {}
    ~Gone() { *flag = true; }
};

// Sends the first event, then waits for ever.
Task<void> follow(Loop& loop, bool* destroyed, bool open_ended, ServerRequest& request) {
    Gone gone(destroyed);
    if (open_ended) request.mark_open_ended();
    Result<> begun = co_await request.begin(ResponseHead());
    Result<> written = co_await request.write("first");
    CHECK(begun.has_value());
    CHECK(written.has_value());
    co_await sleep_for(loop, 1h);
}

Task<void> slow_answer(Loop& loop, bool* destroyed, ServerRequest& request) {
    Gone gone(destroyed);
    co_await sleep_for(loop, 5s);
    request.respond(200, "text/plain", "late");
}

Task<void> flood(uint64_t* written_bytes, ServerRequest& request) {
    Result<> begun = co_await request.begin(ResponseHead());
    CHECK(begun.has_value());
    const std::string piece(10'000, 'x');
    for (int round = 0; round < 1000; ++round) {
        Result<> written = co_await request.write(piece);
        if (!written) co_return;
        *written_bytes += piece.size();
    }
    Result<> ended = co_await request.end();
    CHECK(ended.has_value());
}

Task<void> sip(Loop& loop, uint64_t* read_bytes, ServerRequest& request) {
    while (true) {
        Result<std::optional<std::string>> chunk = co_await request.read_chunk();
        if (!chunk || !*chunk) break;
        *read_bytes += (*chunk)->size();
        co_await sleep_for(loop, 100ms);
    }
    request.respond(200, "text/plain", "done");
}

}  // namespace

TEST_CASE("server_streams_chunks_and_goes_on_with_the_connection") {
    ServerFixture fixture(three_pieces);
    const auto client = fixture.connect();
    client->stream->write(kGet + kGet);
    const std::string body = "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n";
    REQUIRE(fixture.run_until([&] {
        return client->received.ends_with(body) &&
               client->received.find(body) != client->received.rfind(body);
    }));
    CHECK(contains(client->received, "Transfer-Encoding: chunked\r\n"));
}

TEST_CASE("server_streams_to_http_1_0_until_close") {
    ServerFixture fixture(three_pieces);
    const std::string answer = fixture.exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(answer.ends_with("\r\n\r\nonetwothree"));
    CHECK(contains(answer, "Connection: close\r\n"));
    CHECK_FALSE(contains(answer, "chunked"));
}

TEST_CASE("server_streams_nothing_to_head") {
    ServerFixture fixture(three_pieces);
    CHECK(fixture.exchange("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
              .ends_with("\r\n\r\n"));
}

TEST_CASE("server_shows_that_an_answer_is_not_whole") {
    ServerFixture short_one(promises_five);
    const auto client = short_one.connect();
    client->stream->write(kGet);
    REQUIRE(short_one.run_until([&] { return client->is_closed(); }));
    ServerFixture abandoned(gives_up);
    const std::string answer = abandoned.exchange(kGet);
    CHECK_FALSE(answer.ends_with("0\r\n\r\n"));
}

TEST_CASE("server_cancels_the_handler_of_a_client_that_went_away") {
    bool destroyed = false;
    ServerFixture* self = nullptr;
    ServerFixture fixture([&](ServerRequest& request) {
        return follow(self->server_loop, &destroyed, false, request);
    });
    self = &fixture;
    const auto client = fixture.connect();
    client->stream->write(kGet);
    REQUIRE(fixture.run_until([&] { return contains(client->received, "first"); }));
    CHECK_FALSE(destroyed);
    client->stream.reset();
    REQUIRE(fixture.run_until([&] { return destroyed; }));
    REQUIRE(fixture.run_until([&] { return fixture.server->connection_count() == 0; }));
    CHECK(fixture.world.now() < MonoTime(10s));
}

TEST_CASE("server_still_answers_a_client_that_ended_its_own_direction") {
    ServerFixture fixture(hello);
    const auto client = fixture.connect();
    client->stream->write(kGet);
    client->stream->end();
    REQUIRE(fixture.run_until([&] { return client->is_closed(); }));
    INFO(client->failure);
    CHECK(client->ended);
    CHECK(client->received.ends_with("hello"));
}

TEST_CASE("server_makes_the_handler_wait_for_a_slow_client") {
    uint64_t written = 0;
    ServerFixture fixture([&](ServerRequest& request) { return flood(&written, request); });
    const auto client = fixture.connect();
    client->stream->pause();
    client->stream->write(kGet);
    fixture.world.run_for(5s);
    CHECK(written < 2'000'000);
    client->stream->resume();
    REQUIRE(fixture.run_until([&] { return client->received.ends_with("0\r\n\r\n"); }));
    CHECK(written == 10'000'000);
}

TEST_CASE("server_cuts_off_a_client_that_takes_nothing") {
    uint64_t written = 0;
    ServerFixture fixture([&](ServerRequest& request) { return flood(&written, request); });
    const auto client = fixture.connect();
    client->stream->pause();
    client->stream->write(kGet);
    REQUIRE(fixture.run_until([&] { return fixture.server->connection_count() == 1; }));
    REQUIRE(fixture.run_until([&] { return fixture.server->connection_count() == 0; }));
    CHECK(fixture.world.now() < MonoTime(40s));
}

TEST_CASE("server_makes_the_client_wait_for_a_slow_handler") {
    uint64_t read = 0;
    ServerFixture* self = nullptr;
    ServerFixture fixture(
        [&](ServerRequest& request) { return sip(self->server_loop, &read, request); });
    self = &fixture;
    const auto client = fixture.connect();
    const std::string body(5'000'000, 'b');
    client->stream->write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n");
    for (size_t at = 0; at < body.size(); at += 50'000) {
        client->stream->write(std::string_view(body).substr(at, 50'000));
        fixture.world.run_for(100us);  // or all of it would travel as one piece
    }
    CHECK(client->stream->queued_bytes() > 3'000'000);
    REQUIRE(fixture.run_until([&] { return client->received.ends_with("done"); }));
    CHECK(read == body.size());
}

TEST_CASE("drain_finishes_requests_in_flight_and_closes_the_idle") {
    bool destroyed = false;
    ServerFixture* self = nullptr;
    ServerFixture fixture([&](ServerRequest& request) {
        return slow_answer(self->server_loop, &destroyed, request);
    });
    self = &fixture;
    const auto idle = fixture.connect();
    const auto busy = fixture.connect();
    busy->stream->write(kGet);
    fixture.world.run_for(1s);
    bool drained = false;
    Task<void> drain = fixture.server->drain(fixture.world.now() + 30s);
    drain.start([](void* flag) { *static_cast<bool*>(flag) = true; }, &drained);
    REQUIRE(fixture.run_until([&] { return idle->is_closed(); }));
    CHECK_FALSE(drained);
    REQUIRE(fixture.run_until([&] { return busy->is_closed(); }));
    CHECK(busy->received.ends_with("late"));
    CHECK(contains(busy->received, "Connection: close\r\n"));
    busy->stream->end();
    REQUIRE(fixture.run_until([&] { return drained; }));
    CHECK(fixture.world.now() < MonoTime(10s));
}

TEST_CASE("drain_cuts_open_ended_answers_at_once_and_the_rest_at_the_deadline") {
    for (const bool open_ended : {true, false}) {
        bool destroyed = false;
        ServerFixture* self = nullptr;
        ServerFixture fixture([&](ServerRequest& request) {
            return follow(self->server_loop, &destroyed, open_ended, request);
        });
        self = &fixture;
        const auto client = fixture.connect();
        client->stream->write(kGet);
        REQUIRE(fixture.run_until([&] { return contains(client->received, "first"); }));
        bool drained = false;
        Task<void> drain = fixture.server->drain(fixture.world.now() + 20s);
        drain.start([](void* flag) { *static_cast<bool*>(flag) = true; }, &drained);
        REQUIRE(fixture.run_until([&] { return drained; }));
        CHECK(destroyed);
        CHECK((fixture.world.now() < MonoTime(5s)) == open_ended);
    }
}

namespace {

Task<void> drain_and_destroy(Loop& loop, std::unique_ptr<FlowServer>& server) {
    co_await server->drain(loop.now() + 20s);
    server.reset();
}

}  // namespace

TEST_CASE("the_server_may_be_destroyed_as_soon_as_its_drain_ends") {
    bool destroyed = false;
    ServerFixture* self = nullptr;
    ServerFixture fixture([&](ServerRequest& request) {
        return slow_answer(self->server_loop, &destroyed, request);
    });
    self = &fixture;
    const auto client = fixture.connect();
    client->stream->write(kGet);
    client->stream->end();
    fixture.world.run_for(1s);
    Task<void> task = drain_and_destroy(fixture.server_loop, fixture.server);
    task.start([](void*) {}, nullptr);
    REQUIRE(fixture.run_until([&] { return fixture.server == nullptr; }));
    CHECK(client->received.ends_with("late"));
}

TEST_CASE("destroying_the_server_cancels_what_runs") {
    bool destroyed = false;
    ServerFixture* self = nullptr;
    ServerFixture fixture([&](ServerRequest& request) {
        return follow(self->server_loop, &destroyed, false, request);
    });
    self = &fixture;
    const auto client = fixture.connect();
    client->stream->write(kGet);
    REQUIRE(fixture.run_until([&] { return contains(client->received, "first"); }));
    fixture.server.reset();
    CHECK(destroyed);
    REQUIRE(fixture.run_until([&] { return client->is_closed(); }));
}
