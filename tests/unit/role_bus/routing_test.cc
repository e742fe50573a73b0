#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "cloud.h"

using namespace test;

TEST_CASE("messages_reach_literal_and_wildcard_subscriptions") {
    Cloud cloud;
    RawClient& client = cloud.log_in();
    CHECK(cloud
              .talk(client,
                    "SUB foo.bar 1\r\nSUB foo.* 2\r\nSUB foo.> 3\r\nSUB *.baz 4\r\n"
                    "PUB foo.bar 2\r\nhi\r\n")
              .size() == 3 * std::string_view("MSG foo.bar 1 2\r\nhi\r\n").size());
    CHECK(cloud.talk(client, "PUB x.baz 0\r\n\r\n") == "MSG x.baz 4 0\r\n\r\n");
    CHECK(cloud.talk(client, "PUB foo 0\r\n\r\nPUB foo..x 0\r\n\r\n").empty());
}

TEST_CASE("reply_and_headers_travel_along") {
    Cloud cloud;
    RawClient& client = cloud.log_in();
    CHECK(cloud.talk(client, "SUB a 1\r\nPUB a r 2\r\nok\r\n") == "MSG a 1 r 2\r\nok\r\n");
    CHECK(cloud.talk(client, "HPUB a r 12 14\r\nNATS/1.0\r\n\r\nok\r\n") ==
          "HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nok\r\n");
    RawClient& plain = cloud.log_in(cloud.mint(cloud.shop), "\"headers\":false");
    CHECK(cloud.talk(plain, "SUB a 9\r\n").empty());
    cloud.talk(client, "HPUB a r 12 14\r\nNATS/1.0\r\n\r\nok\r\n");
    cloud.world.run_for(10ms);
    CHECK(plain.take() == "MSG a 9 r 2\r\nok\r\n");
    CHECK(cloud.talk(plain, "HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n").empty());
    CHECK(plain.is_ended);
}

TEST_CASE("a_message_to_a_queue_reaches_one_member") {
    Cloud cloud;
    RawClient& one = cloud.log_in();
    RawClient& two = cloud.log_in();
    RawClient& publisher = cloud.log_in();
    cloud.talk(one, "SUB jobs.* workers 1\r\n");
    cloud.talk(two, "SUB jobs.> workers 2\r\nSUB jobs.x 3\r\n");
    size_t first = 0;
    for (int i = 0; i < 100; ++i) {
        cloud.talk(publisher, "PUB jobs.x 0\r\n\r\n");
        cloud.world.run_for(5ms);
        const std::string a = one.take();
        const std::string b = two.take();
        const bool is_first = !a.empty();
        if (is_first) ++first;
        CHECK((b.find("MSG jobs.x 2") != std::string::npos) != is_first);
        CHECK(b.find("MSG jobs.x 3") != std::string::npos);
    }
    CHECK(first > 20);
    CHECK(first < 80);
}

TEST_CASE("a_subscription_ends_after_its_number_of_messages") {
    Cloud cloud;
    RawClient& client = cloud.log_in();
    CHECK(cloud.talk(client,
                     "SUB a 1\r\nUNSUB 1 2\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\n") ==
          "MSG a 1 0\r\n\r\nMSG a 1 0\r\n\r\n");
    CHECK(cloud.talk(client, "SUB a 2\r\nPUB a 0\r\n\r\nUNSUB 2 1\r\nPUB a 0\r\n\r\n") ==
          "MSG a 2 0\r\n\r\n");
    CHECK(cloud.talk(client, "SUB a 3\r\nUNSUB 3\r\nUNSUB 77\r\nPUB a 0\r\n\r\n").empty());
}

TEST_CASE("a_sid_used_again_keeps_its_first_subscription") {
    Cloud cloud;
    RawClient& client = cloud.log_in();
    CHECK(cloud.talk(client, "SUB a 1\r\nSUB b 1\r\nPUB b 0\r\n\r\nPUB a 0\r\n\r\n") ==
          "MSG a 1 0\r\n\r\n");
}

