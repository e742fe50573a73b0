#include "http/websocket_stream.h"

#include <catch2/catch_test_macros.hpp>

#include "http/websocket_accept.h"
#include "loop/flow.h"
#include "loop/sim_loop.h"

using namespace candela;
using namespace candela::http;

namespace {

// A client's frame, masked.
std::string frame(uint8_t first, std::string_view payload) {
    std::string out(1, static_cast<char>(first));
    const auto size = payload.size();
    if (size < 126) {
        out += static_cast<char>(0x80 | size);
    } else if (size <= 0xffff) {
        out += static_cast<char>(0x80 | 126);
        out += static_cast<char>(size >> 8);
        out += static_cast<char>(size & 0xff);
    } else {
        out += static_cast<char>(0x80 | 127);
        for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 0xff);
    }
    const char mask[] = {'\x11', '\x22', '\x33', '\x44'};
    out.append(mask, 4);
    for (size_t i = 0; i < size; ++i) out += static_cast<char>(payload[i] ^ mask[i & 3]);
    return out;
}

// All that is read, in words, with the input cut into pieces of that size.
std::string read_all(std::string_view input, size_t piece, uint64_t frame_bytes_max = 1 << 20) {
    WebSocketReader reader(frame_bytes_max);
    std::string out;
    while (!input.empty()) {
        std::string_view part = input.substr(0, piece);
        input.remove_prefix(part.size());
        for (bool goes_on = true; goes_on;) {
            switch (reader.read(part)) {
                case WebSocketReader::Event::kNeedMore: goes_on = false; break;
                case WebSocketReader::Event::kPayload: out += reader.payload(); break;
                case WebSocketReader::Event::kControl:
                    out += fmt::format("[{}:{}]", static_cast<int>(reader.control_opcode()),
                                       reader.payload());
                    break;
                case WebSocketReader::Event::kError:
                    return out + fmt::format("!{}", static_cast<int>(reader.error()));
            }
        }
    }
    return out;
}

struct Collector final : StreamHandler {
    void on_data(std::string_view bytes) override {
        received += bytes;
        if (on_bytes) on_bytes();
    }
    void on_end() override { is_ended = true; }
    void on_error(const Error& error) override { failure = error.message(); }
    std::string received;
    std::string failure;
    bool is_ended = false;
    std::function<void()> on_bytes;
};

constexpr std::string_view kOpening =
    "GET / HTTP/1.1\r\nHost: bus.test:80\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

// A client that sends bytes by hand, and the server's side of its opening.
struct OpenedSocket {
    explicit OpenedSocket(std::string opening, WebSocketRules rules = WebSocketRules()) {
        auto listening = loop.listen(address, ListenOptions(),
                                     [this](StreamPtr stream) { accepted = std::move(stream); });
        listener = std::move(*listening);
        const auto attempt = loop.connect(
            address, [this](Result<StreamPtr> stream) { client = std::move(*stream); });
        REQUIRE(world.run_until([&] { return client != nullptr && accepted != nullptr; }, 10s));
        client->start(at_client);
        task.emplace(accept_websocket(std::move(accepted), std::move(rules), 5s));
        task->start([](void*) {}, nullptr);
        client->write(opening);
        REQUIRE(world.run_until([&] { return task->is_done(); }, 10s));
        Result<std::unique_ptr<WebSocketStream>> opened = task->take();
        task.reset();
        if (opened) {
            server = std::move(*opened);
            server->start(at_server);
        }
        world.run_until([&] { return at_client.received.find("\r\n\r\n") != std::string::npos; },
                        10s);
    }
    bool run_until(const std::function<bool()>& condition) {
        return world.run_until(condition, 10s);
    }

    const Address address = Address::tcp("10.0.0.1", 80);
    SimWorld world{7};
    SimLoop& loop = world.add_loop("one");
    std::unique_ptr<Listener> listener;
    StreamPtr client;
    StreamPtr accepted;
    Collector at_client;
    Collector at_server;
    std::unique_ptr<WebSocketStream> server;
    std::optional<Task<Result<std::unique_ptr<WebSocketStream>>>> task;
};

}  // namespace

