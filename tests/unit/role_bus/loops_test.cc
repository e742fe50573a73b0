// A bus of several loops behaves as one of a single loop does.

#include <catch2/catch_test_macros.hpp>

#include <nlohmann/json.hpp>

#include "auth/sharing.h"
#include "loops_cloud.h"

using namespace test;

namespace {

size_t count(std::string_view text, std::string_view part) {
    size_t out = 0;
    for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
        ++out;
    return out;
}

}  // namespace

TEST_CASE("messages_reach_subscriptions_of_every_loop_once") {
    LoopsCloud cloud;
    RawClient& a = cloud.log_in(0);
    RawClient& b = cloud.log_in(1);
    RawClient& c = cloud.log_in(2);
    cloud.talk(a, "SUB foo.* 1\r\n");
    cloud.talk(b, "SUB foo.bar 2\r\nSUB foo.> 3\r\n");
    cloud.talk(c, "SUB other 4\r\n");
    cloud.talk(b, "PUB foo.bar r 2\r\nhi\r\n");
    cloud.talk(c, "HPUB foo.bar 12 14\r\nNATS/1.0\r\n\r\nho\r\n");
    CHECK(cloud.talk(a, "") ==
          "MSG foo.bar 1 r 2\r\nhi\r\nHMSG foo.bar 1 12 14\r\nNATS/1.0\r\n\r\nho\r\n");
    CHECK(count(cloud.talk(b, ""), "HMSG foo.bar") == 2);
    CHECK(cloud.talk(c, "").empty());
    CHECK(cloud.servers[2]->counters().messages_out == 0);
}

TEST_CASE("after_a_flush_every_loop_knows_the_subscription_and_has_delivered_the_message") {
    LoopsCloud cloud(3, {}, 7);
    cloud.world.set_post_latency_max(20ms);
    RawClient& a = cloud.log_in(0);
    RawClient& b = cloud.log_in(1);
    for (int i = 0; i < 50; ++i) {
        cloud.talk(a, fmt::format("SUB s.{} {}\r\n", i, i + 1));
        cloud.talk(b, fmt::format("PUB s.{} 0\r\n\r\n", i));
        CHECK(cloud.talk(a, "") == fmt::format("MSG s.{} {} 0\r\n\r\n", i, i + 1));
    }
    // Where nothing waits to be known, the answer comes at once.
    const MonoTime before = cloud.world.now();
    cloud.talk(a, "");
    CHECK(cloud.world.now() - before < 5ms);
}

TEST_CASE("a_request_is_answered_across_loops_though_its_inbox_is_new") {
    LoopsCloud cloud(3, {}, 11);
    cloud.world.set_post_latency_max(5ms);
    RawClient& asker = cloud.log_in(0);
    RawClient& middle = cloud.log_in(1);
    RawClient& last = cloud.log_in(2);
    cloud.talk(middle, "SUB ask 1\r\n");
    cloud.talk(last, "SUB again 1\r\n");
    for (int i = 0; i < 20; ++i) {
        // The one asked sends it on to a third, who answers to the first.
        asker.send(fmt::format("SUB inbox.{0} {1}\r\nPUB ask inbox.{0} 1\r\n?\r\n", i, i + 1));
        REQUIRE(cloud.wait_for(middle, "\r\n?\r\n"));
        middle.take();
        middle.send(fmt::format("PUB again inbox.{} 1\r\n?\r\n", i));
        REQUIRE(cloud.wait_for(last, "\r\n?\r\n"));
        last.take();
        last.send(fmt::format("PUB inbox.{} 1\r\n!\r\n", i));
        REQUIRE(cloud.wait_for(asker, "\r\n!\r\n"));
        CHECK(asker.take() == fmt::format("MSG inbox.{} {} 1\r\n!\r\n", i, i + 1));
    }
}

