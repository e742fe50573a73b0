// The ways in: TLS after INFO, first, or as the client begins; what goes wrong in the middle of it.

#include <catch2/catch_test_macros.hpp>

#include "cloud.h"
#include "tls/authority.h"
#include "tls/stream.h"

using namespace test;

namespace {

// Certificates are checked against the real clock, whatever the simulation's says.
WallTime real_now() { return std::chrono::system_clock::now(); }

class TlsCloud : public Cloud {
public:
    explicit TlsCloud(Entrance::Handshake handshake, bool is_required = true)
        : authority(*tls::Authority::create("test", real_now(), 24h)) {
        tls::CertificateRequest request;
        request.common_name = "bus";
        request.names = {"bus.test"};
        request.now = real_now();
        request.lifetime = 1h;
        auto entrance = std::make_shared<Entrance>();
        tls::ServerOptions options;
        options.alpn.clear();
        entrance->tls = *tls::ServerContext::create(*authority.issue(request), options);
        entrance->tls_required = is_required;
        entrance->handshake = handshake;
        if (!server->listen(address, entrance)) std::abort();
        tls::ClientOptions trusting;
        trusting.ca_pem = authority.ca_pem();
        trusting.alpn.clear();
        context = *tls::ClientContext::create(trusting);
    }

    StreamPtr connect_plain() {
        StreamPtr plain;
        const auto attempt =
            loop->connect(address, [&](Result<StreamPtr> stream) { plain = std::move(*stream); });
        world.run_until([&] { return plain != nullptr; }, 1s);
        return plain;
    }
    // A client that has shaken hands; null where it was refused.
    std::unique_ptr<RawClient> secure(StreamPtr plain) {
        Result<StreamPtr> secured =
            run(tls::wrap_client(std::move(plain), context, "bus.test", 5s));
        if (!secured) return nullptr;
        return std::make_unique<RawClient>(std::move(*secured));
    }
    // Reads INFO in the clear, then upgrades.
    std::unique_ptr<RawClient> upgrade() {
        auto plain = std::make_unique<RawClient>(connect_plain());
        world.run_until([&] { return plain->text.ends_with(" \r\n"); }, 1s);
        info = plain->text;
        plain->stream->pause();
        return secure(std::move(plain->stream));
    }
    bool logs_in(RawClient& client, const std::string& info_text) {
        client.text = info_text;
        client.send(connect_line(client, mint(shop)) + "PING\r\n");
        client.text.clear();
        const bool is_in = world.run_until([&] { return client.has("PONG"); }, 1s);
        client.take();
        return is_in;
    }

    const Address address = Address::tcp("10.0.0.1", 4333);
    tls::Authority authority;
    std::shared_ptr<tls::ClientContext> context;
    std::string info;
};

}  // namespace

