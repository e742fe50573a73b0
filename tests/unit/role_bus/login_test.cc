#include <catch2/catch_test_macros.hpp>

#include "cloud.h"

using namespace test;

TEST_CASE("info_offers_a_nonce_and_what_clients_look_for") {
    Cloud cloud;
    RawClient& client = cloud.dial();
    for (const char* field : {"\"nonce\":\"", "\"server_id\":\"N", "\"headers\":true",
                              "\"proto\":1", "\"max_payload\":1048576", "\"auth_required\":true"}) {
        CHECK(client.has(field));
    }
}

TEST_CASE("a_signed_user_is_let_in") {
    Cloud cloud;
    RawClient& client = cloud.dial();
    client.send(cloud.connect_line(client, cloud.mint(cloud.shop)) + "PING\r\n");
    cloud.world.run_for(50ms);
    CHECK(client.text.ends_with("PONG\r\n"));
}

static std::string refusal(Cloud& cloud, const std::string& line) {
    RawClient& client = *cloud.raw.back();
    client.take();
    client.send(line);
    cloud.world.run_until([&] { return client.is_ended; }, 3s);
    CHECK(client.is_ended);
    return client.take();
}

TEST_CASE("whoever_is_not_let_in_learns_only_that") {
    Cloud cloud;
    RawClient& client = cloud.dial();
    const std::string violation = "-ERR 'Authorization Violation'\r\n";
    SECTION("no jwt") { CHECK(refusal(cloud, "CONNECT {}\r\n") == violation); }
    SECTION("not json") { CHECK(refusal(cloud, "CONNECT {\r\n") == violation); }
    SECTION("another verb first") { CHECK(refusal(cloud, "SUB foo 1\r\n") == violation); }
    SECTION("http") { CHECK(refusal(cloud, "GET / HTTP/1.1\r\n") == violation); }
    SECTION("a payload before the login") { CHECK(refusal(cloud, "PUB a 9\r\n") == violation); }
    SECTION("a signature by another key") {
        auth::Credentials wrong = cloud.mint(cloud.shop);
        wrong.key = auth::KeyPair::generate(auth::KeyKind::kUser);
        CHECK(refusal(cloud, cloud.connect_line(client, wrong)) == violation);
    }
    SECTION("an unknown account") {
        const auth::Account stranger = *auth::make_account(
            auth::KeyPair::generate(auth::KeyKind::kOperator), "stranger", Cloud::start());
        CHECK(refusal(cloud, cloud.connect_line(client, cloud.mint(stranger))) == violation);
    }
    SECTION("an expired user") {
        const auto expired = cloud.mint(cloud.shop, {}, 1'760'000'001);
        CHECK(refusal(cloud, cloud.connect_line(client, expired)) == violation);
    }
    SECTION("a user signed by another account's key") {
        auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
        auth::UserClaims claims;
        claims.subject = key.public_key();
        claims.issuer_account = cloud.other.public_key();
        std::string jwt = *auth::encode_user(claims, cloud.shop.signing_key, Cloud::start());
        const auth::Credentials forged{std::move(jwt), std::move(key)};
        CHECK(refusal(cloud, cloud.connect_line(client, forged)) == violation);
    }
}

TEST_CASE("a_login_has_a_time_limit") {
    Cloud cloud;
    RawClient& client = cloud.dial();
    cloud.world.run_until([&] { return client.is_ended; }, 10s);
    CHECK(client.text.ends_with("-ERR 'Authentication Timeout'\r\n"));
}

TEST_CASE("a_user_bound_to_a_network_comes_from_it") {
    ConnectOptions options;
    Cloud cloud;
    auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
    auth::UserClaims claims;
    claims.subject = key.public_key();
    claims.issuer_account = cloud.shop.public_key();
    claims.source_networks = {"10.1.0.0/16", "fd00::/8"};
    options.jwt = *auth::encode_user(claims, cloud.shop.signing_key, Cloud::start());
    const crypto::Signature signature = key.sign("nonce");
    options.signature = base64url_encode(signature);
    Accounts& accounts = cloud.server->accounts();
    const auto comes_from = [&](const Address& peer) {
        return log_in(accounts, options, "nonce", peer, Cloud::start()).has_value();
    };
    CHECK(comes_from(Address::tcp("10.1.2.3", 1)));
    CHECK(comes_from(Address::tcp("fd12::1", 1)));
    CHECK_FALSE(comes_from(Address::tcp("10.2.0.1", 1)));
    CHECK_FALSE(comes_from(Address::in_process("bus")));
}

TEST_CASE("a_scoped_key_gives_its_users_the_scopes_permissions") {
    Cloud cloud;
    const auth::KeyPair scoped = auth::KeyPair::generate(auth::KeyKind::kAccount);
    auth::AccountSigningKey::Scope scope;
    scope.permissions.publish.allow = {"metrics.>"};
    scope.bounds.allowed_connection_types = {"STANDARD"};
    cloud.shop.claims.signing_keys.push_back(auth::AccountSigningKey{scoped.public_key(), scope});
    REQUIRE(auth::resign_account(cloud.shop, cloud.operator_key, Cloud::start() + 1s));
    REQUIRE(cloud.server->put_account(cloud.shop.jwt));
    auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
    auth::UserClaims claims;
    claims.subject = key.public_key();
    claims.issuer_account = cloud.shop.public_key();
    claims.scoped = true;
    std::string jwt = *auth::encode_user(claims, scoped, Cloud::start());
    const auth::Credentials user{std::move(jwt), std::move(key)};
    RawClient& client = cloud.log_in(user);
    CHECK(cloud.talk(client, "PUB metrics.cpu 0\r\n\r\n").empty());
    CHECK(cloud.talk(client, "PUB orders 0\r\n\r\n") ==
          "-ERR 'Permissions Violation for Publish to \"orders\"'\r\n");
    // Where and how one may come in is the scope's to say, too.
    ConnectOptions options;
    options.jwt = user.jwt;
    const crypto::Signature signature = user.key.sign("nonce");
    options.signature = base64url_encode(signature);
    const auto may_come_by = [&](ConnectionType type) {
        return log_in(cloud.server->accounts(), options, "nonce", Address::tcp("10.1.2.3", 1),
                      Cloud::start(), type)
            .has_value();
    };
    CHECK(may_come_by(ConnectionType::kStandard));
    CHECK_FALSE(may_come_by(ConnectionType::kWebSocket));
}

TEST_CASE("a_user_comes_in_by_the_ways_that_it_may") {
    Cloud cloud;
    const auto may = [&](std::vector<std::string> types, ConnectionType type) {
        auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
        auth::UserClaims claims;
        claims.subject = key.public_key();
        claims.issuer_account = cloud.shop.public_key();
        claims.allowed_connection_types = std::move(types);
        ConnectOptions options;
        options.jwt = *auth::encode_user(claims, cloud.shop.signing_key, Cloud::start());
        const crypto::Signature signature = key.sign("nonce");
        options.signature = base64url_encode(signature);
        return log_in(cloud.server->accounts(), options, "nonce", Address::tcp("10.0.0.9", 1),
                      Cloud::start(), type)
            .has_value();
    };
    using enum ConnectionType;
    for (const ConnectionType type : {kStandard, kWebSocket, kInProcess}) CHECK(may({}, type));
    CHECK(may({"STANDARD"}, kStandard));
    CHECK(may({"standard"}, kInProcess));
    CHECK_FALSE(may({"STANDARD"}, kWebSocket));
    CHECK(may({"MQTT", "WEBSOCKET"}, kWebSocket));
    CHECK_FALSE(may({"WEBSOCKET"}, kStandard));
    CHECK(may({"IN_PROCESS"}, kInProcess));
    CHECK_FALSE(may({"IN_PROCESS"}, kStandard));
    CHECK_FALSE(may({"TELEPATHY"}, kStandard));
}

TEST_CASE("hours_of_the_day_in_a_zone") {
    const TimeZone berlin = *TimeZone::parse_rule("CET-1CEST,M3.5.0,M10.5.0/3");
    const auto at = [](int64_t hour, int64_t minute) {  // of UTC, on a day in July
        return WallTime(std::chrono::seconds(1784073600 + hour * 3600 + minute * 60));
    };
    const auto hour = [](int h) { return h * 3600; };
    const DayHours office({{hour(9), hour(12)}, {hour(13), hour(17)}}, berlin);
    CHECK_FALSE(office.good_until(at(6, 59)));
    CHECK(office.good_until(at(7, 1)) == at(10, 0));
    CHECK_FALSE(office.good_until(at(10, 30)));
    CHECK(office.good_until(at(14, 59)) == at(15, 0));
    CHECK_FALSE(office.good_until(at(15, 0)));
    const DayHours night({{hour(22), hour(6)}}, berlin);
    CHECK(night.good_until(at(20, 1)) == at(28, 0));
    CHECK(night.good_until(at(3, 0)) == at(4, 0));
    CHECK_FALSE(night.good_until(at(12, 0)));
    CHECK_FALSE(DayHours({{hour(9), hour(9)}}, berlin).good_until(at(7, 0)));
}

TEST_CASE("a_user_is_sent_away_when_its_hours_are_over") {
    Cloud cloud;
    const int64_t now = unix_seconds(cloud.loop->wall()) % 86400;
    auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
    auth::UserClaims claims;
    claims.subject = key.public_key();
    claims.issuer_account = cloud.shop.public_key();
    claims.times_zone = "UTC";
    const auto of_day = [](int64_t s) { return static_cast<int>((s + 86400) % 86400); };
    claims.times = {{of_day(now - 60), of_day(now + 90)}};
    std::string jwt = *auth::encode_user(claims, cloud.shop.signing_key, Cloud::start());
    auth::Credentials user{std::move(jwt), std::move(key)};
    RawClient& client = cloud.log_in(user);
    cloud.world.run_for(80s);
    CHECK_FALSE(client.is_ended);
    cloud.world.run_for(20s);
    CHECK(client.is_ended);
    CHECK(client.has("-ERR 'User Authentication Expired'"));
    RawClient& again = cloud.dial();
    again.send(cloud.connect_line(again, user));
    cloud.world.run_until([&] { return again.is_ended; }, 5s);
    CHECK(again.has("-ERR 'Authorization Violation'"));
}

TEST_CASE("a_user_that_expires_is_sent_away") {
    Cloud cloud;
    const int64_t soon = unix_seconds(cloud.loop->wall()) + 90;
    RawClient& client = cloud.log_in(cloud.mint(cloud.shop, {}, soon));
    cloud.world.run_for(80s);
    CHECK_FALSE(client.is_ended);
    cloud.world.run_for(20s);
    CHECK(client.is_ended);
    CHECK(client.has("-ERR 'User Authentication Expired'"));
}

TEST_CASE("revocation_ends_a_live_connection_and_no_other") {
    Cloud cloud;
    const auth::Credentials bad = cloud.mint(cloud.shop);
    RawClient& client = cloud.log_in(bad);
    RawClient& innocent = cloud.log_in();
    REQUIRE(auth::revoke_user(cloud.shop, bad.key.public_key(), cloud.operator_key,
                              Cloud::start() + 1s));
    REQUIRE(cloud.server->put_account(cloud.shop.jwt));
    cloud.world.run_for(100ms);
    CHECK(client.is_ended);
    CHECK(client.has("-ERR 'User Authentication Revoked'"));
    CHECK_FALSE(innocent.is_ended);
    RawClient& again = cloud.dial();
    CHECK(refusal(cloud, cloud.connect_line(again, bad)) == "-ERR 'Authorization Violation'\r\n");
}

TEST_CASE("a_removed_account_loses_its_connections") {
    Cloud cloud;
    RawClient& client = cloud.log_in();
    CHECK(cloud.server->remove_account(cloud.shop.public_key()));
    cloud.world.run_for(100ms);
    CHECK(client.has("-ERR 'Account Authentication Expired'"));
    CHECK_FALSE(cloud.server->remove_account(cloud.shop.public_key()));
}

TEST_CASE("an_account_admits_as_many_as_its_limit_says") {
    Cloud cloud;
    cloud.shop.claims.limits.connections = 1;
    REQUIRE(auth::resign_account(cloud.shop, cloud.operator_key, Cloud::start() + 1s));
    REQUIRE(cloud.server->put_account(cloud.shop.jwt));
    cloud.log_in();
    RawClient& second = cloud.dial();
    CHECK(refusal(cloud, cloud.connect_line(second, cloud.mint(cloud.shop))) ==
          "-ERR 'maximum account active connections exceeded'\r\n");
}

TEST_CASE("connections_beyond_the_servers_limit_are_told") {
    ServerOptions options;
    options.connections_max = 1;
    Cloud cloud(options);
    cloud.log_in();
    std::unique_ptr<ConnectAttempt> attempt =
        cloud.loop->connect(Address::tcp("10.0.0.1", 4222), [&](Result<StreamPtr> stream) {
            cloud.raw.push_back(std::make_unique<RawClient>(std::move(*stream)));
        });
    cloud.world.run_for(100ms);
    REQUIRE(cloud.raw.size() == 2);
    CHECK(cloud.raw.back()->is_ended);
    CHECK(cloud.raw.back()->text == "-ERR 'maximum connections exceeded'\r\n");
}

TEST_CASE("an_account_jwt_of_another_operator_or_an_older_one_is_refused") {
    Cloud cloud;
    const auth::Account stranger = *auth::make_account(
        auth::KeyPair::generate(auth::KeyKind::kOperator), "stranger", Cloud::start());
    CHECK(cloud.server->put_account(stranger.jwt).error().code() == Code::kDenied);
    const std::string old = cloud.shop.jwt;
    REQUIRE(auth::resign_account(cloud.shop, cloud.operator_key, Cloud::start() + 1s));
    REQUIRE(cloud.server->put_account(cloud.shop.jwt));
    CHECK(cloud.server->put_account(old).error().code() == Code::kConflict);
    CHECK_FALSE(cloud.server->put_account("nonsense"));
}