TEST_CASE("a_queue_group_is_one_over_all_loops_and_its_members_equal") {
    LoopsCloud cloud(3);
    RawClient& a = cloud.log_in(0);
    RawClient& b = cloud.log_in(1);
    RawClient& c = cloud.log_in(2);
    cloud.talk(a, "SUB jobs.* q 1\r\n");
    cloud.talk(b, "SUB jobs.> q 2\r\nSUB jobs.x q 3\r\nSUB jobs.x q 4\r\n");
    std::string all;
    for (int i = 0; i < 400; ++i) all += "PUB jobs.x 0\r\n\r\n";
    cloud.talk(c, all);
    const std::string to_a = cloud.talk(a, "");
    const std::string to_b = cloud.talk(b, "");
    CHECK(count(to_a, "MSG") + count(to_b, "MSG") == 400);
    for (const auto& [text, sid] : {std::pair(&to_a, 1), {&to_b, 2}, {&to_b, 3}, {&to_b, 4}}) {
        const size_t got = count(*text, fmt::format("jobs.x {} ", sid));
        CHECK(got > 60);
        CHECK(got < 140);
    }
    // A member beside the publisher is one of five.
    cloud.talk(c, "SUB jobs.x q 5\r\n");
    const size_t near = count(cloud.talk(c, all), "jobs.x 5 ");
    CHECK(near > 40);
    CHECK(near < 130);
}

TEST_CASE("a_member_that_leaves_loses_no_message_of_its_group") {
    LoopsCloud cloud(3, {}, 3);
    cloud.world.set_post_latency_max(10ms);
    RawClient& stays = cloud.log_in(0);
    RawClient& leaves = cloud.log_in(1);
    RawClient& publisher = cloud.log_in(2);
    cloud.talk(stays, "SUB jobs q 1\r\n");
    size_t sent = 0;
    size_t got = 0;
    for (int round = 0; round < 30; ++round) {
        cloud.talk(leaves, "SUB jobs q 7\r\n");
        leaves.send("UNSUB 7\r\n");
        for (int i = 0; i < 10; ++i) {
            publisher.send("PUB jobs 0\r\n\r\n");
            ++sent;
            cloud.world.run_for(1ms);
        }
        cloud.talk(publisher, "");
        cloud.world.run_for(100ms);  // what is sent on once more is behind no flush
        got += count(cloud.talk(leaves, ""), "MSG");
        got += count(cloud.talk(stays, ""), "MSG");
    }
    CHECK(got == sent);
}

TEST_CASE("a_request_that_no_loop_hears_is_answered_at_once") {
    LoopsCloud cloud(3, {}, 5);
    RawClient& asker = cloud.log_in(0);
    RawClient& service = cloud.log_in(1);
    const std::string nobody = "HMSG inbox.1 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n";
    CHECK(cloud.talk(asker, "SUB inbox.* 1\r\nPUB ask inbox.1 0\r\n\r\n") == nobody);
    for (const char* subscription : {"SUB ask 1\r\n", "SUB ask q 1\r\n"}) {
        cloud.talk(service, subscription);
        CHECK(cloud.talk(asker, "PUB ask inbox.1 0\r\n\r\n").empty());
        CHECK(count(cloud.talk(service, ""), "MSG ask") == 1);
        // It has left, but the asker's loop has not heard that yet.
        cloud.world.set_post_latency_max(50ms);
        service.send("UNSUB 1\r\n");
        cloud.world.run_for(2ms);
        asker.send("PUB ask inbox.1 0\r\n\r\n");
        CHECK(cloud.wait_for(asker, nobody));
        cloud.world.set_post_latency_max(Duration(0));
        cloud.talk(service, "");
        asker.take();
        CHECK(cloud.talk(asker, "PUB ask inbox.1 0\r\n\r\n") == nobody);
    }
}

TEST_CASE("a_subscription_ends_after_its_number_of_messages_from_all_loops") {
    LoopsCloud cloud;
    RawClient& a = cloud.log_in(0);
    RawClient& b = cloud.log_in(1);
    cloud.talk(a, "SUB x 1\r\nUNSUB 1 3\r\n");
    cloud.talk(b, "PUB x 0\r\n\r\nPUB x 0\r\n\r\nPUB x 0\r\n\r\nPUB x 0\r\n\r\n");
    CHECK(count(cloud.talk(a, "PUB x 0\r\n\r\n"), "MSG") == 3);
}

TEST_CASE("accounts_are_apart_on_every_loop") {
    LoopsCloud cloud;
    RawClient& shop = cloud.log_in(0);
    RawClient& other = cloud.log_in(1, cloud.mint(cloud.other));
    other.take();
    cloud.talk(other, "SUB > 1\r\n");
    cloud.talk(shop, "PUB secret 0\r\n\r\n");
    CHECK(cloud.talk(other, "").empty());
}