TEST_CASE("tls_after_info_carries_much_both_ways") {
    TlsCloud cloud(Entrance::Handshake::kAfterInfo);
    const std::unique_ptr<RawClient> client = cloud.upgrade();
    REQUIRE(client != nullptr);
    CHECK(cloud.info.find("\"tls_required\":true") != std::string::npos);
    REQUIRE(cloud.logs_in(*client, cloud.info));
    cloud.talk(*client, "SUB a 1\r\n");
    const std::string payload(500'000, 'x');
    const std::string answer = cloud.talk(*client, "PUB a 500000\r\n" + payload + "\r\n");
    CHECK(answer == "MSG a 1 500000\r\n" + payload + "\r\n");
}

TEST_CASE("tls_that_is_required_lets_nobody_on_in_the_clear") {
    TlsCloud cloud(Entrance::Handshake::kAfterInfo);
    RawClient client(cloud.connect_plain());
    cloud.world.run_until([&] { return client.has("INFO"); }, 1s);
    client.send(cloud.connect_line(client, cloud.mint(cloud.shop)) + "PING\r\n");
    cloud.world.run_until([&] { return client.is_ended; }, 10s);
    CHECK(client.is_ended);
    CHECK_FALSE(client.has("PONG"));
    // It was given a moment to read the alert.
    CHECK(cloud.world.run_until([&] { return cloud.server->connection_count() == 0; }, 2s));
}

TEST_CASE("tls_that_is_offered_is_the_clients_choice") {
    TlsCloud cloud(Entrance::Handshake::kAfterInfo, false);
    RawClient clear(cloud.connect_plain());
    cloud.world.run_until([&] { return clear.has("INFO"); }, 1s);
    CHECK(clear.has("\"tls_available\":true"));
    CHECK(cloud.logs_in(clear, clear.take()));
    const std::unique_ptr<RawClient> client = cloud.upgrade();
    REQUIRE(client != nullptr);
    CHECK(cloud.logs_in(*client, cloud.info));
}

TEST_CASE("tls_first_says_nothing_in_the_clear") {
    TlsCloud cloud(Entrance::Handshake::kFirst);
    const std::unique_ptr<RawClient> client = cloud.secure(cloud.connect_plain());
    REQUIRE(client != nullptr);
    REQUIRE(cloud.world.run_until([&] { return client->has("INFO"); }, 1s));
    CHECK(cloud.logs_in(*client, client->take()));
    RawClient silent(cloud.connect_plain());
    cloud.world.run_until([&] { return silent.is_ended; }, 10s);
    CHECK(silent.is_ended);
    CHECK(silent.text.find("INFO") == std::string::npos);
}

TEST_CASE("tls_auto_serves_both_kinds_of_client") {
    TlsCloud cloud(Entrance::Handshake::kAuto);
    const std::unique_ptr<RawClient> first = cloud.secure(cloud.connect_plain());
    REQUIRE(first != nullptr);
    REQUIRE(cloud.world.run_until([&] { return first->has("INFO"); }, 1s));
    CHECK(cloud.logs_in(*first, first->take()));
    const std::unique_ptr<RawClient> later = cloud.upgrade();
    REQUIRE(later != nullptr);
    CHECK(cloud.logs_in(*later, cloud.info));
}

TEST_CASE("a_handshake_that_never_ends_is_cut_off_and_so_is_one_of_a_bus_that_goes") {
    for (const auto handshake : {Entrance::Handshake::kAfterInfo, Entrance::Handshake::kFirst,
                                 Entrance::Handshake::kAuto}) {
        TlsCloud cloud(handshake);
        RawClient late(cloud.connect_plain());
        late.send("\x16\x03\x01");
        cloud.world.run_for(4s);
        CHECK(late.is_ended);
        CHECK(cloud.server->connection_count() == 0);
        RawClient next(cloud.connect_plain());
        next.send("\x16\x03\x01");
        cloud.world.run_for(200ms);
        cloud.api.reset();
        cloud.server.reset();
        cloud.world.run_for(10ms);
        CHECK(next.is_ended);
    }
}

TEST_CASE("a_client_that_does_not_log_in_by_tls_is_sent_away_in_time") {
    TlsCloud cloud(Entrance::Handshake::kAfterInfo);
    const std::unique_ptr<RawClient> client = cloud.upgrade();
    REQUIRE(client != nullptr);
    cloud.world.run_until([&] { return client->is_ended; }, 10s);
    CHECK(client->has("-ERR 'Authentication Timeout'"));
}

TEST_CASE("a_limited_user_over_tls_is_paced_too") {
    TlsCloud cloud(Entrance::Handshake::kAfterInfo);
    cloud.shop.claims.tags = {"candela:publish_rate=100"};
    REQUIRE(auth::resign_account(cloud.shop, cloud.operator_key, Cloud::start() + 1s));
    REQUIRE(cloud.server->put_account(cloud.shop.jwt));
    const std::unique_ptr<RawClient> client = cloud.upgrade();
    REQUIRE(client != nullptr);
    REQUIRE(cloud.logs_in(*client, cloud.info));
    std::string text;
    for (int i = 0; i < 600; ++i) text += "PUB a 1\r\n.\r\n";
    client->send(text + "PING\r\n");
    cloud.world.run_for(1s);
    CHECK_FALSE(client->has("PONG"));
    CHECK(cloud.world.run_until([&] { return client->has("PONG"); }, 10s));
}
