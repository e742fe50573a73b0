// HTTP/2 endpoints that mean harm, or know no better: their own requests fail, in a way that the
// client can understand, memory stays bounded, and nobody else notices.

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "h2_client.h"
#include "h2_frames.h"
#include "h2_server.h"
#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

constexpr uint8_t kData = 0, kHeaders = 1, kSettings = 4, kPushPromise = 5, kPing = 6,
                  kContinuation = 9;
constexpr uint8_t kEndStream = 1, kEndHeaders = 4;

// Nothing that may be asked for twice.
H2FieldList post() {
    H2FieldList fields = H2Client::get();
    fields[0].second = "POST";
    return fields;
}

// The next request on a session that goes on is served.
void check_goes_on(OneH2& world, H2Client& client, int32_t stream) {
    const int32_t id = client.request(H2Client::get());
    world.asked(1, 0, stream).answer(stream);
    world.settle();
    CHECK(client.answers[id].body == "ok");
}

// Plays an endpoint by bytes alone, which have to be HTTP/2's.
struct RawH2 : World {
    RawH2() {
        open_endpoint(1);
        upstream->update({H2EndpointWorld::h2_spec(1)});
    }
    // Its connection, when the request is there.
    Peer& asked(std::string_view settings = "") {
        sim.run_until([&] { return !at[1].empty(); }, 1s);
        Peer& peer = *at[1].back();
        peer.send(frame(kSettings, 0, 0, settings));
        settle();
        return peer;
    }
};

}  // namespace

TEST_CASE("an endpoint that never says its SETTINGS is one that can't be connected to") {
    H2EndpointWorld world;
    world.open_endpoint(1);
    world.open_h2(2);
    world.route_to_h2({1, 2});
    H2Client client(world.connect_stream());
    std::vector<int32_t> ids;
    for (int i = 0; i < 8; ++i) {
        H2FieldList fields = H2Client::get();
        fields[0].second = "POST";
        ids.push_back(client.request(fields));
    }
    world.settle(6s);
    for (auto& [stream, asked] : world.h2[2][0]->asked) world.h2[2][0]->answer(stream);
    world.settle();
    for (const int32_t id : ids) CHECK(client.answers[id].body == "ok");
    // Nothing was sent there that would have to be taken back.
    REQUIRE_FALSE(world.at[1].empty());
    CHECK(world.at[1][0]->is_over());
    CHECK_THAT(world.at[1][0]->received, !ContainsSubstring("hello.example"));
}

TEST_CASE("an endpoint that speaks something else is told from one that is away") {
    RawH2 world;
    const auto [bytes, text] = GENERATE(
        std::pair("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
                  "answers in HTTP/1, but its service.toml says protocol = \"h2c\""),
        std::pair("SSH-2.0-OpenSSH_9.2\r\n", "HTTP/2"),
        std::pair("<html>error of another kind, and longer than a frame's head</html>", "HTTP/2"));
    H2Client client(world.connect_stream());
    const int32_t id = client.request(H2Client::get());
    world.sim.run_until([&] { return !world.at[1].empty(); }, 1s);
    world.at[1][0]->send(bytes);
    world.settle();
    CHECK(client.answers[id].status == 502);
    CHECK_THAT(client.answers[id].body, ContainsSubstring(text));
}

TEST_CASE("an endpoint that takes no streams is as good as away") {
    OneH2 world(ProxyOptions(), H2ServerOptions{.streams_max = 0});
    H2Client client(world.connect_stream());
    const int32_t id = client.request(H2Client::get());
    world.settle(31s);
    CHECK(client.answers[id].status == 503);
    CHECK(world.h2[1].size() < 30);
}

TEST_CASE("an endpoint that says good-bye at once is not asked forever") {
    RawH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request(H2Client::get());
    size_t greeted = 0;
    for (int i = 0; i < 4000 && client.answers[id].status == 0; ++i) {
        for (; greeted < world.at[1].size(); ++greeted) {
            world.at[1][greeted]->send(frame(kSettings, 0, 0, "") +
                                       frame(7, 0, 0, std::string(8, '\0')));
        }
        world.settle(10ms);
    }
    CHECK(client.answers[id].status == 503);
    CHECK(greeted < 30);
}

TEST_CASE("answers that are malformed fail alone") {
    OneH2 world;
    H2Client client(world.connect_stream());
    int32_t stream = -1;
    const auto ask = [&](const auto& answer) {
        const int32_t id = client.request(post());
        stream += 2;
        answer(world.asked(1, 0, stream));
        world.settle();
        CHECK(client.answers[id].status == 502);
    };
    const H2FieldList heads[] = {
        {{"x-no", "status"}},
        {{":status", "20"}},
        {{":status", "abc"}},
        {{":status", "101"}},
        {{":status", "200"}, {":status", "200"}},
        {{":status", "200"}, {":path", "/"}},
        {{":status", "200"}, {"connection", "close"}},
        {{":status", "200"}, {"transfer-encoding", "chunked"}},
        {{":status", "200"}, {"content-length", "x"}},
        {{":status", "200"}, {"content-length", "1"}, {"content-length", "2"}},
        {{":status", "200"}, {"bad\nname", "1"}},
        {{":status", "200"}, {"x", "a\r\nb: c"}},
        {{":status", "200"}, {"x", std::string(100 * 1024, 'a')}},
    };
    for (const H2FieldList& head : heads) {
        INFO(head.back().first << ": " << head.back().second.substr(0, 20));
        ask([&](H2Server& endpoint) { endpoint.send_head(stream, head); });
    }
    H2FieldList many = {{":status", "200"}};
    for (int i = 0; i < 101; ++i) many.emplace_back(fmt::format("x-{}", i), "1");
    ask([&](H2Server& endpoint) { endpoint.send_head(stream, many); });
    ask([&](H2Server& endpoint) {
        for (int i = 0; i < 40; ++i) endpoint.send_head(stream, {{":status", "103"}});
    });
    ask([&](H2Server& endpoint) { endpoint.send_head(stream, {{":status", "100"}}, true); });
    check_goes_on(world, client, stream + 2);
}

