// HTTP/2 clients that mean harm, or know no better: each gets what RFC 9113 says, is bounded, and
// nobody else notices. Classes: CVE-2023-44487, CVE-2024-28182, CVE-2025-8671, CVE-2019-9511 to
// 9518.

#include <catch2/catch_test_macros.hpp>

#include "h2_client.h"
#include "h2_frames.h"
#include "http/h2_connection.h"
#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;

namespace {

struct H2World : World {
    explicit H2World(ProxyOptions options = ProxyOptions()) : World(std::move(options)) {
        open_endpoint(1);
        route_to({1});
    }
    // Somebody else is served all the while.
    bool serves_others() {
        H2Client other(connect_stream());
        const int32_t id = other.request(H2Client::get("/nowhere"));
        settle();
        return other.answers[id].status == 404;
    }
};

// A head of indexed and literal fields that needs no state: GET / for hello.example.
std::string hpack_get() {
    std::string out("\x82\x84\x86\x41\x0d", 5);  // :method GET, :path /, :scheme http, :authority
    return out + "hello.example";
}

std::string opening() { return std::string(H2Connection::kPreface) + frame(4, 0, 0, ""); }

int32_t malformed(H2World& world, H2Client& client, const H2FieldList& fields) {
    const int32_t id = client.request(fields);
    world.settle();
    CHECK(world.at[1].empty());
    return id;
}

H2FieldList get_with(std::string name, std::string value) {
    H2FieldList fields = H2Client::get();
    fields.emplace_back(std::move(name), std::move(value));
    return fields;
}

}  // namespace

TEST_CASE("malformed HTTP/2 requests are refused, and their connection goes on") {
    H2World world;
    H2Client client(world.connect_stream());
    const H2FieldList resets[] = {
        get_with("connection", "close"),
        get_with("transfer-encoding", "chunked"),
        get_with("te", "gzip"),
        get_with("bad\nname", "x"),
        get_with("x", "a\r\nb"),
        get_with(":path", "/twice"),
        get_with(":unknown", "x"),
        {{":method", "GET"}, {":scheme", "http"}, {":authority", "hello.example"}},
        {{":scheme", "http"}, {":authority", "hello.example"}, {":path", "/"}},
        {{"x", "before"}, {":method", "GET"}, {":scheme", "http"}, {":path", "/"}},
        get_with("content-length", "5"),
        {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}},
    };
    for (const H2FieldList& fields : resets) {
        const int32_t id = malformed(world, client, fields);
        INFO(fields.back().first << ": " << fields.back().second);
        CHECK(client.answers[id].status == 0);
        CHECK(client.answers[id].error_code == kH2ProtocolError);
    }
    const std::pair<H2FieldList, int> answers[] = {
        {get_with("host", "other.example"), 400},
        {H2Client::get("/a#b"), 400},
        {H2Client::get("/%zz"), 400},
        {H2Client::get("/../.."), 400},
        {H2Client::get("/", "user@hello.example"), 400},
        {H2Client::get("/" + std::string(9000, 'a')), 414},
        {get_with("x", std::string(40000, 'a')), 431},
    };
    for (const auto& [fields, status] : answers) {
        const int32_t id = malformed(world, client, fields);
        INFO(fields.back().first << ": " << fields.back().second.substr(0, 20));
        // Newer nghttp2 looks into :authority itself, and resets the stream.
        const bool is_reset = client.answers[id].error_code == kH2ProtocolError;
        CHECK((is_reset || client.answers[id].status == status));
    }
    H2FieldList many = H2Client::get();
    for (int i = 0; i < 101; ++i) many.emplace_back(fmt::format("x-{}", i), "1");
    const int32_t id = malformed(world, client, many);
    CHECK(client.answers[id].status == 431);
    CHECK(client.goaways.empty());
    CHECK_FALSE(client.ended);
}

TEST_CASE("a field name in upper case resets the stream") {
    H2World world;
    auto peer = world.connect();
    peer->send(opening());
    world.settle();
    peer->take();
    peer->send(frame(1, 5, 1,
                     hpack_get() + std::string("\x40\x01X\x01"
                                               "a",
                                               5)));
    world.settle();
    CHECK(peer->received.ends_with(frame(3, 0, 1, std::string("\0\0\0\1", 4))));
    CHECK(world.at[1].empty());
}

TEST_CASE("a body longer than its length resets the stream") {
    H2World world;
    H2Client client(world.connect_stream());
    H2FieldList fields = get_with("content-length", "3");
    fields[0].second = "POST";
    const int32_t id = client.request_with_body(fields);
    client.send_body(id, "four", true);
    world.settle();
    CHECK(client.answers[id].error_code == kH2ProtocolError);
    CHECK(world.proxy->counters().requests_in_flight == 0);
}

