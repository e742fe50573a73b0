// Streams through the JetStream API: configurations, publishing, purging, what one stream takes
// from another.

#include "js_cloud_impl.h"

using namespace test;

TEST_CASE("streams_are_made_changed_and_deleted", "[js]") {
    JsCloud c;
    const Json made = c.stream("S", {{"subjects", {"s.>"}}});
    CHECK(made["type"] == "io.nats.jetstream.api.v1.stream_create_response");
    CHECK(made["config"]["duplicate_window"] == 120'000'000'000);
    CHECK(made["did_create"] == true);
    CHECK(c.api("STREAM.CREATE.S", {{"name", "S"}, {"subjects", {"s.>"}}})["did_create"] == true);
    CHECK(JsCloud::code(c.api("STREAM.CREATE.S", {{"name", "S"}, {"subjects", {"t"}}})) == 10058);
    CHECK(JsCloud::code(c.api("STREAM.CREATE.T", {{"subjects", {"s.a"}}})) == 10065);
    CHECK(c.api("STREAM.UPDATE.S",
                {{"subjects", {"s.>"}}, {"max_msgs", 2}})["config"]["max_msgs"] == 2);
    for (int i = 0; i < 3; ++i) CHECK(c.publish("s.a", "x")["seq"] == i + 1);
    CHECK(c.state("S")["messages"] == 2);
    CHECK(c.api("STREAM.NAMES")["streams"] == Json({"S"}));
    CHECK(c.api("STREAM.LIST", {{"subject", "none"}})["total"] == 0);
    CHECK(c.api("STREAM.DELETE.S")["success"] == true);
    CHECK(JsCloud::code(c.api("STREAM.INFO.S")) == 10059);
    CHECK(JsCloud::code(c.api("STREAM.UPDATE.S")) == 10059);
    CHECK(JsCloud::code(c.api("STREAM.DELETE.S")) == 10059);
    CHECK(c.api("NO.SUCH.VERB").is_null());
    CHECK(c.api("INFO")["api"]["errors"] == 5);
}

TEST_CASE("a_request_that_makes_no_sense_is_told_what_is_wrong", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.>"}}});
    struct Case {
        const char* config;
        int code;
    };
    const Case cases[] = {
        {"[]", 10025},
        {R"({"max_msgs": "many"})", 10025},
        {R"({"max_msgs": 99999999999999999999})", 10025},
        {R"({"first_seq": -1})", 10025},
        {R"({"retention": "forever"})", 10025},
        {R"({"subjects": [1]})", 10025},
        {R"({"name": "Y"})", 10056},
        {R"({"num_replicas": 3})", 10074},
        {R"({"num_replicas": -1})", 10133},
        {R"({"subjects": ["a..b"]})", 10052},
        {R"({"subjects": ["a.*", "a.b"]})", 10052},
        {R"({"subjects": ["$JS.API.>"]})", 10052},
        {R"({"max_age": 5})", 10052},
        {R"({"max_age": 1000000000, "duplicate_window": 2000000000})", 10052},
        {R"({"deny_purge": true, "allow_rollup_hdrs": true})", 10052},
        {R"({"discard_new_per_subject": true})", 10052},
        {R"({"discard": "new", "discard_new_per_subject": true})", 10052},
        {R"({"allow_atomic": true})", 10052},
        {R"({"subject_delete_marker_ttl": 5})", 10052},
        {R"({"mirror": {"name": "S"}, "subjects": ["x"]})", 10034},
        {R"({"mirror": {"name": "S"}, "sources": [{"name": "S"}]})", 10031},
        {R"({"mirror": {"name": "S"}, "first_seq": 5})", 10143},
        {R"({"mirror": {"name": "a.b"}})", 10142},
        {R"({"mirror": {"name": "X"}})", 10142},
        {R"({"mirror": {"name": "S", "opt_start_seq": 1, "opt_start_time": "2026-01-01T00:00:00Z"}})",
         10032},
        {R"({"mirror": {"name": "S", "filter_subject": "a", "subject_transforms": [{"src": "a"}]}})",
         10150},
        {R"({"mirror": {"name": "S", "subject_transforms": [{"src": "a..", "dest": "b"}]}})",
         10151},
        {R"({"mirror": {"name": "S", "subject_transforms": [{"src": "a", "dest": "b.$1"}]}})",
         10154},
        {R"({"mirror": {"name": "S", "subject_transforms": [{"src": "a"}, {"src": "*"}]}})", 10152},
        {R"({"sources": [{"name": ""}]})", 10141},
        {R"({"sources": [{"name": "S"}, {"name": "S"}]})", 10140},
        {R"({"sources": [{"name": "S", "filter_subject": "a", "subject_transforms": [{"src": "a"}]}]})",
         10144},
        {R"({"sources": [{"name": "S", "filter_subject": ".."}]})", 10145},
        {R"({"sources": [{"name": "S", "subject_transforms": [{"src": "a", "dest": "{{no(1)}}"}]}]})",
         10146},
        {R"({"sources": [{"name": "S", "subject_transforms": [{"src": "a"}, {"src": ">"}]}]})",
         10147},
        {R"({"sources": [{"name": "S", "external": {"api": "x"}}]})", 10052},
        {R"({"sources": [{"name": "S"}], "allow_msg_schedules": true})", 10187},
        {R"({"mirror": {"name": "S"}, "allow_msg_schedules": true})", 10186},
        {R"({"subject_transform": {"src": "a..b", "dest": "c"}})", 10155},
        {R"({"subject_transform": {"src": "a.*", "dest": "c.{{wildcard(2)}}"}})", 10156},
        {R"({"subjects": ["x.>"], "republish": {"src": "x.>", "dest": "x.y.>"}})", 10052},
        {R"({"subjects": ["x.>"], "republish": {"src": ">", "dest": "one"}})", 10052},
    };
    for (const Case& item : cases) {
        INFO(item.config);
        const Result<Json> config = parse_json(item.config);
        const Json answer = config && config->is_object()
                                ? c.api("STREAM.CREATE.X", *config)
                                : c.request("$JS.API.STREAM.CREATE.X", item.config);
        CHECK(JsCloud::code(answer) == item.code);
    }
    // No such subject is heard.
    for (const char* verb : {"STREAM.CREATE.a.b", "STREAM.INFO.S.x", "STREAM.DELETE.S.x"}) {
        CHECK(c.api(verb).is_null());
    }
    CHECK(JsCloud::code(c.request("$JS.API.STREAM.CREATE.X", R"({"subjects": ["x"]})")) == 10056);
    CHECK(JsCloud::code(c.request("$JS.API.STREAM.UPDATE.S", R"({"subjects": ["x"]})")) == 10052);
    for (const char* verb : {"STREAM.CREATE.X", "STREAM.UPDATE.S", "CONSUMER.CREATE.S.x"}) {
        CHECK(JsCloud::code(c.request(std::string("$JS.API.") + verb, "")) == 10025);
    }
    for (const char* verb : {"STREAM.DELETE.S", "CONSUMER.DELETE.S.x", "CONSUMER.INFO.S.x"}) {
        CHECK(JsCloud::code(c.request(std::string("$JS.API.") + verb, "x")) == 10038);
    }
    CHECK(JsCloud::code(c.api("STREAM.CREATE.X", {{"description", std::string(4097, 'd')}})) ==
          10052);
    CHECK(JsCloud::code(c.api("STREAM.CREATE.X",
                              {{"metadata", {{"k", std::string(kMetadataMax, 'v')}}}})) == 10052);
    CHECK(c.api("STREAM.NAMES")["total"] == 1);
    // Of an API that is newer than this one.
    CHECK(JsCloud::code(c.api("STREAM.INFO.S", Json::object(),
                              bus::HeaderBuilder().add("Nats-Required-Api-Level", "9").text())) ==
          10185);
    CHECK(JsCloud::code(c.api("STREAM.INFO.S", Json::object(),
                              bus::HeaderBuilder().add("Nats-Required-Api-Level", "1").text())) ==
          0);
}

TEST_CASE("what_may_not_change_of_a_stream_does_not", "[js]") {
    JsCloud c;
    c.stream("S", {{"deny_delete", true}, {"deny_purge", true}, {"allow_msg_ttl", true}});
    const Json base = {{"deny_delete", true}, {"deny_purge", true}, {"allow_msg_ttl", true}};
    const auto changed = [&](const char* key, const Json& value) {
        Json config = base;
        config[key] = value;
        return JsCloud::code(c.api("STREAM.UPDATE.S", config));
    };
    CHECK(changed("storage", "memory") == 10052);
    CHECK(changed("retention", "workqueue") == 10052);
    CHECK(changed("max_consumers", 5) == 10052);
    CHECK(changed("deny_delete", false) == 10052);
    CHECK(changed("deny_purge", false) == 10052);
    CHECK(changed("allow_msg_ttl", false) == 10052);
    CHECK(changed("max_msgs", 5) == 0);
    CHECK(JsCloud::code(c.api("STREAM.PURGE.S")) == 10110);
    c.publish("S", "x");
    CHECK(JsCloud::code(c.api("STREAM.MSG.DELETE.S", {{"seq", 1}})) == 10057);
    CHECK(changed("sealed", true) == 0);
    CHECK(JsCloud::code(c.publish("S", "y")) == 10109);
    CHECK(JsCloud::code(c.api("STREAM.MSG.DELETE.S", {{"seq", 1}})) == 10109);
    CHECK(changed("sealed", false) == 10052);
}

TEST_CASE("publishers_say_what_they_expect", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.*"}}, {"max_msg_size", 300}, {"allow_rollup_hdrs", true}});
    CHECK(c.publish("s.a", "1", {{"Nats-Msg-Id", "one"}})["seq"] == 1);
    CHECK(c.publish("s.a", "1", {{"Nats-Msg-Id", "one"}})["duplicate"] == true);
    CHECK(JsCloud::code(c.publish("s.a", "", {{"Nats-Expected-Stream", "T"}})) == 10060);
    CHECK(JsCloud::code(c.publish("s.a", "", {{"Nats-Expected-Last-Sequence", "7"}})) == 10071);
    CHECK(JsCloud::code(c.publish("s.a", "", {{"Nats-Expected-Last-Msg-Id", "two"}})) == 10070);
    CHECK(JsCloud::code(c.publish("s.b", "", {{"Nats-Expected-Last-Subject-Sequence", "1"}})) ==
          10071);
    CHECK(c.publish("s.b", "",
                    {{"Nats-Expected-Last-Subject-Sequence", "1"},
                     {"Nats-Expected-Last-Subject-Sequence-Subject", "s.a"}})["seq"] == 2);
    CHECK(c.publish("s.c", "",
                    {{"Nats-Expected-Last-Subject-Sequence", "2"},
                     {"Nats-Expected-Last-Subject-Sequence-Subject", "s.*"}})["seq"] == 3);
    CHECK(JsCloud::code(c.publish(
              "s.b", "", {{"Nats-Expected-Last-Subject-Sequence-Subject", "s.a"}})) == 10193);
    CHECK(JsCloud::code(c.publish("s.a", std::string(301, 'x'))) == 10054);
    CHECK(JsCloud::code(c.publish("s.a", "", {{"X", std::string(65536, 'x')}})) == 10097);
    CHECK(JsCloud::code(c.publish("s.a", "", {{"Nats-Rollup", "some"}})) == 10111);
    CHECK(c.publish("s.a", "", {{"Nats-Rollup", "sub"}})["seq"] == 4);
    CHECK(c.state("S")["messages"] == 3);
    CHECK(c.publish("s.a", "", {{"Nats-Rollup", "all"}})["seq"] == 5);
    CHECK(c.state("S")["messages"] == 1);
    c.kill();
    CHECK(c.publish("s.a", "1", {{"Nats-Msg-Id", "one"}})["seq"] == 6);
    CHECK(c.publish("s.a", "1", {{"Nats-Msg-Id", "one"}})["duplicate"] == true);
    c.kill();
    CHECK(c.publish("s.a", "1", {{"Nats-Msg-Id", "one"}})["duplicate"] == true);
}

TEST_CASE("limits_by_which_new_messages_are_refused", "[js]") {
    JsCloud c;
    c.stream("N", {{"subjects", {"n.*"}}, {"max_msgs", 2}, {"discard", "new"}});
    c.stream("P", {{"subjects", {"p.*"}},
                   {"max_msgs_per_subject", 1},
                   {"discard", "new"},
                   {"discard_new_per_subject", true}});
    c.stream("B", {{"subjects", {"b"}}, {"max_bytes", 200}, {"discard", "new"}});
    c.publish("n.a", "");
    c.publish("n.a", "");
    CHECK(JsCloud::code(c.publish("n.a", "")) == 10077);
    c.publish("p.a", "");
    CHECK(JsCloud::code(c.publish("p.a", "")) == 10077);
    CHECK(c.publish("p.b", "")["seq"] == 2);
    c.publish("b", std::string(100, 'x'));
    CHECK(JsCloud::code(c.publish("b", std::string(100, 'x'))) == 10077);
}

TEST_CASE("purges_leave_what_they_were_told_to", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.*"}}});
    for (int i = 0; i < 10; ++i) c.publish(i % 2 == 0 ? "s.a" : "s.b", std::to_string(i));
    CHECK(c.api("STREAM.PURGE.S", {{"filter", "s.a"}, {"keep", 1}})["purged"] == 4);
    CHECK(c.api("STREAM.PURGE.S", {{"seq", 5}})["purged"] == 2);
    CHECK(JsCloud::code(c.api("STREAM.PURGE.S", {{"seq", 5}, {"keep", 1}})) == 10003);
    CHECK(c.contents("S") == std::vector<std::string>{"s.b=5", "s.b=7", "s.a=8", "s.b=9"});
    CHECK(c.api("STREAM.PURGE.S")["purged"] == 4);
    CHECK(c.state("S")["first_seq"] == 11);
    CHECK(JsCloud::code(c.api("STREAM.MSG.DELETE.S", {{"seq", 3}})) == 10057);
}

TEST_CASE("a_stream_keeps_what_is_published_under_another_subject", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"in.*"}},
                   {"subject_transform", {{"src", "in.*"}, {"dest", "kept.{{wildcard(1)}}"}}},
                   {"republish", {{"src", "kept.*"}, {"dest", "shown.$1"}}}});
    auto seen = c.listen("shown.>");
    c.publish("in.a", "one", {{"Own", "kept"}});
    c.publish("in.a", "two");
    REQUIRE(c.run_until([&] { return seen->messages.size() == 2; }));
    CHECK(c.contents("S") == std::vector<std::string>{"kept.a=one", "kept.a=two"});
    CHECK(seen->messages[1].subject == "shown.a");
    CHECK(bus::find_header(seen->messages[0].headers, "Own") == "kept");
    CHECK(bus::find_header(seen->messages[1].headers, "Nats-Stream") == "S");
    CHECK(bus::find_header(seen->messages[1].headers, "Nats-Subject") == "kept.a");
    CHECK(bus::find_header(seen->messages[1].headers, "Nats-Sequence") == "2");
    CHECK(bus::find_header(seen->messages[1].headers, "Nats-Last-Sequence") == "1");
    CHECK(seen->messages[1].payload == "two");
    c.api("STREAM.UPDATE.S",
          {{"subjects", {"in.*"}},
           {"republish", {{"src", ">"}, {"dest", "shown.>"}, {"headers_only", true}}}});
    c.publish("in.b", "three");
    REQUIRE(c.run_until([&] { return seen->messages.size() == 3; }));
    CHECK(seen->messages[2].subject == "shown.in.b");
    CHECK(seen->messages[2].payload.empty());
    CHECK(bus::find_header(seen->messages[2].headers, "Nats-Msg-Size") == "5");
}

