// Consumers through the JetStream API: configurations, pulling, pushing, acks, pauses, priorities.

#include "js_cloud_impl.h"

using namespace test;

namespace {

std::string header(const bus::OwnedMessage& message, std::string_view key) {
    return std::string(bus::find_header(message.headers, key).value_or(""));
}

}  // namespace

TEST_CASE("a_consumer_that_makes_no_sense_is_told_what_is_wrong", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.>"}},
                   {"consumer_limits",
                    {{"max_ack_pending", 50}, {"inactive_threshold", 60'000'000'000}}}});
    c.stream("W", {{"subjects", {"w.>"}}, {"retention", "workqueue"}});
    struct Case {
        const char* stream;
        const char* config;
        int code;
    };
    const Case cases[] = {
        {"S", R"({"deliver_policy": "some"})", 10025},
        {"S", R"({"max_batch": "x"})", 10025},
        {"S", R"({"opt_start_time": "yesterday"})", 10025},
        {"S", R"({"backoff": [1, "x"]})", 10025},
        {"S", R"({"deliver_subject": "a.*"})", 10079},
        {"S", R"({"deliver_subject": "a..b"})", 10112},
        {"S", R"({"deliver_subject": "s.a"})", 10081},
        {"S", R"({"deliver_subject": "d", "max_waiting": 5})", 10080},
        {"S", R"({"deliver_subject": "d", "idle_heartbeat": 5})", 10083},
        {"S", R"({"deliver_subject": "d", "flow_control": true})", 10108},
        {"S", R"({"rate_limit_bps": 5})", 10086},
        {"S", R"({"max_waiting": -1})", 10087},
        {"S", R"({"idle_heartbeat": 1000000000})", 10088},
        {"S", R"({"flow_control": true})", 10089},
        {"S", R"({"filter_subject": "s..a"})", 10093},
        {"S", R"({"filter_subject": "s.a", "filter_subjects": ["s.b"]})", 10136},
        {"S", R"({"filter_subjects": ["s.a", "s.*"]})", 10138},
        {"S", R"({"filter_subjects": [""]})", 10139},
        {"S", R"({"deliver_policy": "by_start_sequence"})", 10094},
        {"S", R"({"opt_start_seq": 5})", 10094},
        {"S", R"({"deliver_policy": "by_start_time"})", 10094},
        {"S", R"({"deliver_policy": "last_per_subject"})", 10094},
        {"S", R"({"ack_policy": "none", "max_ack_pending": 5})", 10082},
        {"S", R"({"sample_freq": "often"})", 10095},
        {"S", R"({"max_batch": -1})", 10114},
        {"S", R"({"max_expires": 5})", 10115},
        {"S", R"({"backoff": [1, 2, 3], "max_deliver": 2})", 10116},
        {"S", R"({"backoff": [-1]})", 10184},
        {"S", R"({"ack_wait": -1})", 10183},
        {"S", R"({"max_ack_pending": 51})", 10121},
        {"S", R"({"inactive_threshold": 61000000000})", 10153},
        {"S", R"({"num_replicas": 3})", 10126},
        {"S", R"({"num_replicas": -3})", 10133},
        {"S", R"({"priority_groups": ["a"]})", 10196},
        {"S", R"({"priority_policy": "overflow"})", 10159},
        {"S", R"({"priority_policy": "overflow", "priority_groups": [""]})", 10161},
        {"S", R"({"priority_policy": "overflow", "priority_groups": ["a b"]})", 10162},
        {"S", R"({"priority_timeout": 5})", 10197},
        {"S",
         R"({"deliver_subject": "d", "priority_policy": "overflow", "priority_groups": ["a"]})",
         10178},
        {"W", R"({"ack_policy": "none"})", 10084},
        {"W", R"({"ack_policy": "all"})", 10098},
        {"W", R"({"deliver_policy": "new"})", 10101},
    };
    for (const Case& item : cases) {
        INFO(item.config);
        CHECK(JsCloud::code(c.consumer(item.stream, "x", *parse_json(item.config))) == item.code);
    }
    const auto create = [&](const std::string& verb, const Json& body) {
        return JsCloud::code(c.api("CONSUMER." + verb, body));
    };
    CHECK(create("CREATE.S.x", {{"stream_name", "T"}}) == 10056);
    CHECK(create("CREATE.N.x", {{"stream_name", "N"}, {"config", Json::object()}}) == 10059);
    CHECK(create("CREATE.S.x.s.a",
                 {{"stream_name", "S"}, {"config", {{"filter_subject", "s.b"}}}}) == 10131);
    CHECK(create("CREATE.S.x.s.a", {{"stream_name", "S"},
                                    {"config", {{"filter_subjects", {"s.a", "s.b"}}}}}) == 10137);
    CHECK(create("CREATE.S.x", {{"stream_name", "S"},
                                {"config", {{"name", "x"}, {"durable_name", "y"}}}}) == 10017);
    CHECK(create("DURABLE.CREATE.S.x",
                 {{"stream_name", "S"}, {"config", {{"name", "y"}, {"durable_name", "x"}}}}) ==
          10132);
    CHECK(create("CREATE.S", {{"stream_name", "S"}, {"config", {{"durable_name", "y"}}}}) == 10020);
    CHECK(create("DURABLE.CREATE.S.x", {{"stream_name", "S"}, {"config", Json::object()}}) ==
          10018);
    CHECK(create("DURABLE.CREATE.S.x",
                 {{"stream_name", "S"}, {"config", {{"durable_name", "y"}}}}) == 10017);
    CHECK(create("CREATE.S", {{"stream_name", "S"}, {"config", {{"name", "a/b"}}}}) == 10127);
    CHECK(create("CREATE.S",
                 {{"stream_name", "S"}, {"config", {{"name", std::string(256, 'n')}}}}) == 10102);
    CHECK(create("CREATE.S.x", {{"stream_name", "S"},
                                {"config", {{"description", std::string(4097, 'd')}}}}) == 10107);
    CHECK(create("CREATE.S.x",
                 {{"stream_name", "S"},
                  {"config", {{"metadata", {{"k", std::string(kMetadataMax, 'v')}}}}}}) == 10135);
    CHECK(create("INFO.S.x", Json::object()) == 10014);
    CHECK(create("DELETE.S.x", Json::object()) == 10014);
    CHECK(create("PAUSE.S.x", Json::object()) == 10014);
    CHECK(c.api("CONSUMER.LIST.S")["total"] == 0);
    // A work queue hands each message to one.
    CHECK(JsCloud::code(c.consumer("W", "a", {{"filter_subject", "w.a"}})) == 0);
    CHECK(JsCloud::code(c.consumer("W", "b")) == 10099);
    CHECK(JsCloud::code(c.consumer("W", "b", {{"filter_subject", "w.*"}})) == 10100);
}

TEST_CASE("create_and_update_mean_what_they_say", "[js]") {
    JsCloud c;
    c.stream("S");
    CHECK(JsCloud::code(c.consumer("S", "x", Json::object(), "update")) == 10149);
    CHECK(JsCloud::code(c.consumer("S", "x", Json::object(), "create")) == 0);
    CHECK(JsCloud::code(c.consumer("S", "x", Json::object(), "create")) == 0);
    CHECK(JsCloud::code(c.consumer("S", "x", {{"max_deliver", 3}}, "create")) == 10148);
    const Json changed =
        c.consumer("S", "x", {{"max_deliver", 3}, {"metadata", {{"k", "v"}}}}, "update");
    CHECK(changed["config"]["max_deliver"] == 3);
    CHECK(JsCloud::code(c.consumer("S", "x", {{"ack_policy", "all"}})) == 10012);
    CHECK(JsCloud::code(c.consumer("S", "x", Json::object(), "replace")) == 10025);
    // Its name is the subject's, whatever the body says.
    CHECK(c.api("CONSUMER.CREATE.S.z",
                {{"stream_name", "S"}, {"config", {{"name", "y"}}}})["name"] == "z");
    CHECK(c.api("CONSUMER.CREATE.S.bare", {{"stream_name", "S"}})["name"] == "bare");
    c.kill();
    CHECK(c.consumer_info("S", "x")["config"]["metadata"]["k"] == "v");
}

TEST_CASE("pulls_end_with_a_status", "[js]") {
    JsCloud c;
    c.stream("S");
    c.consumer("S", "x",
               {{"max_batch", 10},
                {"max_expires", 60'000'000'000},
                {"max_waiting", 2},
                {"max_bytes", 1000}});
    CHECK(c.pull("S", "x", {{"no_wait", true}})->status(0) == 404);
    CHECK(c.pull("S", "x", {{"batch", 11}})->status(0) == 409);
    CHECK(c.pull("S", "x", {{"expires", 61'000'000'000}})->status(0) == 409);
    CHECK(c.pull("S", "x", {{"max_bytes", 1001}})->status(0) == 409);
    CHECK(c.pull("S", "x", {{"expires", 1'000'000'000}, {"idle_heartbeat", 600'000'000}})
              ->status(0) == 400);
    CHECK(c.pull("S", "x", {{"group", "g"}})->status(0) == 400);
    auto waits = c.pull("S", "x", {{"expires", 1'000'000'000}, {"idle_heartbeat", 400'000'000}});
    c.run_for(2s);
    REQUIRE(waits->messages.size() == 3);
    CHECK(waits->status(0) == 100);
    CHECK(header(waits->messages[0], "Nats-Last-Consumer") == "0");
    CHECK(waits->status(2) == 408);
    CHECK(header(waits->messages[2], "Nats-Pending-Messages") == "1");
    auto first = c.pull("S", "x", {{"batch", 3}, {"expires", 5'000'000'000}});
    auto second = c.pull("S", "x", {{"expires", 5'000'000'000}});
    CHECK(c.pull("S", "x", {{"expires", 5'000'000'000}})->status(0) == 409);
    CHECK(c.consumer_info("S", "x")["num_waiting"] == 2);
    c.publish("S", "one");
    c.publish("S", "two");
    // They take turns.
    CHECK(first->messages.size() == 1);
    CHECK(second->messages.size() == 1);
    c.publish("S", std::string(2000, 'x'));
    auto small = c.pull("S", "x", {{"batch", 5}, {"max_bytes", 1000}, {"expires", 5'000'000'000}});
    CHECK(first->messages.size() == 2);
    c.publish("S", std::string(2000, 'x'));
    c.run_for(100ms);
    CHECK(first->messages.size() == 3);
    c.publish("S", std::string(2000, 'x'));
    c.run_for(100ms);
    REQUIRE(small->messages.size() == 1);
    CHECK(small->status(0) == 409);
    auto gone = c.pull("S", "x", {{"expires", 5'000'000'000}, {"max_bytes", 1}});
    CHECK(c.api("CONSUMER.DELETE.S.x")["success"] == true);
    // Nobody is there any more.
    CHECK(c.pull("S", "x", Json::object())->status(0) == 503);
    c.consumer("S", "push", {{"deliver_subject", "d"}});
    CHECK(c.pull("S", "push", Json::object())->status(0) == 409);
}

TEST_CASE("acks_settle_and_what_is_not_settled_comes_again", "[js]") {
    JsCloud c;
    c.stream("S");
    c.consumer("S", "x",
               {{"ack_wait", 1'000'000'000}, {"max_deliver", 2}, {"sample_freq", "100%"}});
    auto events = c.listen("$JS.EVENT.>");
    for (int i = 1; i <= 5; ++i) c.publish("S", std::to_string(i));
    auto got = c.pull("S", "x", {{"batch", 20}, {"expires", 30'000'000'000}});
    REQUIRE(got->messages.size() == 5);
    c.ack(got->messages[0]);
    c.ack(got->messages[1], "-NAK");
    c.ack(got->messages[2], "-NAK {\"delay\": 300000000}");
    c.ack(got->messages[3], "+TERM broken");
    c.run_for(100ms);
    REQUIRE(got->messages.size() == 6);
    CHECK(got->messages[5].payload == "2");
    c.run_for(400ms);
    REQUIRE(got->messages.size() == 7);
    CHECK(got->messages[6].payload == "3");
    c.ack(got->messages[4], "+WPI");
    c.run_for(700ms);  // beyond the first second
    CHECK(got->messages.size() == 7);
    c.run_for(1s);
    REQUIRE(got->messages.size() == 8);
    CHECK(got->messages[7].payload == "5");
    c.run_for(3s);
    const Json info = c.consumer_info("S", "x");
    CHECK(info["num_ack_pending"] == 0);
    CHECK(info["ack_floor"]["stream_seq"] == 5);
    std::map<std::string, int> kinds;
    for (const bus::OwnedMessage& event : events->messages) {
        const Json body = *parse_json(event.payload);
        ++kinds[body["type"].get<std::string>().substr(18)];
        if (event.subject.find("TERMINATED") != std::string::npos)
            CHECK(body["reason"] == "broken");
    }
    CHECK(kinds == std::map<std::string, int>{{"advisory.v1.max_deliver", 3},
                                              {"advisory.v1.nak", 2},
                                              {"advisory.v1.terminated", 1},
                                              {"metric.v1.consumer_ack", 1}});
}

TEST_CASE("one_ack_for_all_before_it", "[js]") {
    JsCloud c;
    c.stream("S");
    c.consumer("S", "x", {{"ack_policy", "all"}, {"ack_wait", 1'000'000'000}});
    for (int i = 1; i <= 4; ++i) c.publish("S", std::to_string(i));
    auto got = c.pull("S", "x", {{"batch", 10}, {"expires", 30'000'000'000}});
    REQUIRE(got->messages.size() == 4);
    c.ack_durably(got->messages[2]);
    c.kill();
    auto again = c.pull("S", "x", {{"batch", 10}, {"expires", 30'000'000'000}});
    c.run_for(3s);
    REQUIRE_FALSE(again->messages.empty());
    CHECK(again->messages[0].payload == "4");
}

TEST_CASE("backoff_spaces_deliveries_out", "[js]") {
    JsCloud c;
    c.stream("S");
    c.consumer("S", "x", {{"backoff", {200'000'000, 1'000'000'000}}, {"max_deliver", 3}});
    c.publish("S", "one");
    auto got = c.pull("S", "x", {{"batch", 10}, {"expires", 30'000'000'000}});
    REQUIRE(got->messages.size() == 1);
    c.run_for(250ms);
    CHECK(got->messages.size() == 2);
    c.run_for(500ms);
    CHECK(got->messages.size() == 2);
    c.run_for(600ms);
    CHECK(got->messages.size() == 3);
}

TEST_CASE("several_filters_and_where_a_consumer_begins", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.*"}}});
    for (int i = 1; i <= 9; ++i) c.publish("s." + std::string(1, "abc"[i % 3]), std::to_string(i));
    const auto taken = [&](const std::string& name, const Json& config) {
        const Json made = c.consumer("S", name, config);
        INFO(made.dump());
        REQUIRE(JsCloud::code(made) == 0);
        auto got = c.pull("S", name, {{"batch", 100}, {"no_wait", true}});
        std::string out;
        for (const bus::OwnedMessage& message : got->messages) out += message.payload;
        return out;
    };
    CHECK(taken("all", Json::object()) == "123456789");
    CHECK(taken("two", {{"filter_subjects", {"s.a", "s.c"}}}) == "235689");
    CHECK(taken("one", {{"filter_subject", "s.b"}}) == "147");
    CHECK(taken("last", {{"deliver_policy", "last"}, {"filter_subjects", {"s.a", "s.b"}}}) == "9");
    CHECK(taken("new", {{"deliver_policy", "new"}}) == "");
    CHECK(taken("seq", {{"deliver_policy", "by_start_sequence"}, {"opt_start_seq", 7}}) == "789");
    CHECK(taken("per", {{"deliver_policy", "last_per_subject"}, {"filter_subject", "s.*"}}) ==
          "789");
    CHECK(taken("head", {{"headers_only", true}}) == "");
    const Json state = c.api("STREAM.MSG.GET.S", {{"seq", 8}});
    CHECK(taken("time", {{"deliver_policy", "by_start_time"},
                         {"opt_start_time", state["message"]["time"]}}) == "89");
}

TEST_CASE("a_paused_consumer_hands_out_nothing", "[js]") {
    JsCloud c;
    c.stream("S");
    c.consumer("S", "x");
    c.publish("S", "one");
    const std::string until = format_rfc3339(c.cloud.world.wall() + 10s);
    const Json paused = c.api("CONSUMER.PAUSE.S.x", {{"pause_until", until}});
    CHECK(paused["paused"] == true);
    CHECK(paused["pause_remaining"].get<int64_t>() > 9'000'000'000);
    auto got = c.pull("S", "x", {{"batch", 10}, {"expires", 50'000'000'000}});
    c.run_for(5s);
    CHECK(got->messages.empty());
    CHECK(c.consumer_info("S", "x")["paused"] == true);
    c.kill();
    CHECK(c.consumer_info("S", "x")["paused"] == true);
    got = c.pull("S", "x", {{"batch", 10}, {"expires", 50'000'000'000}});
    CHECK(got->messages.empty());
    c.run_for(6s);
    CHECK(got->messages.size() == 1);
    CHECK_FALSE(c.consumer_info("S", "x").contains("paused"));
    c.api("CONSUMER.PAUSE.S.x", {{"pause_until", format_rfc3339(c.cloud.world.wall() + 1h)}});
    c.publish("S", "two");
    c.run_for(5s);
    CHECK(got->messages.size() == 1);
    CHECK(c.api("CONSUMER.PAUSE.S.x")["paused"] == false);
    c.run_for(100ms);
    CHECK(got->messages.size() == 2);
    CHECK(JsCloud::code(c.api("CONSUMER.PAUSE.S.x", {{"pause_until", "soon"}})) == 10025);
}

TEST_CASE("push_consumers_keep_to_their_rate", "[js]") {
    JsCloud c;
    c.stream("S");
    for (int i = 0; i < 20; ++i) c.publish("S", std::string(1000, 'x'));
    auto got = c.listen("d");
    // About ten messages a second.
    c.consumer("S", "x",
               {{"deliver_subject", "d"}, {"rate_limit_bps", 84'000}, {"ack_policy", "none"}});
    c.run_for(1s);
    CHECK(got->messages.size() >= 8);
    CHECK(got->messages.size() <= 13);
    c.run_for(3s);
    CHECK(got->messages.size() == 20);
}

TEST_CASE("a_replay_takes_as_long_as_it_took", "[js]") {
    JsCloud c;
    c.stream("S");
    for (int i = 0; i < 3; ++i) {
        c.publish("S", std::to_string(i));
        c.run_for(2s);
    }
    c.consumer("S", "x", {{"replay_policy", "original"}});
    auto got = c.pull("S", "x", {{"batch", 10}, {"expires", 50'000'000'000}});
    c.run_for(500ms);
    CHECK(got->messages.size() == 1);
    c.run_for(2s);
    CHECK(got->messages.size() == 2);
    c.run_for(2s);
    CHECK(got->messages.size() == 3);
    // It has caught up: what is new comes at once.
    c.publish("S", "new");
    c.run_for(50ms);
    CHECK(got->messages.size() == 4);
}

TEST_CASE("a_push_consumer_tells_that_it_is_idle_and_asks_for_flow", "[js]") {
    JsCloud c;
    c.stream("S");
    auto got = c.listen("d");
    c.consumer("S", "x",
               {{"deliver_subject", "d"}, {"idle_heartbeat", 500'000'000}, {"flow_control", true}});
    c.run_for(1200ms);
    REQUIRE(got->messages.size() == 2);
    CHECK(got->status(0) == 100);
    for (int i = 0; i < 40; ++i) c.publish("S", std::string(100'000, 'x'));
    c.run_for(200ms);
    const auto is_request = [](const bus::OwnedMessage& m) {
        return m.reply.starts_with("$JS.FC.");
    };
    const auto request = std::find_if(got->messages.begin(), got->messages.end(), is_request);
    REQUIRE(request != got->messages.end());
    const size_t before = got->messages.size();
    CHECK(before < 40);
    c.run_for(600ms);
    CHECK_FALSE(header(got->messages.back(), "Nats-Consumer-Stalled").empty());
    for (int i = 0; i < 10; ++i) {
        for (const bus::OwnedMessage& message : std::exchange(got->messages, {})) {
            if (is_request(message)) REQUIRE(c.client().publish(message.reply, ""));
        }
        c.run_for(200ms);
        if (c.consumer_info("S", "x")["num_pending"] == 0) break;
    }
    CHECK(c.consumer_info("S", "x")["num_pending"] == 0);
    CHECK(c.consumer_info("S", "x")["push_bound"] == true);
}

TEST_CASE("consumers_that_nobody_uses_end", "[js]") {
    JsCloud c;
    c.stream("S");
    c.consumer("S", "x", {{"inactive_threshold", 2'000'000'000}});
    c.consumer("S", "stays");
    const Json made =
        c.api("CONSUMER.CREATE.S", {{"stream_name", "S"}, {"config", {{"ack_policy", "none"}}}});
    CHECK(made["config"]["inactive_threshold"] == 5'000'000'000);
    c.run_for(1s);
    CHECK(c.api("CONSUMER.NAMES.S")["total"] == 3);
    c.run_for(2s);
    CHECK(c.api("CONSUMER.NAMES.S")["total"] == 2);
    c.run_for(6s);
    CHECK(c.api("CONSUMER.NAMES.S")["consumers"] == Json({"stays"}));
    c.kill();
    CHECK(c.api("CONSUMER.NAMES.S")["consumers"] == Json({"stays"}));
}

TEST_CASE("who_is_served_first_of_a_priority_group", "[js]") {
    JsCloud c;
    c.stream("S");
    c.consumer("S", "o", {{"priority_policy", "overflow"}, {"priority_groups", {"g"}}});
    auto idle = c.pull(
        "S", "o", {{"group", "g"}, {"min_pending", 3}, {"batch", 10}, {"expires", 50'000'000'000}});
    for (int i = 0; i < 2; ++i) c.publish("S", "x");
    c.run_for(100ms);
    CHECK(idle->messages.empty());
    c.publish("S", "x");
    c.run_for(100ms);
    CHECK(idle->messages.size() == 1);
    CHECK(c.pull("S", "o", Json::object())->status(0) == 400);
    CHECK(c.pull("S", "o", {{"group", "h"}})->status(0) == 400);

    c.consumer("S", "p",
               {{"priority_policy", "prioritized"},
                {"priority_groups", {"g"}},
                {"deliver_policy", "new"}});
    auto later = c.pull(
        "S", "p", {{"group", "g"}, {"priority", 5}, {"batch", 10}, {"expires", 50'000'000'000}});
    auto sooner = c.pull(
        "S", "p", {{"group", "g"}, {"priority", 1}, {"batch", 2}, {"expires", 50'000'000'000}});
    for (int i = 0; i < 3; ++i) c.publish("S", "x");
    c.run_for(100ms);
    CHECK(sooner->messages.size() == 2);
    CHECK(later->messages.size() == 1);
    CHECK(c.pull("S", "p", {{"group", "g"}, {"priority", 10}})->status(0) == 400);
}

TEST_CASE("one_client_is_served_alone_while_it_is_there", "[js]") {
    JsCloud c;
    c.stream("S");
    c.consumer("S", "x",
               {{"priority_policy", "pinned_client"},
                {"priority_groups", {"g"}},
                {"priority_timeout", 3'000'000'000}});
    auto one = c.pull("S", "x", {{"group", "g"}, {"expires", 50'000'000'000}});
    auto two = c.pull("S", "x", {{"group", "g"}, {"expires", 50'000'000'000}});
    c.publish("S", "1");
    c.publish("S", "2");
    c.run_for(100ms);
    REQUIRE(one->messages.size() == 1);
    CHECK(two->messages.empty());
    const std::string pin = header(one->messages[0], "Nats-Pin-Id");
    CHECK_FALSE(pin.empty());
    CHECK(c.consumer_info("S", "x")["priority_groups"][0]["pinned_client_id"] == pin);
    CHECK(c.pull("S", "x", {{"group", "g"}, {"id", "wrong"}})->status(0) == 423);
    c.pull_to(*one, "S", "x", {{"group", "g"}, {"id", pin}, {"expires", 50'000'000'000}});
    REQUIRE(one->messages.size() == 2);
    CHECK(header(one->messages[1], "Nats-Pin-Id") == pin);
    CHECK(two->messages.empty());
    c.publish("S", "3");
    c.run_for(4s);  // it does not come back
    REQUIRE(two->messages.size() == 1);
    CHECK(header(two->messages[0], "Nats-Pin-Id") != pin);
    CHECK(JsCloud::code(c.api("CONSUMER.UNPIN.S.x", {{"group", "h"}})) == 10160);
    CHECK(JsCloud::code(c.api("CONSUMER.UNPIN.S.x", {{"group", "g"}})) == 0);
    CHECK_FALSE(c.consumer_info("S", "x")["priority_groups"][0].contains("pinned_client_id"));
}

TEST_CASE("what_was_acknowledged_twice_never_comes_again", "[js]") {
    JsCloud c;
    c.stream("S");
    c.consumer("S", "x", {{"ack_wait", 500'000'000}});
    for (int i = 1; i <= 20; ++i) c.publish("S", std::to_string(i));
    auto got = c.pull("S", "x", {{"batch", 20}, {"expires", 5'000'000'000}});
    REQUIRE(got->messages.size() == 20);
    for (size_t i = 0; i < 20; i += 2) c.ack_durably(got->messages[i]);
    for (int round = 0; round < 3; ++round) {
        if (round == 1) c.checkpoint();
        c.cut_power();
        auto again = c.pull("S", "x", {{"batch", 100}, {"expires", 900'000'000}});
        c.run_for(2s);
        std::set<std::string> seen;
        for (const bus::OwnedMessage& message : again->messages) seen.insert(message.payload);
        for (int i = 1; i <= 20; ++i) CHECK(seen.contains(std::to_string(i)) == (i % 2 == 0));
    }
}

TEST_CASE("a_work_queue_keeps_what_was_not_done_and_nothing_else", "[js]") {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        INFO("seed " << seed);
        JsCloud c(seed);
        c.stream("W", {{"retention", "workqueue"}});
        c.consumer("W", "x", {{"ack_wait", 200'000'000}});
        for (int i = 1; i <= 10; ++i) c.publish("W", std::to_string(i));
        auto got = c.pull("W", "x", {{"batch", 10}, {"expires", 5'000'000'000}});
        REQUIRE(got->messages.size() == 10);
        // Acknowledged without waiting; the machine fails somewhere among them.
        c.disk->fail_after(seed);
        for (size_t i = 0; i < 8; ++i) {
            REQUIRE(c.client().publish(got->messages[i].reply, ""));
            c.run_for(1ms);
        }
        c.run_for(100ms);
        c.cut_power();
        // Whatever is left comes again, all of it, and then the queue is empty.
        const uint64_t left = c.state("W")["messages"];
        CHECK(left >= 2);
        auto again = c.pull("W", "x", {{"batch", 100}, {"expires", 900'000'000}});
        c.run_for(500ms);
        std::set<std::string> seen;
        for (const bus::OwnedMessage& message : again->messages) {
            if (message.reply.empty()) continue;
            seen.insert(message.payload);
            c.ack_durably(message);
        }
        CHECK(seen.size() == left);
        CHECK(c.state("W")["messages"] == 0);
    }
}

TEST_CASE("interest_holds_a_message_until_all_have_it", "[js]") {
    JsCloud c;
    c.stream("I", {{"subjects", {"i.*"}}, {"retention", "interest"}});
    c.publish("i.none", "x");
    c.run_for(10ms);
    CHECK(c.state("I")["messages"] == 0);
    c.consumer("I", "a", {{"filter_subject", "i.a"}});
    c.consumer("I", "all");
    c.publish("i.a", "1");
    c.publish("i.b", "2");
    c.kill();
    CHECK(c.state("I")["messages"] == 2);
    auto all = c.pull("I", "all", {{"batch", 10}, {"expires", 5'000'000'000}});
    REQUIRE(all->messages.size() == 2);
    c.ack_durably(all->messages[0]);
    c.ack_durably(all->messages[1]);
    CHECK(c.contents("I") == std::vector<std::string>{"i.a=1"});
    c.cut_power();
    CHECK(c.contents("I") == std::vector<std::string>{"i.a=1"});
    CHECK(c.api("CONSUMER.DELETE.I.a")["success"] == true);
    CHECK(c.state("I")["messages"] == 0);
    c.cut_power();
    CHECK(c.state("I")["messages"] == 0);
}
