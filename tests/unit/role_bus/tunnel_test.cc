#include "bus/tunnel.h"

#include <catch2/catch_test_macros.hpp>

#include "cloud.h"

using namespace test;
using bus::connect_tunnel;
using bus::TunnelListener;
using bus::TunnelOptions;

namespace {

// Keeps what a stream brings.
struct End final : StreamHandler {
    void on_data(std::string_view bytes) override { text += bytes; }
    void on_end() override { ended = true; }
    void on_error(const Error& e) override { error = e; }
    void on_drained() override { ++drained; }
    void take(StreamPtr s) {
        stream = std::move(s);
        stream->start(*this);
    }
    std::string text;
    bool ended = false;
    int drained = 0;
    std::optional<Error> error;
    StreamPtr stream;
};

struct Pair {
    explicit Pair(TunnelOptions options = {}) {
        listener = *TunnelListener::create(
            host, "candela.tunnel.h1",
            [this](StreamPtr stream, std::string wanted) {
                target = std::move(wanted);
                if (target == "later") {
                    server.stream = std::move(stream);
                } else if (target != "refused") {
                    server.take(std::move(stream));
                }
            },
            Logger(), options);
        if (!cloud.run(host.flush(1s))) std::abort();
    }
    Result<> open(std::string to = "127.0.0.1:80", TunnelOptions options = TunnelOptions()) {
        auto stream =
            cloud.run(connect_tunnel(gateway, "candela.tunnel.h1", std::move(to), 1s, options));
        if (!stream) return fail(stream.error());
        client.take(std::move(*stream));
        return {};
    }
    bool until(const std::function<bool()>& condition, Duration limit = 10s) {
        return cloud.world.run_until(condition, limit);
    }

    Cloud cloud;
    bus::Client& host = cloud.connect();
    bus::Client& gateway = cloud.connect();
    std::string target;
    End client;
    End server;
    std::unique_ptr<TunnelListener> listener;
};

std::string pattern(size_t size) {
    std::string out(size, '\0');
    for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 31 + i / 251);
    return out;
}

}  // namespace

TEST_CASE("a_tunnel_carries_bytes_both_ways_and_half_closes") {
    Pair pair;
    REQUIRE(pair.open());
    CHECK(pair.target == "127.0.0.1:80");
    pair.client.stream->write("GET /");
    pair.client.stream->end();
    CHECK(pair.until([&] { return pair.server.ended; }));
    CHECK(pair.server.text == "GET /");
    pair.cloud.world.run_for(60s);  // a long silence is no end
    pair.server.stream->write("200 OK");
    pair.server.stream->end();
    CHECK(pair.until([&] { return pair.client.ended; }));
    CHECK(pair.client.text == "200 OK");
    CHECK_FALSE(pair.client.error);
}

TEST_CASE("large_transfers_arrive_whole_within_the_window") {
    Pair pair;
    REQUIRE(pair.open());
    const std::string data = pattern(3'000'000);
    pair.client.stream->write(data);
    CHECK(pair.client.stream->queued_bytes() == data.size() - 256 * 1024);
    pair.client.stream->end();
    CHECK(pair.until([&] { return pair.server.ended; }));
    CHECK(pair.server.text == data);
}

