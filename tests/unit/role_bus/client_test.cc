// The client of src/bus against the server: what a role of candela goes through.

#include <catch2/catch_test_macros.hpp>

#include "cloud.h"

using namespace test;

TEST_CASE("a_client_subscribes_publishes_and_unsubscribes") {
    Cloud cloud;
    bus::Client& client = cloud.connect();
    std::vector<std::string> seen;
    auto subscription = client.subscribe("a.*", [&](const bus::MessageView& message) {
        seen.push_back(std::string(message.subject) + "=" + std::string(message.payload));
    });
    REQUIRE(subscription);
    REQUIRE(client.publish("a.b", "1"));
    REQUIRE(cloud.run(client.flush(1s)));
    CHECK(seen == std::vector<std::string>{"a.b=1"});
    subscription->unsubscribe();
    REQUIRE(client.publish("a.b", "2"));
    REQUIRE(cloud.run(client.flush(1s)));
    CHECK(seen.size() == 1);
}

TEST_CASE("requests_are_answered_by_a_service_and_refused_where_there_is_none") {
    Cloud cloud;
    bus::Client& service = cloud.connect();
    bus::Client& asker = cloud.connect();
    auto subscription = service.subscribe("double", [&](const bus::MessageView& message) {
        const std::string answer = std::string(message.payload) + std::string(message.payload);
        CHECK(service.publish(message.reply, answer));
    });
    REQUIRE(cloud.run(service.flush(1s)));
    const auto answer = cloud.run(asker.request("double", "ab", 1s));
    REQUIRE(answer);
    CHECK(answer->payload == "abab");
    CHECK(cloud.run(asker.request("nobody", "", 1s)).error().code() == Code::kUnreachable);
    auto silent = service.subscribe("silent", [](const bus::MessageView&) {});
    REQUIRE(cloud.run(service.flush(1s)));
    CHECK(cloud.run(asker.request("silent", "", 1s)).error().code() == Code::kTimeout);
}

TEST_CASE("a_client_comes_back_and_subscribes_anew_after_the_server_was_gone") {
    Cloud cloud;
    const auth::Credentials creds = cloud.mint(cloud.shop);
    bus::Client& client = cloud.connect(creds);
    int seen = 0;
    std::vector<bus::ClientState> states;
    client.on_state([&](bus::ClientState state) { states.push_back(state); });
    auto subscription = client.subscribe("a", [&](const bus::MessageView&) { ++seen; });
    auto limited = client.subscribe("a", [&](const bus::MessageView&) { seen += 100; });
    limited->unsubscribe_after(2);
    REQUIRE(client.publish("a", ""));
    REQUIRE(cloud.run(client.flush(1s)));
    CHECK(seen == 101);
    cloud.api.reset();
    auto options = cloud.server->options();
    cloud.server.reset();
    cloud.world.run_for(5s);
    CHECK_FALSE(client.is_connected());
    CHECK_FALSE(client.last_error().empty());
    REQUIRE(client.publish("a", "kept"));  // waits for the bus
    auth::OperatorClaims claims;
    claims.subject = cloud.operator_key.public_key();
    cloud.server = std::make_unique<Server>(*cloud.loop, options, Accounts(claims), Logger());
    REQUIRE(cloud.server->put_account(cloud.shop.jwt));
    REQUIRE(cloud.server->listen(Address::tcp("10.0.0.1", 4222)));
    CHECK(cloud.world.run_until([&] { return client.is_connected(); }, 10s));
    REQUIRE(client.publish("a", ""));
    REQUIRE(cloud.run(client.flush(1s)));
    CHECK(seen == 203);
    CHECK(states == std::vector{bus::ClientState::kConnecting, bus::ClientState::kConnected});
}