TEST_CASE("services_answer_clients_of_every_loop") {
    LoopsCloud cloud;
    for (size_t loop = 0; loop < 3; ++loop) {
        const auth::Credentials me = cloud.mint(cloud.system);
        RawClient& client = cloud.log_in(loop, me);
        client.take();
        cloud.talk(client, "SUB inbox.* 1\r\n");
        client.send("PUB $SYS.REQ.CLAIMS.LIST inbox.1 0\r\n\r\n");
        CHECK(cloud.wait_for(client, cloud.shop.public_key()));
        client.take();
        client.send("PUB $SYS.REQ.USER.INFO inbox.2 0\r\n\r\n");
        CHECK(cloud.wait_for(client, me.key.public_key()));
    }
}

TEST_CASE("what_is_changed_in_an_account_holds_on_every_loop") {
    LoopsCloud cloud;
    const auth::Account fresh = *auth::make_account(cloud.operator_key, "fresh", Cloud::start());
    RawClient& sys = cloud.log_in(1, cloud.mint(cloud.system));
    sys.take();
    cloud.talk(sys, "SUB inbox.* 1\r\n");
    sys.send(fmt::format("PUB $SYS.REQ.CLAIMS.UPDATE inbox.1 {}\r\n{}\r\n", fresh.jwt.size(),
                         fresh.jwt));
    REQUIRE(cloud.wait_for(sys, "\"code\":200"));
    std::vector<RawClient*> users;
    std::vector<std::string> keys;
    for (size_t loop = 0; loop < 3; ++loop) {
        const auth::Credentials me = cloud.mint(fresh);
        keys.push_back(me.key.public_key());
        users.push_back(&cloud.log_in(loop, me));
        CHECK(users.back()->has("PONG"));
    }
    SECTION("revoked users are sent away") {
        const Result<auth::AccountClaims> known = auth::decode_account(fresh.jwt);
        auth::AccountClaims claims = *known;
        claims.revocations[keys[2]] = unix_seconds(Cloud::start()) + 1;
        const std::string jwt =
            *auth::encode_account(claims, cloud.operator_key, Cloud::start() + 1s);
        REQUIRE(cloud.servers[0]->put_account(jwt));
        cloud.world.run_for(2s);
        CHECK(users[2]->has("User Authentication Revoked"));
        CHECK_FALSE(users[1]->is_ended);
    }
    SECTION("it is removed, and comes again") {
        REQUIRE(cloud.servers[0]->remove_account(fresh.public_key()));
        cloud.world.run_for(2s);
        for (const RawClient* user : users) CHECK(user->is_ended);
        REQUIRE(cloud.servers[0]->put_account(fresh.jwt));
        cloud.world.run_for(10ms);
        RawClient& a = cloud.log_in(1, cloud.mint(fresh));
        RawClient& b = cloud.log_in(2, cloud.mint(fresh));
        a.take();
        cloud.talk(a, "SUB x 1\r\n");
        cloud.talk(b, "PUB x 0\r\n\r\n");
        CHECK(cloud.talk(a, "") == "MSG x 1 0\r\n\r\n");
    }
}

TEST_CASE("interest_that_comes_before_the_account_is_kept_for_it") {
    LoopsCloud cloud(3, {}, 9);
    // The control loop's word takes long to reach the last loop.
    const auth::Account fresh = *auth::make_account(cloud.operator_key, "fresh", Cloud::start());
    cloud.world.set_post_latency_max(200ms);
    REQUIRE(cloud.servers[0]->put_account(fresh.jwt));
    RawClient& early = cloud.log_in(0, cloud.mint(fresh));
    early.send("SUB x 1\r\nPING\r\n");
    REQUIRE(cloud.world.run_until([&] { return count(early.text, "PONG") == 2; }, 5s));
    early.take();
    cloud.world.run_for(1s);
    RawClient& late = cloud.log_in(2, cloud.mint(fresh));
    late.take();
    cloud.talk(late, "PUB x 0\r\n\r\n");
    CHECK(cloud.talk(early, "") == "MSG x 1 0\r\n\r\n");
}

