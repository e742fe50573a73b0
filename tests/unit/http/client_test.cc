#include "http/client.h"

#include "server_fixture.h"
#include "tls/authority.h"
#include "tls/stream.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;

namespace {

Task<void> describe(ServerRequest& request) {
    Result<std::string> body = co_await request.read_all(100'000'000);
    if (!body) co_return;
    std::string text = request.method() + " " + request.path() + " " +
                       std::string(request.header("host").value_or("?")) + " " +
                       std::to_string(body->size());
    if (request.peer().encrypted) text += " tls";
    request.respond(200, "text/plain", text);
}

Task<void> refuse(ServerRequest& request) {
    request.respond(413, "text/plain", "too much");
    co_return;
}

Task<void> counting(ServerRequest& request) {
    Result<> begun = co_await request.begin(ResponseHead());
    if (!begun) co_return;
    const std::string piece(10'000, 'p');
    for (int round = 0; round < 300; ++round) {
        Result<> written = co_await request.write(piece);
        if (!written) co_return;
    }
    Result<> ended = co_await request.end();
    (void)ended;
}

class Pieces final : public BodySource {
public:
    Pieces(int count, size_t size) : count_(count), size_(size) {}
    Task<Result<std::optional<std::string>>> next() override {
        if (count_-- > 0) co_return std::optional<std::string>(std::string(size_, 'b'));
        co_return std::optional<std::string>();
    }

private:
    int count_;
    size_t size_;
};

class Failing final : public BodySource {
public:
    Task<Result<std::optional<std::string>>> next() override {
        co_return fail(Code::kIo, "the disk is gone");
    }
};

struct Answer {
    int status = 0;
    std::string body;
};

Task<Result<Answer>> fetch(Client& client, ClientRequest request) {
    Result<ClientResponse> response = co_await client.send(std::move(request));
    if (!response) co_return fail(std::move(response).error());
    Answer answer;
    answer.status = response->status();
    Result<std::string> body = co_await response->read_all(10'000'000);
    if (!body) co_return fail(std::move(body).error());
    answer.body = std::move(*body);
    co_return std::move(answer);
}

struct ClientFixture : ServerFixture {
    using ServerFixture::ServerFixture;
    ClientRequest request() const {
        ClientRequest made;
        made.address = address;
        made.target = "/x";
        return made;
    }
    Result<Answer> run(ClientRequest request) {
        Task<Result<Answer>> task = fetch(client, std::move(request));
        bool done = false;
        task.start([](void* flag) { *static_cast<bool*>(flag) = true; }, &done);
        REQUIRE(run_until([&] { return done; }));
        return task.take();
    }
    Client client{client_loop};
};

// A server that answers each connection with fixed bytes.
struct RawServer {
    RawServer(SimLoop& loop, const Address& address, std::string a, bool e)
        : answer(std::move(a)), ends(e) {
        listener = *loop.listen(address, ListenOptions(), [this](StreamPtr stream) {
            streams.push_back(std::move(stream));
            ignored.push_back(std::make_unique<RawClient>());
            streams.back()->start(*ignored.back());
            streams.back()->write(answer);
            if (ends) streams.back()->end();
        });
    }
    std::string answer;
    bool ends;
    std::vector<std::unique_ptr<RawClient>> ignored;
    std::vector<StreamPtr> streams;
    std::unique_ptr<Listener> listener;
};

Result<Answer> from_raw_server(std::string bytes, bool ends = true, std::string method = "GET") {
    SimWorld world(3);
    SimLoop& there = world.add_loop("there");
    SimLoop& here = world.add_loop("here");
    const Address address = Address::tcp("10.0.0.9", 80);
    RawServer server(there, address, std::move(bytes), ends);
    Client client(here);
    ClientRequest request;
    request.address = address;
    request.method = std::move(method);
    Task<Result<Answer>> task = fetch(client, std::move(request));
    bool done = false;
    task.start([](void* flag) { *static_cast<bool*>(flag) = true; }, &done);
    REQUIRE(world.run_until([&] { return done; }, 100s));
    return task.take();
}

}  // namespace

TEST_CASE("client_gets_an_answer_and_uses_the_connection_again") {
    ClientFixture fixture(describe);
    for (int round = 0; round < 5; ++round) {
        const Result<Answer> answer = fixture.run(fixture.request());
        REQUIRE(answer.has_value());
        CHECK(answer->status == 200);
        CHECK(answer->body == "GET /x 10.0.0.1:80 0");
        CHECK(fixture.server->connection_count() == 1);
    }
}

TEST_CASE("client_sends_bodies_from_strings_and_sources") {
    ClientFixture fixture(describe);
    ClientRequest text = fixture.request();
    text.method = "POST";
    text.body = std::string(1'000'000, 'x');
    text.host = "name.test";
    CHECK(fixture.run(std::move(text))->body == "POST /x name.test 1000000");

    for (const bool with_length : {true, false}) {
        ClientRequest stream = fixture.request();
        stream.method = "PUT";
        stream.body_source = std::make_unique<Pieces>(100, 20'000);
        if (with_length) stream.body_length_bytes = 2'000'000;
        uint64_t progress = 0;
        stream.on_progress = [&](uint64_t sent) {
            CHECK(sent >= progress);
            progress = sent;
        };
        CHECK(fixture.run(std::move(stream))->body == "PUT /x 10.0.0.1:80 2000000");
        CHECK(progress == 2'000'000);
    }
    CHECK(fixture.server->connection_count() == 1);
}

TEST_CASE("client_stops_sending_when_the_answer_comes_early") {
    ClientFixture fixture(refuse);
    ClientRequest request = fixture.request();
    request.method = "PUT";
    request.body_source = std::make_unique<Pieces>(10'000, 20'000);
    const Result<Answer> answer = fixture.run(std::move(request));
    REQUIRE(answer.has_value());
    CHECK(answer->status == 413);
    CHECK(answer->body == "too much");
}

TEST_CASE("client_reports_a_body_that_fails_or_has_another_length") {
    ClientFixture fixture(describe);
    ClientRequest failing = fixture.request();
    failing.method = "PUT";
    failing.body_source = std::make_unique<Failing>();
    CHECK(fixture.run(std::move(failing)).error().message() == "the disk is gone");
    for (const uint64_t length : {10, 30'000}) {
        ClientRequest wrong = fixture.request();
        wrong.method = "PUT";
        wrong.body_source = std::make_unique<Pieces>(1, 20'000);
        wrong.body_length_bytes = length;
        CHECK_FALSE(fixture.run(std::move(wrong)).has_value());
    }
}

TEST_CASE("client_reads_a_stream_and_bounds_what_it_keeps") {
    ClientFixture fixture(counting);
    const Result<Answer> answer = fixture.run(fixture.request());
    REQUIRE(answer.has_value());
    CHECK(answer->body == std::string(3'000'000, 'p'));
    CHECK(fixture.run(fixture.request())->body.size() == 3'000'000);
}

TEST_CASE("client_sends_again_where_the_server_had_closed_the_connection") {
    ServerOptions options;
    options.idle_timeout = 1s;
    ClientFixture fixture(describe, options);
    REQUIRE(fixture.run(fixture.request()).has_value());
    // The request leaves while the server's close is on its way.
    fixture.world.cut(fixture.server_loop, fixture.client_loop);
    fixture.world.run_for(2s);
    Task<Result<Answer>> task = fetch(fixture.client, fixture.request());
    bool done = false;
    task.start([](void* flag) { *static_cast<bool*>(flag) = true; }, &done);
    fixture.world.run_for(1ms);
    fixture.world.join(fixture.server_loop, fixture.client_loop);
    REQUIRE(fixture.run_until([&] { return done; }));
    const Result<Answer> answer = task.take();
    REQUIRE(answer.has_value());
    CHECK(answer->status == 200);
}

TEST_CASE("client_errors_name_the_peer_and_the_trouble") {
    ClientFixture fixture(describe);
    ClientRequest nobody = fixture.request();
    nobody.address = Address::tcp("10.0.0.7", 80);
    const Result<Answer> refused = fixture.run(std::move(nobody));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message().find("10.0.0.7:80") != std::string::npos);

    ClientRequest bad = fixture.request();
    bad.target = "/a b";
    CHECK(fixture.run(std::move(bad)).error().code() == Code::kInvalid);
    ClientRequest field = fixture.request();
    field.headers.add("X", "a\r\nb");
    CHECK(fixture.run(std::move(field)).error().code() == Code::kInvalid);

    CHECK(from_raw_server("").error().message().find("without an answer") != std::string::npos);
    CHECK(from_raw_server("SSH-2.0-x\r\n").error().code() == Code::kCorrupt);
    CHECK(from_raw_server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
              .error()
              .message()
              .find("in the middle of the answer") != std::string::npos);
    CHECK(from_raw_server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
              .error()
              .code() == Code::kUnreachable);
    CHECK(
        from_raw_server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", false).error().code() ==
        Code::kTimeout);
    CHECK(from_raw_server("", false).error().code() == Code::kTimeout);
}

TEST_CASE("client_understands_every_framing_of_an_answer") {
    CHECK(from_raw_server("HTTP/1.1 200 OK\r\n\r\nuntil close")->body == "until close");
    CHECK(from_raw_server("HTTP/1.0 200 OK\r\n\r\nold")->body == "old");
    CHECK(from_raw_server("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")->status ==
          204);
    CHECK(from_raw_server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false, "HEAD")
              ->body.empty());
    CHECK(from_raw_server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naEXTRA")->body == "a");
}

TEST_CASE("client_refuses_an_answer_beyond_the_callers_limit") {
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n";
    CHECK(from_raw_server(head + std::string(20'000'000, 'x')).error().code() == Code::kExhausted);
}

TEST_CASE("client_request_is_cancelled_by_destroying_its_task") {
    ClientFixture fixture(counting);
    std::optional<Task<Result<Answer>>> task(fetch(fixture.client, fixture.request()));
    task->start([](void*) {}, nullptr);
    REQUIRE(fixture.run_until([&] { return fixture.server->connection_count() == 1; }));
    task.reset();
    REQUIRE(fixture.run_until([&] { return fixture.server->connection_count() == 0; }));
}

TEST_CASE("client_and_server_speak_tls") {
    const WallTime now = std::chrono::system_clock::now();
    const auto authority = tls::Authority::create("test", now, 24h).value();
    tls::CertificateRequest wanted;
    wanted.common_name = "api";
    wanted.names = {"10.0.0.1"};
    wanted.now = now;
    const auto context =
        tls::ServerContext::create(authority.issue(wanted).value(), tls::ServerOptions()).value();

    ClientFixture fixture(describe);
    tls::Acceptor acceptor(context, 10s, Logger(),
                           [&](StreamPtr stream) { fixture.server->accept(std::move(stream)); });
    const Address secure = Address::tcp("10.0.0.1", 443);
    const auto listener = *fixture.server_loop.listen(
        secure, ListenOptions(), [&](StreamPtr stream) { acceptor.accept(std::move(stream)); });

    tls::ClientOptions options;
    options.ca_pem = authority.ca_pem();
    const auto trust = tls::ClientContext::create(options).value();
    for (int round = 0; round < 3; ++round) {
        ClientRequest request = fixture.request();
        request.address = secure;
        request.tls = trust;
        request.method = "PUT";
        request.body_source = std::make_unique<Pieces>(50, 20'000);
        const Result<Answer> answer = fixture.run(std::move(request));
        REQUIRE(answer.has_value());
        CHECK(answer->body == "PUT /x 10.0.0.1:443 1000000 tls");
    }
    CHECK(fixture.server->connection_count() == 1);

    ClientRequest wrong = fixture.request();
    wrong.address = secure;
    wrong.tls = trust;
    wrong.server_name = "other.test";
    const Result<Answer> refused = fixture.run(std::move(wrong));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Code::kDenied);
    CHECK(refused.error().message().starts_with("10.0.0.1:443: certificate is for 10.0.0.1, not"));
}