TEST_CASE("what_waits_for_the_bus_is_bounded") {
    Cloud cloud;
    bus::ClientOptions options;
    options.servers.push_back(Address::tcp("10.9.9.9", 1));
    options.pending_bytes_max = 1000;
    bus::Client client(*cloud.loop, options, Logger());
    REQUIRE(client.publish("a", std::string(500, 'x')));
    CHECK(client.publish("a", std::string(500, 'x')).error().code() == Code::kExhausted);
    CHECK(client.publish("a.*", "").error().code() == Code::kInvalid);
    CHECK(client.publish("", "").error().code() == Code::kInvalid);
    CHECK(client.publish("a b", "").error().code() == Code::kInvalid);
    CHECK(client.publish("a", std::string(2 << 20, 'x')).error().code() == Code::kInvalid);
    CHECK_FALSE(client.subscribe("a..b", [](const bus::MessageView&) {}));
}

TEST_CASE("a_refused_client_goes_on_trying_and_says_why") {
    Cloud cloud;
    const auth::Credentials creds = cloud.mint(*auth::make_account(
        auth::KeyPair::generate(auth::KeyKind::kOperator), "x", Cloud::start()));
    bus::Client& client = cloud.connect(creds);
    CHECK_FALSE(client.is_connected());
    CHECK(client.last_error().find("Authorization Violation") != std::string::npos);
    const uint64_t before = cloud.server->counters().logins_refused;
    cloud.world.run_for(30s);
    CHECK(cloud.server->counters().logins_refused > before + 2);
    CHECK(cloud.server->counters().logins_refused < before + 60);
}

TEST_CASE("a_client_that_ends_cancels_what_waits_for_it") {
    Cloud cloud;
    bus::Client& client = cloud.connect();
    auto silent = client.subscribe("silent", [](const bus::MessageView&) {});
    auto task = client.request("silent", "", 1h);
    bool done = false;
    task.start([](void* flag) { *static_cast<bool*>(flag) = true; }, &done);
    cloud.world.run_for(10ms);
    CHECK_FALSE(done);
    cloud.clients.clear();
    CHECK(done);
    CHECK(task.take().error().code() == Code::kCancelled);
    CHECK_FALSE(silent->is_active());
}

TEST_CASE("a_client_may_be_destroyed_in_its_own_handler") {
    Cloud cloud;
    bus::Client& client = cloud.connect();
    auto subscription =
        client.subscribe("a", [&](const bus::MessageView&) { cloud.clients.clear(); });
    REQUIRE(client.publish("a", ""));
    REQUIRE(client.publish("a", ""));
    cloud.world.run_for(100ms);
    CHECK(cloud.clients.empty());
}

TEST_CASE("draining_handles_what_is_on_its_way_and_closes") {
    Cloud cloud;
    bus::Client& client = cloud.connect();
    bus::Client& publisher = cloud.connect();
    int seen = 0;
    auto subscription = client.subscribe("a", [&](const bus::MessageView&) { ++seen; });
    REQUIRE(cloud.run(client.flush(1s)));
    for (int i = 0; i < 10; ++i) REQUIRE(publisher.publish("a", ""));
    REQUIRE(cloud.run(publisher.flush(1s)));
    REQUIRE(cloud.run(client.drain(1s)));
    CHECK(seen == 10);
    CHECK(client.state() == bus::ClientState::kClosed);
    CHECK(client.publish("a", "").error().code() == Code::kCancelled);
}

TEST_CASE("a_dead_server_is_noticed_by_its_silence") {
    Cloud cloud;
    SimLoop& elsewhere = cloud.world.add_loop("elsewhere");
    bus::ClientOptions options;
    options.servers.push_back(Address::tcp("10.0.0.1", 4222));
    const auth::Credentials creds = cloud.mint(cloud.shop);
    options.credentials = [&]() -> Result<auth::Credentials> {
        return auth::Credentials{creds.jwt, creds.key.clone()};
    };
    bus::Client client(elsewhere, options, Logger());
    REQUIRE(cloud.world.run_until([&] { return client.is_connected(); }, 1s));
    cloud.world.cut(elsewhere, *cloud.loop);
    cloud.world.run_for(90s);
    CHECK_FALSE(client.is_connected());
    cloud.world.join(elsewhere, *cloud.loop);
    CHECK(cloud.world.run_until([&] { return client.is_connected(); }, 30s));
}