TEST_CASE("websocket_input_cut_anywhere_is_read_as_the_whole_is") {
    const std::string long_text(70'000, 'L');
    const std::string input = frame(0x02, "he") + frame(0x89, "ping") + frame(0x00, "") +
                              frame(0x80, "llo") + frame(0x81, std::string(300, 't')) +
                              frame(0x82, long_text) + frame(0x8a, "") + frame(0x88, "\x03\xe8");
    const std::string expected =
        "he[9:ping]llo" + std::string(300, 't') + long_text + "[10:][8:\x03\xe8]";
    for (const size_t piece : {1u, 2u, 3u, 5u, 13u, 1000u, 65'536u, 1'000'000u}) {
        CHECK(read_all(input, piece) == expected);
    }
}

TEST_CASE("websocket_frames_against_the_rules_are_refused") {
    CHECK(read_all(std::string("\x82\x01x", 3), 10) == "!1002");           // not masked
    CHECK(read_all(frame(0xc2, "x"), 10) == "!1002");                      // a reserved bit
    CHECK(read_all(frame(0x83, "x"), 10) == "!1002");                      // an unknown opcode
    CHECK(read_all(frame(0x80, "x"), 10) == "!1002");                      // continues nothing
    CHECK(read_all(frame(0x02, "a") + frame(0x82, "b"), 10) == "a!1002");  // begins within another
    CHECK(read_all(frame(0x09, "x"), 10) == "!1002");                      // a fragmented ping
    CHECK(read_all(frame(0x89, std::string(126, 'x')), 10) == "!1002");
    CHECK(read_all(std::string("\x82\xfe\x00\x01\x00\x00\x00\x00x", 9), 10) == "!1002");
    CHECK(read_all(frame(0x82, std::string(1001, 'x')), 10, 1000) == "!1009");
    CHECK(read_all(frame(0x82, std::string(1000, 'x')), 10'000, 1000) == std::string(1000, 'x'));
}

TEST_CASE("websocket_close_frames_say_what_they_may") {
    CHECK(parse_websocket_close("") == WebSocketStatus::kNoStatus);
    CHECK(parse_websocket_close("\x03\xe9"
                                "bye") == WebSocketStatus::kGoingAway);
    CHECK(!parse_websocket_close("\x03"));
    CHECK(!parse_websocket_close("\x03\xed"));  // 1005 is never sent
    CHECK(!parse_websocket_close(std::string_view("\x00\x01", 2)));
}

TEST_CASE("websocket_opens_carries_bytes_and_closes") {
    // RFC 6455 §1.3's example.
    OpenedSocket socket(std::string(kOpening) + "\r\n" + frame(0x82, "early"));
    REQUIRE(socket.server != nullptr);
    CHECK(socket.at_client.received.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") !=
          std::string::npos);
    REQUIRE(socket.run_until([&] { return socket.at_server.received == "early"; }));
    socket.at_client.received.clear();
    socket.server->write("hello");
    REQUIRE(socket.run_until([&] { return socket.at_client.received.size() >= 7; }));
    CHECK(socket.at_client.received == "\x82\x05hello");
    socket.at_client.received.clear();
    socket.client->write(frame(0x88, "\x03\xe8"));
    REQUIRE(socket.run_until([&] { return socket.at_server.is_ended; }));
    REQUIRE(socket.run_until([&] { return socket.at_client.received.size() >= 4; }));
    CHECK(socket.at_client.received == "\x88\x02\x03\xe8");
}

TEST_CASE("websocket_reader_that_pauses_gets_the_rest_later_and_in_order") {
    OpenedSocket socket(std::string(kOpening) + "\r\n");
    socket.at_server.on_bytes = [&] { socket.server->pause(); };
    socket.client->write(frame(0x82, "one") + frame(0x82, "two") + frame(0x82, "three"));
    socket.world.run_for(1s);
    CHECK(socket.at_server.received == "one");
    socket.server->resume();
    socket.world.run_for(1s);
    CHECK(socket.at_server.received == "onetwo");
    socket.at_server.on_bytes = nullptr;
    socket.client->write(frame(0x82, "four"));
    socket.server->resume();
    REQUIRE(socket.run_until([&] { return socket.at_server.received == "onetwothreefour"; }));
}

TEST_CASE("websocket_stream_may_be_destroyed_by_its_own_callback") {
    OpenedSocket socket(std::string(kOpening) + "\r\n");
    socket.at_server.on_bytes = [&] { socket.server.reset(); };
    socket.client->write(frame(0x82, "one") + frame(0x82, "two"));
    REQUIRE(socket.run_until(
        [&] { return socket.at_client.is_ended || !socket.at_client.failure.empty(); }));
    CHECK(socket.at_server.received == "one");
}

TEST_CASE("websocket_bytes_against_the_rules_are_answered_with_their_status") {
    OpenedSocket socket(std::string(kOpening) + "\r\n");
    socket.at_client.received.clear();
    socket.client->write("this is no frame");
    REQUIRE(socket.run_until([&] { return !socket.at_server.failure.empty(); }));
    REQUIRE(socket.run_until([&] { return socket.at_client.received.size() >= 4; }));
    CHECK(socket.at_client.received == "\x88\x02\x03\xea");
}

TEST_CASE("websocket_opening_that_does_not_come_ends") {
    OpenedSocket socket("GET / HTTP/1.1\r\n");
    CHECK(socket.server == nullptr);
    CHECK(socket.at_client.received.starts_with("HTTP/1.1 408 "));
}