TEST_CASE("a_paused_reader_stops_the_sender_and_resuming_lets_it_go_on") {
    Pair pair;
    REQUIRE(pair.open());
    pair.server.stream->pause();
    const std::string data = pattern(600'000);
    pair.client.stream->write(data);
    pair.cloud.world.run_for(5s);
    CHECK(pair.server.text.empty());
    CHECK(pair.client.stream->queued_bytes() == data.size() - 256 * 1024);
    CHECK(pair.client.drained == 0);
    pair.server.stream->resume();
    CHECK(pair.until([&] { return pair.server.text == data; }));
    CHECK(pair.until([&] { return pair.client.drained == 1; }));
    CHECK(pair.client.stream->queued_bytes() == 0);
}

TEST_CASE("tunnels_are_refused_where_nobody_listens_or_the_handler_declines") {
    Pair pair;
    CHECK(pair.open("refused").error().code() == Code::kUnreachable);
    CHECK(pair.open("a\nb").error().code() == Code::kInvalid);
    pair.listener.reset();
    REQUIRE(pair.cloud.run(pair.host.flush(1s)));
    CHECK(pair.open().error().code() == Code::kUnreachable);
}

TEST_CASE("a_tunnel_is_open_once_its_listener_starts_it_and_refused_where_it_lets_it_go") {
    Pair pair;
    auto opening = connect_tunnel(pair.gateway, "candela.tunnel.h1", "later", 10s);
    opening.start([](void*) {}, nullptr);
    REQUIRE(pair.until([&] { return pair.server.stream != nullptr; }));
    pair.cloud.world.run_for(1s);
    CHECK_FALSE(opening.is_done());
    SECTION("started") {
        pair.server.stream->start(pair.server);
        REQUIRE(pair.until([&] { return opening.is_done(); }, 1s));
        auto stream = opening.take();
        REQUIRE(stream);
        pair.client.take(std::move(*stream));
        pair.client.stream->write("GET /");
        CHECK(pair.until([&] { return pair.server.text == "GET /"; }));
    }
    SECTION("destroyed") {
        pair.server.stream.reset();
        REQUIRE(pair.until([&] { return opening.is_done(); }, 1s));
        CHECK(opening.take().error().code() == Code::kUnreachable);
    }
}

TEST_CASE("a_listener_bounds_its_streams") {
    TunnelOptions options;
    options.streams_max = 1;
    Pair pair(options);
    REQUIRE(pair.open());
    End second;
    auto refused = pair.cloud.run(connect_tunnel(pair.gateway, "candela.tunnel.h1", "x", 1s));
    CHECK(refused.error().code() == Code::kUnreachable);
    pair.server.stream.reset();
    pair.client.stream.reset();
    CHECK(pair.open());
}

TEST_CASE("destroying_one_end_resets_the_other") {
    Pair pair;
    REQUIRE(pair.open());
    pair.server.stream.reset();
    CHECK(pair.until([&] { return pair.client.error.has_value(); }, 1s));
    CHECK(pair.client.error->code() == Code::kUnreachable);
}

TEST_CASE("an_end_whose_client_vanished_is_noticed") {
    Pair pair;
    REQUIRE(pair.open());
    // As if the host's process had been killed: its streams say nothing any more.
    REQUIRE(pair.cloud.run(pair.host.drain(1s)));
    CHECK(pair.until([&] { return pair.client.error.has_value(); }, 30s));
    CHECK(pair.client.error->code() == Code::kUnreachable);
}

TEST_CASE("a_lost_or_foreign_message_breaks_the_tunnel") {
    Pair pair;
    std::string inbox;
    auto spy = pair.gateway.subscribe("_INBOX.>", [&](const bus::MessageView& message) {
        if (message.payload.size() > 9 && message.payload[0] == 4) inbox = message.subject;
    });
    REQUIRE(pair.open());
    pair.client.stream->write("hello");
    REQUIRE(pair.until([&] { return !inbox.empty() && pair.server.text == "hello"; }));
    SECTION("a hole") {
        REQUIRE(pair.gateway.publish(inbox, std::string("\x04\0\0\0\0\0\0\0\x09!", 10)));
    }
    SECTION("an end too early") {
        REQUIRE(pair.gateway.publish(inbox, std::string("\x05\0\0\0\0\0\0\0\x09", 9)));
    }
    SECTION("rubbish") { REQUIRE(pair.gateway.publish(inbox, "?")); }
    SECTION("a window that was never sent") {
        REQUIRE(pair.gateway.publish(inbox, std::string("\x06\0\0\0\0\0\0\0\x09", 9)));
    }
    CHECK(pair.until([&] { return pair.server.error && pair.client.error; }, 2s));
    CHECK(pair.server.error->code() == Code::kCorrupt);
}

TEST_CASE("rubbish_to_a_listener_is_answered_and_harmless") {
    Pair pair;
    for (const std::string& text : {std::string(), std::string("x"), std::string(20, '\x01')}) {
        const auto answer = pair.cloud.run(pair.gateway.request("candela.tunnel.h1", text, 1s));
        REQUIRE(answer);
        CHECK(answer->payload[0] == 3);
    }
}