TEST_CASE("limits_of_an_account_count_all_loops") {
    LoopsCloud cloud;
    const Result<auth::AccountClaims> known = auth::decode_account(cloud.shop.jwt);
    auth::AccountClaims claims = *known;
    claims.limits.connections = 4;
    claims.limits.subscriptions = 5;
    const std::string jwt = *auth::encode_account(claims, cloud.operator_key, Cloud::start() + 1s);
    REQUIRE(cloud.servers[0]->put_account(jwt));
    cloud.world.run_for(10ms);
    std::vector<RawClient*> users;
    for (size_t i = 0; i < 4; ++i) {
        users.push_back(&cloud.log_in(i % 3, cloud.mint(cloud.shop)));
        CHECK(users.back()->has("PONG"));
        users.back()->take();
    }
    CHECK(cloud.log_in(1, cloud.mint(cloud.shop)).has("maximum account active connections"));
    for (size_t i = 0; i < 5; ++i)
        CHECK(cloud.talk(*users[i % 4], fmt::format("SUB a.{0} {0}\r\n", i)).empty());
    CHECK(cloud.talk(*users[3], "SUB b 9\r\n") == "-ERR 'maximum subscriptions exceeded'\r\n");
    cloud.talk(*users[0], "UNSUB 0\r\n");
    CHECK(cloud.talk(*users[3], "SUB b 9\r\n").empty());
    // Who leaves makes room for others.
    users[1]->stream.reset();
    cloud.world.run_for(100ms);
    RawClient& again = cloud.log_in(2, cloud.mint(cloud.shop));
    CHECK(again.has("PONG"));
    again.take();
    CHECK(cloud.talk(again, "SUB c 1\r\n").empty());
    CHECK_FALSE(cloud.talk(again, "SUB d 2\r\n").empty());
}

TEST_CASE("the_greatest_number_of_connections_is_that_of_all_loops") {
    ServerOptions options;
    options.connections_max = 3;
    LoopsCloud cloud(3, options);
    for (size_t loop = 0; loop < 3; ++loop) cloud.log_in(loop);
    RawClient& refused = cloud.log_in(1, cloud.mint(cloud.shop));
    CHECK(refused.has("maximum connections exceeded"));
    cloud.clients.front()->stream.reset();
    cloud.world.run_for(2s);
    CHECK(cloud.log_in(2, cloud.mint(cloud.shop)).has("PONG"));
}

TEST_CASE("connections_of_all_loops_have_ids_of_their_own") {
    LoopsCloud cloud;
    std::vector<std::string> ids;
    for (size_t i = 0; i < 9; ++i) {
        RawClient& client = cloud.dial(i % 3);
        const size_t at = client.text.find("\"client_id\":");
        ids.push_back(client.text.substr(at, client.text.find(',', at) - at));
    }
    std::sort(ids.begin(), ids.end());
    CHECK(std::unique(ids.begin(), ids.end()) == ids.end());
}

TEST_CASE("a_reader_that_takes_nothing_is_closed_and_slows_nobody_on_other_loops") {
    ServerOptions options;
    options.pending_bytes_max = 8 * 1024 * 1024;
    LoopsCloud cloud(2, options);
    RawClient& slow = cloud.log_in(1);
    RawClient& good = cloud.log_in(1);
    RawClient& publisher = cloud.log_in(0);
    cloud.talk(slow, "SUB big 1\r\n");
    cloud.talk(good, "SUB big 1\r\n");
    slow.stream->pause();
    const std::string message = "PUB big 65536\r\n" + std::string(65536, 'x') + "\r\n";
    for (int i = 0; i < 300; ++i) {
        REQUIRE(cloud.talk(publisher, message).empty());
        CHECK(cloud.mesh->channel(0, 1).in_flight() <= Links::kInFlightMax + 128 * 1024);
    }
    cloud.world.run_for(100ms);
    CHECK(cloud.servers[1]->counters().slow_consumers == 1);
    CHECK(good.take().size() > 300 * 65536);
    CHECK_FALSE(publisher.is_ended);
    slow.stream->resume();
    cloud.world.run_for(2s);
    CHECK(slow.is_ended);
}