TEST_CASE("a body that is not as was said ends in a cut, and never in another answer") {
    OneH2 world;
    const bool is_head = GENERATE(false, true);
    auto client = world.connect();
    client->send(is_head ? "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" : kGet);
    H2Server& endpoint = world.asked();
    endpoint.send_head(1, {{":status", "200"}, {"content-length", "4"}});
    if (is_head) {
        // The client takes what comes after the head for the next answer.
        endpoint.send_body(1, "HTTP", true);
    } else {
        endpoint.send_body(1, GENERATE("toolong", "sho"), true);
    }
    world.settle();
    const std::string answer = client->take();
    CHECK(count_of(answer, "HTTP") == (answer.empty() ? 0U : 1U));
    CHECK(client->is_over());
}

TEST_CASE("trailers of an endpoint count as fields of its head do") {
    OneH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request(H2Client::get());
    H2Server& endpoint = world.asked();
    endpoint.send_head(1, {{":status", "200"}});
    endpoint.send_body(1, "part", false);
    world.settle();
    H2FieldList many;
    for (int i = 0; i < 101; ++i) many.emplace_back(fmt::format("x-{}", i), "1");
    endpoint.send_trailers(1, many);
    world.settle();
    CHECK_FALSE(client.answers[id].is_complete);
    CHECK(client.answers[id].error_code == kH2InternalError);
    check_goes_on(world, client, 3);
}

TEST_CASE("an endpoint that pushes is hung up on") {
    RawH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request(post());
    Peer& endpoint = world.asked();
    endpoint.take();
    endpoint.send(frame(kPushPromise, kEndHeaders, 1, std::string("\0\0\0\2\x82\x84\x86", 7)));
    world.settle();
    CHECK(endpoint.is_over());
    // GOAWAY, PROTOCOL_ERROR.
    CHECK_THAT(endpoint.take(), ContainsSubstring(std::string("\0\0\0\1", 4)));
    CHECK(client.answers[id].status == 502);
}

TEST_CASE("a head without end is cut short") {
    RawH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request(post());
    Peer& endpoint = world.asked();
    // ":status: 200", and a literal field that is never indexed, over and over.
    endpoint.send(frame(kHeaders, 0, 1, "\x88"));
    std::string field("\x10\x01x\x7f", 4);
    field += std::string("\x01", 1) + std::string(128, 'v');
    std::string block;
    while (block.size() + field.size() < 16 * 1024) block += field;
    for (int i = 0; i < 100 && !endpoint.is_over(); ++i) {
        endpoint.send(frame(kContinuation, 0, 1, block));
        world.settle(1ms);
    }
    CHECK(endpoint.is_over());
    world.settle();
    CHECK(client.answers[id].status == 502);
}

TEST_CASE("an endpoint that floods is hung up on") {
    RawH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request(post());
    Peer& endpoint = world.asked();
    const std::string one = GENERATE(frame(kSettings, 0, 0, ""), frame(kPing, 0, 0, "12345678"),
                                     frame(kSettings, 0, 0, []() {
                                         std::string much;
                                         for (int i = 0; i < 100; ++i)
                                             much += std::string("\0\x4\0\0\xff\xff", 6);
                                         return much;
                                     }()));
    std::string flood;
    for (int i = 0; i < 4000; ++i) flood += one;
    endpoint.pause();  // it takes none of the answers
    for (int i = 0; i < 100 && !endpoint.is_over(); ++i) {
        endpoint.send(flood);
        world.settle(10ms);
    }
    endpoint.resume();
    world.settle();
    CHECK(endpoint.is_over());
    CHECK(client.answers[id].status == 502);
    CHECK(world.proxy->counters().requests_in_flight == 0);
}

TEST_CASE("more body than the window allows is cut off") {
    RawH2 world;
    auto client = world.connect();
    client->pause();
    client->send(kGet);
    Peer& endpoint = world.asked();
    endpoint.send(frame(kHeaders, kEndHeaders, 1, "\x88"));
    const std::string piece(16 * 1024, 'z');
    for (size_t sent = 0; sent < 64 * 1024 * 1024; sent += piece.size()) {
        endpoint.send(frame(kData, 0, 1, piece));
        world.settle(1ms);
    }
    // The stream is reset, and what comes after goes by.
    CHECK(world.proxy->counters().requests_in_flight == 0);
    client->resume();
    world.settle();
    CHECK(client->is_over());
    CHECK(client->received.size() < 1024 * 1024);
}

TEST_CASE("a body before any head, and frames of streams that nobody asked for") {
    RawH2 world;
    H2Client client(world.connect_stream());
    const int32_t id = client.request(post());
    Peer& endpoint = world.asked();
    endpoint.send(frame(kData, GENERATE(uint8_t{0}, kEndStream), GENERATE(1U, 2U, 7U), "body"));
    world.settle();
    CHECK(client.answers[id].status == 502);
    client.close();
    world.settle(1s);
    CHECK(world.proxy->counters().requests_in_flight == 0);
}