TEST_CASE("a body beyond the limit is refused with 413") {
    ProxyOptions options;
    options.body_bytes_max = 1000;
    H2World world(options);
    H2Client client(world.connect_stream());
    H2FieldList fields = H2Client::get();
    fields[0].second = "POST";
    const int32_t id = client.request_with_body(fields);
    client.send_body(id, std::string(2000, 'x'), false);
    world.settle();
    CHECK(client.answers[id].status == 413);
    CHECK(client.answers[id].is_closed);  // the rest is not wanted
}

TEST_CASE("rapid resets end the connection, and requests in flight stay bounded") {
    H2World world;
    auto peer = world.connect();
    peer->send(opening());
    for (uint32_t i = 0; i < 2000 && !peer->is_over(); ++i) {
        peer->send(frame(1, 5, 2 * i + 1, hpack_get()));
        peer->send(frame(3, 0, 2 * i + 1, std::string("\0\0\0\x8", 4)));
        if (i % 100 == 0) world.settle(1ms);
    }
    world.settle();
    CHECK(peer->is_over());
    CHECK(world.proxy->counters().requests_in_flight == 0);
    CHECK(world.serves_others());
}

TEST_CASE("streams that the client makes us reset are counted, too") {
    H2World world;
    auto peer = world.connect();
    peer->send(opening());
    for (uint32_t i = 0; i < 400 && !peer->is_over(); ++i) {
        peer->send(frame(1, 5, 2 * i + 1, hpack_get()));
        peer->send(frame(8, 0, 2 * i + 1, std::string("\x7f\xff\xff\xff", 4)));  // window overflow
        world.settle(1ms);
    }
    world.settle();
    CHECK(peer->is_over());
    CHECK(world.serves_others());
}

TEST_CASE("a header block without an end is cut off") {
    H2World world;
    auto peer = world.connect();
    peer->send(opening());
    peer->send(frame(1, 1, 1, hpack_get()));
    for (int i = 0; i < 100 && !peer->is_over(); ++i) {
        peer->send(frame(9, 0, 1,
                         std::string("\x0f\x10\x01"
                                     "a",
                                     4)));
        world.settle(1ms);
    }
    CHECK(peer->is_over());
    CHECK(world.serves_others());
}

TEST_CASE("a header block that comes too slowly ends the connection") {
    H2World world;
    auto peer = world.connect();
    peer->send(opening());
    peer->send(frame(1, 1, 1, hpack_get()));
    world.settle(20s);
    CHECK(peer->is_over());
}

TEST_CASE("floods of PING and SETTINGS from a client that does not read are bounded") {
    for (const bool pings : {true, false}) {
        H2World world;
        auto peer = world.connect();
        peer->pause();
        peer->send(opening());
        const std::string one =
            pings ? frame(6, 0, 0, "12345678") : frame(4, 0, 0, std::string(6, '\0'));
        std::string many;
        for (int i = 0; i < 100; ++i) many += one;
        for (int i = 0; i < 1000; ++i) {
            peer->send(many);
            world.settle(1ms);
        }
        // Either it was cut off, or it is not read any more.
        CHECK((peer->is_over() || peer->queued() > many.size() * 500));
        CHECK(world.serves_others());
    }
}

TEST_CASE("what is no HTTP/2 ends its connection") {
    const std::string wrong[] = {
        opening() + std::string(100, '\xff'),
        opening() + frame(0, 0, 0, "data on no stream"),
        opening() + frame(1, 5, 2, hpack_get()),             // an even stream
        opening() + frame(1, 5, 1, "\xff\xff\xff\xff\xff"),  // no HPACK
        opening() + frame(9, 4, 1, hpack_get()),             // a continuation of nothing
        opening() + frame(6, 0, 0, "short"),
        opening() + frame(5, 4, 1, "push by a client"),
        std::string(H2Connection::kPreface) + frame(6, 0, 0, "12345678"),  // no SETTINGS first
    };
    for (const std::string& bytes : wrong) {
        H2World world;
        auto peer = world.connect();
        peer->send(bytes);
        world.settle(2s);
        peer->end();
        world.settle(6s);
        CHECK(peer->is_over());
        CHECK(world.at[1].empty());
        CHECK(world.serves_others());
    }
}

TEST_CASE("an HTTP/2 body that comes too slowly is answered with 408") {
    H2World world;
    H2Client client(world.connect_stream());
    H2FieldList fields = H2Client::get();
    fields[0].second = "POST";
    const int32_t id = client.request_with_body(fields);
    client.send_body(id, "x", false);
    world.settle(40s);
    CHECK(client.answers[id].status == 408);
}

TEST_CASE("a client that never takes its answer loses its stream") {
    H2World world;
    H2Client client(world.connect_stream(), false);
    const int32_t id = client.request(H2Client::get());
    world.settle();
    REQUIRE(world.at[1].size() == 1);
    world.at[1][0]->send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    world.at[1][0]->send(std::string(100000, 'x'));
    world.settle(5min);
    CHECK(client.answers[id].is_closed);
    CHECK_FALSE(client.answers[id].is_complete);
    CHECK(world.proxy->counters().requests_in_flight == 0);
}