TEST_CASE("what_is_asked_for_directly", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.*"}}, {"allow_direct", true}});
    for (int i = 1; i <= 6; ++i) c.publish(i % 2 == 0 ? "s.a" : "s.b", std::to_string(i));
    const auto direct = [&](const Json& request) {
        auto inbox = c.listen(c.client().new_inbox());
        bus::PublishOptions options;
        options.reply = inbox->subject;
        REQUIRE(c.client().publish("$JS.API.DIRECT.GET.S", dump_json(request), options));
        c.run_for(100ms);
        return inbox;
    };
    auto one = direct({{"last_by_subj", "s.a"}});
    REQUIRE(one->messages.size() == 1);
    CHECK(one->messages[0].payload == "6");
    CHECK(direct({{"seq", 99}})->status(0) == 404);
    CHECK(direct(Json::object())->status(0) == 408);
    auto batch = direct({{"batch", 2}, {"seq", 2}, {"next_by_subj", "s.a"}});
    REQUIRE(batch->messages.size() == 3);
    CHECK(batch->messages[0].payload == "2");
    CHECK(bus::find_header(batch->messages[0].headers, "Nats-Num-Pending") == "2");
    CHECK(batch->messages[1].payload == "4");
    CHECK(batch->status(2) == 204);
    CHECK(bus::find_header(batch->messages[2].headers, "Nats-Last-Sequence") == "4");
    auto last = direct({{"multi_last", {"s.*"}}, {"up_to_seq", 4}});
    REQUIRE(last->messages.size() == 3);
    CHECK(last->messages[0].payload == "3");
    CHECK(last->messages[1].payload == "4");
    CHECK(bus::find_header(last->messages[2].headers, "Nats-UpTo-Sequence") == "4");
    CHECK(direct({{"multi_last", {"none"}}})->status(0) == 404);
    CHECK(direct({{"batch", 1}, {"seq", 7}})->status(0) == 404);
    c.checkpoint();
    c.kill();  // nothing is in memory now
    CHECK(direct({{"batch", 10}, {"seq", 1}})->messages.size() == 7);
    CHECK(direct({{"batch", 10}, {"seq", 1}, {"max_bytes", 5}})->messages.size() == 3);
}

TEST_CASE("accounts_have_limits_of_their_own", "[js]") {
    JsCloud c;
    c.cloud.shop.claims.limits.streams = 1;
    c.cloud.shop.claims.limits.consumers = 1;
    c.cloud.shop.claims.limits.disk_storage = 1000;
    c.cloud.shop.claims.limits.memory_storage = 0;
    REQUIRE(auth::resign_account(c.cloud.shop, c.cloud.operator_key, c.cloud.world.wall()));
    REQUIRE(c.cloud.server->put_account(c.cloud.shop.jwt));
    CHECK(JsCloud::code(c.api("STREAM.CREATE.M", {{"storage", "memory"}})) == 10028);
    CHECK(JsCloud::code(c.api("STREAM.CREATE.S", {{"max_bytes", 2000}})) == 10047);
    c.stream("S");
    CHECK(JsCloud::code(c.api("STREAM.CREATE.T")) == 10027);
    CHECK(JsCloud::code(c.publish("S", std::string(2000, 'x'))) == 10047);
    CHECK(JsCloud::code(c.consumer("S", "a")) == 0);
    CHECK(JsCloud::code(c.consumer("S", "b")) == 10026);
}