TEST_CASE("without_echo_ones_own_messages_do_not_come_back") {
    Cloud cloud;
    RawClient& client = cloud.log_in(cloud.mint(cloud.shop),
                                     "\"echo\":false,\"headers\":true,\"no_responders\":true");
    CHECK(cloud.talk(client, "SUB r 1\r\nSUB a 2\r\nPUB a 0\r\n\r\n").empty());
    CHECK(cloud.talk(client, "PUB a r 0\r\n\r\n") == "HMSG r 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
}

TEST_CASE("a_request_that_nobody_hears_is_answered_at_once") {
    Cloud cloud;
    RawClient& client = cloud.log_in();
    CHECK(cloud.talk(client, "SUB inbox.* 1\r\nPUB nobody inbox.7 2\r\nhi\r\n") ==
          "HMSG inbox.7 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
    RawClient& old = cloud.log_in(cloud.mint(cloud.shop), "\"headers\":true");
    CHECK(cloud.talk(old, "SUB inbox.* 1\r\nPUB nobody inbox.7 2\r\nhi\r\n").empty());
    RawClient& wrong = cloud.dial();
    wrong.send(cloud.connect_line(wrong, cloud.mint(cloud.shop), "\"no_responders\":true"));
    cloud.world.run_for(100ms);
    CHECK(wrong.has("-ERR 'no responders requires headers support'"));
}

TEST_CASE("accounts_do_not_hear_each_other") {
    Cloud cloud;
    RawClient& shop = cloud.log_in();
    RawClient& other = cloud.log_in(cloud.mint(cloud.other));
    cloud.talk(other, "SUB > 1\r\n");
    cloud.talk(shop, "PUB secret 0\r\n\r\n");
    cloud.world.run_for(50ms);
    CHECK(other.take().empty());
}

TEST_CASE("permissions_are_enforced_both_ways") {
    Cloud cloud;
    auth::Permissions permissions;
    permissions.publish.allow = {"open.>"};
    permissions.publish.deny = {"open.closed"};
    permissions.subscribe.deny = {"secret.>"};
    RawClient& client = cloud.log_in(cloud.mint(cloud.shop, permissions));
    CHECK(cloud.talk(client, "PUB shut 0\r\n\r\nPUB open.closed 0\r\n\r\nPUB open.x 0\r\n\r\n") ==
          "-ERR 'Permissions Violation for Publish to \"shut\"'\r\n"
          "-ERR 'Permissions Violation for Publish to \"open.closed\"'\r\n");
    CHECK(cloud.talk(client, "SUB secret.a 1\r\nSUB secret.b q 2\r\n") ==
          "-ERR 'Permissions Violation for Subscription to \"secret.a\"'\r\n"
          "-ERR 'Permissions Violation for Subscription to \"secret.b\" using queue \"q\"'\r\n");
    CHECK(cloud.talk(client, "SUB > 3\r\n").empty());
    RawClient& free = cloud.log_in();
    cloud.talk(free, "PUB secret.a 0\r\n\r\nPUB plain 0\r\n\r\n");
    cloud.world.run_for(50ms);
    CHECK(client.take() == "MSG plain 3 0\r\n\r\n");
}

TEST_CASE("allow_responses_lets_a_service_answer_what_it_was_asked") {
    Cloud cloud;
    auth::Permissions permissions;
    permissions.response = auth::ResponsePermission{2, 10s};
    RawClient& service = cloud.log_in(cloud.mint(cloud.shop, permissions));
    RawClient& asker = cloud.log_in();
    CHECK(cloud.talk(service, "SUB ask 1\r\nPUB inbox.1 0\r\n\r\n") ==
          "-ERR 'Permissions Violation for Publish to \"inbox.1\"'\r\n");
    cloud.talk(asker, "SUB inbox.* 1\r\nPUB ask inbox.1 0\r\n\r\nPUB ask inbox.2 0\r\n\r\n");
    CHECK(cloud.talk(service, "").starts_with("MSG ask 1 inbox.1 0"));
    const std::string answer = "PUB inbox.1 0\r\n\r\n";
    CHECK(cloud.talk(service, answer + answer + answer) ==
          "-ERR 'Permissions Violation for Publish to \"inbox.1\"'\r\n");
    cloud.world.run_for(11s);
    CHECK_FALSE(cloud.talk(service, "PUB inbox.2 0\r\n\r\n").empty());
    CHECK(asker.take() == "MSG inbox.1 1 0\r\n\r\nMSG inbox.1 1 0\r\n\r\n");
}

TEST_CASE("verbose_and_pedantic_clients_are_told_more") {
    Cloud cloud;
    RawClient& client = cloud.log_in(cloud.mint(cloud.shop), "\"verbose\":true,\"pedantic\":true");
    CHECK(cloud.talk(client, "SUB a 1\r\nUNSUB 1\r\nPUB b 0\r\n\r\n") == "+OK\r\n+OK\r\n+OK\r\n");
    CHECK(cloud.talk(client, "PUB b.* 0\r\n\r\n") == "-ERR 'Invalid Publish Subject'\r\n+OK\r\n");
    CHECK(cloud.talk(client, "SUB b..c 2\r\n") == "-ERR 'Invalid Subject'\r\n");
}

TEST_CASE("protocol_mistakes_end_the_connection_with_their_error") {
    Cloud cloud;
    RawClient& client = cloud.log_in();
    SECTION("unknown operation") {
        CHECK(cloud.talk(client, "HELLO\r\n") == "-ERR 'Unknown Protocol Operation'\r\n");
    }
    SECTION("payload too large") {
        CHECK(cloud.talk(client, "PUB a 1048577\r\n") == "-ERR 'Maximum Payload Violation'\r\n");
    }
    SECTION("control line too long") {
        CHECK(cloud.talk(client, "PUB " + std::string(5000, 'a')) ==
              "-ERR 'maximum control line exceeded'\r\n");
    }
    SECTION("bad arguments") { CHECK(cloud.talk(client, "PUB a\r\n").empty()); }
    SECTION("no arguments") {
        CHECK(cloud.talk(client, "PUB\r\n") == "-ERR 'Unknown Protocol Operation'\r\n");
    }
    CHECK(client.is_ended);
}

TEST_CASE("a_user_has_its_own_limits") {
    Cloud cloud;
    auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
    auth::UserClaims claims;
    claims.subject = key.public_key();
    claims.issuer_account = cloud.shop.public_key();
    claims.limits.payload = 4;
    claims.limits.subscriptions = 1;
    std::string jwt = *auth::encode_user(claims, cloud.shop.signing_key, Cloud::start());
    RawClient& client = cloud.log_in(auth::Credentials{std::move(jwt), std::move(key)});
    CHECK(cloud.talk(client, "SUB a 1\r\nSUB b 2\r\n") ==
          "-ERR 'maximum subscriptions exceeded'\r\n");
    CHECK(cloud.talk(client, "PUB a 5\r\n") == "-ERR 'Maximum Payload Violation'\r\n");
}

TEST_CASE("a_silent_client_is_pinged_and_then_given_up") {
    ServerOptions options;
    options.ping_interval = 10s;
    Cloud cloud(options);
    RawClient& client = cloud.log_in();
    cloud.world.run_for(11s);
    CHECK(client.take() == "PING\r\n");
    client.send("PONG\r\n");
    cloud.world.run_for(20s);
    CHECK_FALSE(client.is_ended);
    cloud.world.run_for(20s);
    CHECK(client.is_ended);
    CHECK(client.has("-ERR 'Stale Connection'"));
}

TEST_CASE("whoever_asks_and_never_reads_the_answers_is_closed") {
    // PONG, +OK and -ERR count as messages do: each of these once grew without a limit.
    const auto [options, asked] = GENERATE(table<const char*, const char*>({
        {"\"headers\":true", "PING\r\n"},
        {"\"headers\":true", "SUB a..b 1\r\n"},
        {"\"verbose\":true", "PONG\r\nUNSUB 7\r\n"},
    }));
    ServerOptions limits;
    limits.pending_bytes_max = 256 * 1024;
    Cloud cloud(limits);
    RawClient& client = cloud.log_in(cloud.mint(cloud.shop), options);
    client.stream->pause();
    std::string flood;
    while (flood.size() < 4096) flood += asked;
    for (int i = 0; i < 1000 && cloud.server->counters().slow_consumers == 0; ++i) {
        client.send(flood);
        cloud.world.run_for(2ms);
    }
    CHECK(cloud.server->counters().slow_consumers == 1);
    cloud.world.run_for(2s);
    CHECK(cloud.server->connection_count() == 0);
}

TEST_CASE("a_reader_that_takes_nothing_is_closed_and_slows_nobody") {
    ServerOptions options;
    options.pending_bytes_max = 1024 * 1024;
    Cloud cloud(options);
    RawClient& slow = cloud.log_in();
    RawClient& good = cloud.log_in();
    cloud.talk(slow, "SUB flood 1\r\n");
    cloud.talk(good, "SUB flood 1\r\n");
    slow.stream->pause();
    RawClient& publisher = cloud.log_in();
    const std::string message = "PUB flood 65536\r\n" + std::string(65536, 'x') + "\r\n";
    for (int i = 0; i < 40; ++i) cloud.talk(publisher, message);
    cloud.world.run_for(100ms);
    CHECK(cloud.server->counters().slow_consumers == 1);
    CHECK(good.take().size() > 40 * 65536);
    CHECK_FALSE(publisher.is_ended);
    slow.stream->resume();
    cloud.world.run_for(100ms);
    CHECK(slow.is_ended);
}

TEST_CASE("a_reader_that_had_nothing_to_take_for_long_is_not_late_at_once") {
    Cloud cloud;
    RawClient& reader = cloud.log_in();
    RawClient& publisher = cloud.log_in();
    cloud.talk(reader, "SUB big 1\r\n");
    cloud.world.run_for(60s);
    reader.stream->pause();
    const std::string message = "PUB big 1000000\r\n" + std::string(1'000'000, 'x') + "\r\n";
    for (int i = 0; i < 4; ++i) cloud.talk(publisher, message);
    cloud.world.run_for(5s);
    CHECK(cloud.server->counters().slow_consumers == 0);
    cloud.world.run_for(10s);
    CHECK(cloud.server->counters().slow_consumers == 1);
}