TEST_CASE("a_publisher_that_outruns_another_loop_is_read_no_further_than_that") {
    LoopsCloud cloud(2);
    RawClient& reader = cloud.log_in(1);
    RawClient& publisher = cloud.log_in(0);
    RawClient& bystander = cloud.log_in(0);
    cloud.talk(reader, "SUB big 1\r\n");
    // The other loop gets to do nothing.
    cloud.world.set_post_latency_max(3s);
    const std::string message = "PUB big 65536\r\n" + std::string(65536, 'x') + "\r\n";
    size_t most = 0;
    for (int i = 0; i < 256; ++i) {
        publisher.send(message);
        cloud.world.run_for(1ms);
        most = std::max(most, cloud.mesh->channel(0, 1).in_flight());
    }
    CHECK(most > Links::kInFlightMax);
    CHECK(most < Links::kInFlightMax + 1024 * 1024);
    CHECK(cloud.servers[0]->is_congested());
    bool is_relieved = false;
    cloud.servers[0]->on_relief([&] { is_relieved = true; });
    // Others of its loop are served.
    cloud.talk(bystander, "SUB mine 1\r\n");
    bystander.send("PUB mine 0\r\n\r\n");
    CHECK(cloud.wait_for(bystander, "MSG mine"));
    cloud.world.set_post_latency_max(Duration(0));
    CHECK(cloud.world.run_until([&] { return reader.text.size() > 256 * 65536; }, 60s));
    CHECK(count(reader.text, "MSG big") == 256);
    cloud.world.run_for(1s);
    CHECK(is_relieved);
    CHECK_FALSE(cloud.servers[0]->is_congested());
    CHECK(cloud.servers[0]->is_flushed());
}

TEST_CASE("a_flood_of_pings_is_read_no_faster_than_it_can_be_answered") {
    LoopsCloud cloud(2);
    RawClient& client = cloud.log_in(0);
    const Connection& connection = *cloud.servers[0]->find_connection(1);
    cloud.world.set_post_latency_max(3s);  // the other loop gets to do nothing
    client.send("SUB x 1\r\n");
    std::string pings;
    for (int i = 0; i < 500; ++i) pings += "PING\r\n";
    unsigned most = 0;
    for (int i = 0; i < 40; ++i) {
        client.send(pings);
        cloud.world.run_for(2ms);
        most = std::max(most, connection.pongs_waiting);
    }
    CHECK(most >= 1024);
    CHECK(most < 3000);
    cloud.world.set_post_latency_max(Duration(0));
    CHECK(cloud.world.run_until([&] { return count(client.text, "PONG") == 40 * 500; }, 60s));
}

TEST_CASE("a_service_learns_what_waits_for_a_reader_on_another_loop") {
    LoopsCloud cloud(2);
    RawClient& reader = cloud.log_in(1);
    cloud.talk(reader, "SUB deliver.here 1\r\n");
    Account& account = *cloud.servers[0]->accounts().find(cloud.shop.public_key());
    const std::string body(256 * 1024 + 2, 'x');
    Message message;
    message.subject = "stored.subject";
    message.body = body;
    size_t backlog = 0;
    const auto publish = [&] {
        backlog = 0;
        return cloud.servers[0]->publish_to(account, "deliver.here", message, &backlog);
    };
    CHECK(publish());
    cloud.world.run_for(20ms);
    CHECK(count(reader.take(), "MSG stored.subject 1 ") == 1);
    reader.stream->pause();
    size_t sent = 0;
    // As a push consumer does: on while little waits, else one after a pause.
    for (int i = 0; i < 400; ++i) {
        REQUIRE(publish());
        ++sent;
        if (backlog > 8 * 1024 * 1024) break;
        cloud.world.run_for(1ms);
    }
    CHECK(backlog > 8 * 1024 * 1024);
    CHECK(sent < 60);
    reader.stream->resume();
    cloud.world.run_for(200ms);
    CHECK(count(reader.take(), "MSG stored.subject 1 ") == sent);
    CHECK(publish());
    CHECK(backlog < 1024 * 1024);
}

TEST_CASE("what_comes_and_goes_within_a_round_is_told_to_nobody") {
    LoopsCloud cloud(2);
    RawClient& client = cloud.log_in(0);
    const uint64_t before = cloud.mesh->channel(0, 1).sent();
    std::string text;
    for (int i = 0; i < 100; ++i) text += fmt::format("SUB x.{0} {0}\r\nUNSUB {0}\r\n", i);
    cloud.talk(client, text);
    CHECK(cloud.mesh->channel(0, 1).sent() == before);
    cloud.talk(client, "SUB a 1\r\n");
    const uint64_t once = cloud.mesh->channel(0, 1).sent();
    CHECK(once > before);
    cloud.talk(client, "SUB a 2\r\nSUB a 3\r\nUNSUB 1\r\n");  // one is enough
    CHECK(cloud.mesh->channel(0, 1).sent() == once);
    client.stream.reset();
    cloud.world.run_for(100ms);
    CHECK(cloud.mesh->channel(0, 1).sent() > once);
    CHECK(cloud.servers[1]->accounts().find(cloud.shop.public_key())->sublist.match("a").empty());
}

