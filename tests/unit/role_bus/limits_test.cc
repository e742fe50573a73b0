// Limits that concern a user or an account as a whole, and how a bus that stops sends its clients
// away.

#include <catch2/catch_test_macros.hpp>

#include "loops_cloud.h"

using namespace test;

namespace {

// A subscriber of "flood" that stops reading.
RawClient& add_stalled(Cloud& cloud, const auth::Account& account) {
    RawClient& client = cloud.log_in(cloud.mint(account));
    cloud.talk(client, "SUB flood 1\r\n");
    client.stream->pause();
    return client;
}

std::string message(std::string_view subject, size_t bytes) {
    return fmt::format("PUB {} {}\r\n{}\r\n", subject, bytes, std::string(bytes, 'x'));
}

auth::Credentials mint_with_tags(Cloud& cloud, std::vector<std::string> tags) {
    auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
    auth::UserRequest request;
    request.public_key = key.public_key();
    request.name = "limited";
    request.tags = std::move(tags);
    std::string jwt = *auth::mint_user(cloud.shop, request, Cloud::start());
    return auth::Credentials{std::move(jwt), std::move(key)};
}

}  // namespace

TEST_CASE("an_account_over_its_budget_loses_those_furthest_behind_and_nobody_else") {
    ServerOptions options;
    options.account_pending_bytes_max = 4 * 1024 * 1024;
    Cloud cloud(options);
    RawClient& far_behind = add_stalled(cloud, cloud.shop);
    RawClient& publisher = cloud.log_in(cloud.mint(cloud.shop));
    for (int i = 0; i < 6; ++i) cloud.talk(publisher, message("flood", 500'000));
    // Three megabytes wait for the first; the other two have missed those.
    RawClient& behind = add_stalled(cloud, cloud.shop);
    RawClient& reading = cloud.log_in(cloud.mint(cloud.shop));
    cloud.talk(reading, "SUB flood 1\r\n");
    RawClient& stranger = add_stalled(cloud, cloud.other);
    RawClient& other = cloud.log_in(cloud.mint(cloud.other));
    for (int i = 0; i < 6; ++i) cloud.talk(other, message("flood", 500'000));
    CHECK(cloud.server->counters().slow_consumers == 0);
    cloud.talk(publisher, message("flood", 500'000));
    cloud.talk(publisher, message("flood", 500'000));
    CHECK(cloud.server->counters().slow_consumers == 1);
    const std::deque<ConnectionReport>& closed = cloud.server->events().closed();
    REQUIRE(closed.size() == 1);
    CHECK(closed[0].account == cloud.shop.public_key());
    CHECK(closed[0].reason == "Slow Consumer (Pending Bytes)");
    CHECK(closed[0].subscription_count == 1);
    CHECK(closed[0].pending_bytes > 3'000'000);
    cloud.talk(reading, "");
    for (RawClient* client : {&far_behind, &behind, &stranger}) client->stream->resume();
    cloud.world.run_for(1s);
    CHECK(far_behind.is_ended);
    CHECK_FALSE(behind.is_ended);
    CHECK_FALSE(reading.is_ended);
    CHECK_FALSE(stranger.is_ended);
    CHECK(stranger.text.size() > 3'000'000);
}

TEST_CASE("a_budget_is_given_back_by_those_who_catch_up_or_leave") {
    ServerOptions options;
    options.account_pending_bytes_max = 4 * 1024 * 1024;
    Cloud cloud(options);
    RawClient& publisher = cloud.log_in();
    const Account& account = *cloud.server->accounts().find(cloud.shop.public_key());
    for (int round = 0; round < 5; ++round) {
        RawClient& stalled = add_stalled(cloud, cloud.shop);
        for (int i = 0; i < 6; ++i) cloud.talk(publisher, message("flood", 500'000));
        CHECK(account.totals->budget.pending_bytes > 2'000'000);
        if (round % 2 == 0) {
            stalled.stream->resume();
            cloud.world.run_for(1s);
            cloud.talk(stalled, "UNSUB 1\r\n");
        } else {
            stalled.stream.reset();
            cloud.world.run_for(1s);
        }
        CHECK(account.totals->budget.pending_bytes == 0);
        CHECK(account.totals->budget.backlogged == 0);
    }
    CHECK(cloud.server->counters().slow_consumers == 0);
}

TEST_CASE("tags_say_how_much_may_be_published") {
    const PublishRate base{7, 9};
    CHECK(*read_publish_rate({}, base) == base);
    CHECK(*read_publish_rate({"team:a", "candela:publish_rate=100"}, base) == PublishRate{100, 9});
    CHECK(*read_publish_rate({"Candela:Publish_Bytes=2MiB"}, base) == PublishRate{7, 2097152});
    CHECK(*read_publish_rate({"candela:publish_bytes=2mib"}, base) == PublishRate{7, 2097152});
    CHECK(*read_publish_rate({"candela:publish_rate=0"}, base) == PublishRate{0, 9});
    CHECK_FALSE(read_publish_rate({"candela:publish_rate=many"}, base));
    CHECK_FALSE(read_publish_rate({"candela:publish_rate=-1"}, base));
    CHECK_FALSE(read_publish_rate({"candela:publish_rate=9999999999"}, base));
    CHECK_FALSE(read_publish_rate({"candela:publish_bytes="}, base));
}

TEST_CASE("a_budget_allows_a_burst_and_then_the_rate") {
    PublishBudget budget(PublishRate{100, 0});
    MonoTime now{Duration(1h)};
    int at_once = 0;
    while (budget.spend(10, now) == Duration(0)) ++at_once;
    CHECK(at_once >= 99);
    CHECK(at_once <= 101);
    CHECK(budget.spend(10, now) > 9ms);
    now += 10s;  // what was not used does not add up
    at_once = 0;
    while (budget.spend(10, now) == Duration(0)) ++at_once;
    CHECK(at_once <= 101);
    PublishBudget bytes(PublishRate{0, 1000});
    CHECK(bytes.spend(900, now) == Duration(0));
    CHECK(bytes.spend(3100, now) > 2900ms);
}

TEST_CASE("a_user_beyond_its_rate_is_read_later_and_loses_nothing") {
    Cloud cloud;
    RawClient& fast = cloud.log_in();
    RawClient& reader = cloud.log_in();
    cloud.talk(reader, "SUB limited 1\r\nSUB free 2\r\n");
    const auth::Credentials user = mint_with_tags(cloud, {"candela:publish_rate=100"});
    RawClient& limited = cloud.log_in(user);
    RawClient& twin = cloud.log_in(user);  // shares the budget
    std::string text;
    for (int i = 0; i < 500; ++i) text += "PUB limited 1\r\n.\r\n";
    limited.send(text + "PING\r\n");
    twin.send(text + "PING\r\n");
    const auto received = [&] {
        size_t count = 0;
        for (size_t at = 0; (at = reader.text.find("MSG limited", at)) != std::string::npos; ++at)
            ++count;
        return count;
    };
    cloud.world.run_for(5s);
    // A second's worth at once, then 100 a second; a piece that was read already adds a little.
    CHECK(received() >= 590);
    CHECK(received() <= 900);
    CHECK_FALSE(limited.has("PONG"));
    cloud.talk(fast, "PUB free 1\r\n!\r\n");
    cloud.world.run_for(10ms);
    CHECK(reader.has("MSG free"));
    REQUIRE(cloud.world.run_until([&] { return limited.has("PONG") && twin.has("PONG"); }, 20s));
    cloud.world.run_for(10ms);
    CHECK(received() == 1000);
}

TEST_CASE("an_account_and_the_profile_may_limit_its_users") {
    ServerOptions options;
    options.publish_rate.messages = 50;
    Cloud cloud(options);
    const auto takes_long = [&](const auth::Credentials& user) {
        RawClient& client = cloud.log_in(user);
        std::string text;
        for (int i = 0; i < 400; ++i) text += "PUB a 1\r\n.\r\n";
        client.send(text + "PING\r\n");
        cloud.world.run_for(1s);
        return !client.has("PONG");
    };
    CHECK(takes_long(cloud.mint(cloud.shop)));
    CHECK_FALSE(takes_long(mint_with_tags(cloud, {"candela:publish_rate=0"})));
    CHECK_FALSE(takes_long(cloud.mint(cloud.system)));
    cloud.shop.claims.tags = {"candela:publish_rate=100000"};
    REQUIRE(auth::resign_account(cloud.shop, cloud.operator_key, Cloud::start() + 1s));
    REQUIRE(cloud.server->put_account(cloud.shop.jwt));
    CHECK_FALSE(takes_long(cloud.mint(cloud.shop)));
    // What is not understood is no permission.
    RawClient& client = cloud.dial();
    client.send(cloud.connect_line(client, mint_with_tags(cloud, {"candela:publish_rate=much"})));
    cloud.world.run_until([&] { return client.is_ended; }, 5s);
    CHECK(client.has("-ERR 'Authorization Violation'"));
}

TEST_CASE("a_limited_user_that_is_not_read_is_not_taken_for_dead") {
    ServerOptions options;
    options.ping_interval = 1s;
    Cloud cloud(options);
    RawClient& limited = cloud.log_in(mint_with_tags(cloud, {"candela:publish_rate=10"}));
    std::string text;
    for (int i = 0; i < 200; ++i) text += "PUB a 1\r\n.\r\n";
    limited.send(text);
    cloud.world.run_for(12s);
    CHECK_FALSE(limited.is_ended);
    CHECK_FALSE(limited.has("Stale"));
}

TEST_CASE("a_bus_that_stops_sends_its_clients_away_a_few_at_a_time") {
    Cloud cloud;
    std::vector<RawClient*> clients;
    for (int i = 0; i < 100; ++i) {
        clients.push_back(&cloud.log_in(cloud.mint(cloud.shop),
                                        "\"headers\":true,\"no_responders\":true,\"protocol\":1"));
    }
    const auto left = [&] {
        return std::count_if(clients.begin(), clients.end(),
                             [](const RawClient* client) { return !client->is_ended; });
    };
    const MonoTime began = cloud.loop->now();
    cloud.server->announce_end(began + 10s);
    cloud.world.run_for(100ms);
    for (const RawClient* client : clients) CHECK(client->has("\"ldm\":true"));
    CHECK(left() == 100);
    CHECK_FALSE(cloud.server->is_flushed());
    cloud.world.run_for(300ms);
    CHECK(left() > 50);
    CHECK(left() < 100);
    REQUIRE(cloud.world.run_until([&] { return cloud.server->is_flushed(); }, 5s));
    cloud.world.run_for(10ms);
    CHECK(left() == 0);
    for (const RawClient* client : clients) CHECK_FALSE(client->has("-ERR"));
    CHECK(cloud.loop->now() - began < 2s);
}

TEST_CASE("clients_with_something_to_take_are_sent_away_last_and_before_the_deadline") {
    Cloud cloud;
    RawClient& stalled = add_stalled(cloud, cloud.shop);
    RawClient& publisher = cloud.log_in();
    cloud.talk(publisher, message("flood", 500'000));
    const MonoTime began = cloud.loop->now();
    cloud.server->announce_end(began + 4s);
    cloud.world.run_for(2s);  // with the moment that it is given to close
    CHECK(publisher.is_ended);
    CHECK(cloud.server->connection_count() == 1);
    cloud.world.run_for(1900ms);
    stalled.stream->resume();
    cloud.world.run_for(500ms);
    CHECK(stalled.is_ended);
    CHECK(stalled.text.size() > 500'000);
}

TEST_CASE("an_accounts_budget_is_one_over_all_loops") {
    ServerOptions options;
    options.account_pending_bytes_max = 4 * 1024 * 1024;
    LoopsCloud cloud(2, options);
    RawClient& far_behind = cloud.log_in(0);
    cloud.talk(far_behind, "SUB one 1\r\nSUB two 2\r\n");
    RawClient& behind = cloud.log_in(1);
    cloud.talk(behind, "SUB two 1\r\n");
    far_behind.stream->pause();
    behind.stream->pause();
    RawClient& publisher = cloud.log_in(1);
    for (int i = 0; i < 5; ++i) cloud.talk(publisher, message("one", 500'000));
    const auto slow = [&](size_t loop) {
        return uint64_t{cloud.servers[loop]->counters().slow_consumers};
    };
    CHECK(slow(0) + slow(1) == 0);
    // Each has less than the budget; together they have more.
    for (int i = 0; i < 2; ++i) cloud.talk(publisher, message("two", 500'000));
    cloud.world.run_for(50ms);
    CHECK(slow(0) == 1);
    CHECK(slow(1) == 0);
    behind.stream->resume();
    cloud.world.run_for(1s);
    CHECK_FALSE(behind.is_ended);
    CHECK(behind.text.size() > 1'000'000);
}

TEST_CASE("a_users_rate_is_one_over_all_loops") {
    LoopsCloud cloud(2);
    RawClient& reader = cloud.log_in(0);
    cloud.talk(reader, "SUB limited 1\r\n");
    auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
    auth::UserRequest request;
    request.public_key = key.public_key();
    request.tags = {"candela:publish_rate=100"};
    std::string jwt = *auth::mint_user(cloud.shop, request, Cloud::start());
    const auth::Credentials user{std::move(jwt), std::move(key)};
    RawClient& one = cloud.log_in(0, user);
    RawClient& two = cloud.log_in(1, user);
    std::string text;
    for (int i = 0; i < 500; ++i) text += "PUB limited 1\r\n.\r\n";
    one.send(text);
    two.send(text);
    cloud.world.run_for(5s);
    size_t received = 0;
    for (size_t at = 0; (at = reader.text.find("MSG limited", at)) != std::string::npos; ++at)
        ++received;
    CHECK(received >= 590);
    CHECK(received <= 900);
}