TEST_CASE("a_lame_duck_tells_the_clients_of_all_loops") {
    LoopsCloud cloud;
    std::vector<RawClient*> users;
    for (size_t loop = 0; loop < 3; ++loop) {
        users.push_back(
            &cloud.log_in(loop, cloud.mint(cloud.shop), "\"headers\":true,\"protocol\":1"));
    }
    for (const auto& server : cloud.servers) server->announce_end(cloud.world.now() + 1s);
    cloud.world.run_for(10ms);
    for (const RawClient* user : users) CHECK(user->has("\"ldm\":true"));
}

TEST_CASE("what_accounts_share_goes_over_all_loops") {
    LoopsCloud cloud(3, {}, 13);
    cloud.world.set_post_latency_max(3ms);
    const auto share = [&](std::string subject, auth::ShareKind kind) {
        auth::Export out;
        out.subject = std::move(subject);
        out.kind = kind;
        return out;
    };
    const auto import = [&](std::string subject, std::string local, auth::ShareKind kind) {
        auth::Import in;
        in.account = cloud.shop.public_key();
        in.subject = std::move(subject);
        in.local_subject = std::move(local);
        in.kind = kind;
        return in;
    };
    auth::AccountClaims shop = *auth::decode_account(cloud.shop.jwt);
    shop.exports = {share("ask.>", auth::ShareKind::kService),
                    share("news.>", auth::ShareKind::kStream)};
    auth::AccountClaims other = *auth::decode_account(cloud.other.jwt);
    other.imports = {import("ask.>", "shop.ask.>", auth::ShareKind::kService),
                     import("news.>", "shop.news.>", auth::ShareKind::kStream)};
    for (const auth::AccountClaims& claims : {shop, other}) {
        REQUIRE(cloud.servers[0]->put_account(
            *auth::encode_account(claims, cloud.operator_key, Cloud::start() + 1s)));
    }
    cloud.world.run_for(50ms);
    // Whichever loops asker, service and listeners are on.
    for (size_t i = 0; i < 9; ++i) {
        RawClient& service = cloud.log_in(i % 3);
        RawClient& asker = cloud.log_in(i / 3, cloud.mint(cloud.other));
        RawClient& listener = cloud.log_in((i + 1) % 3, cloud.mint(cloud.other));
        for (RawClient* client : {&asker, &listener}) client->take();
        cloud.talk(service, fmt::format("SUB ask.{} 1\r\n", i));
        cloud.talk(asker, "SUB inbox 1\r\n");
        cloud.talk(listener, "SUB shop.news.* 2\r\nSUB shop.news.* q 3\r\n");
        asker.send(fmt::format("PUB shop.ask.{} inbox 1\r\n?\r\n", i));
        REQUIRE(cloud.wait_for(service, "\r\n?\r\n"));
        const std::string asked = service.take();
        const size_t at = asked.find("_R_.");
        REQUIRE(at != std::string::npos);
        const std::string reply = asked.substr(at, asked.find(' ', at) - at);
        service.send(fmt::format("PUB {} 1\r\n!\r\nPUB {} 1\r\n!\r\n", reply, reply));
        CHECK(cloud.wait_for(asker, "MSG inbox 1 1\r\n!\r\n"));
        cloud.talk(service, fmt::format("PUB news.{} 0\r\n\r\n", i));
        const std::string heard = cloud.talk(listener, "");
        CHECK(count(heard, fmt::format("MSG shop.news.{} 2 0\r\n\r\n", i)) == 1);
        CHECK(count(heard, fmt::format("MSG shop.news.{} 3 0\r\n\r\n", i)) == 1);
        CHECK(cloud.talk(asker, "") == "MSG inbox 1 1\r\n!\r\n");  // once
        cloud.talk(listener, "UNSUB 2\r\nUNSUB 3\r\n");
    }
}
