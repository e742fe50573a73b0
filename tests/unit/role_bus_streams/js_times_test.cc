// What messages do at a time of their own: per-message TTL with its markers, and schedules.

#include "js_cloud_impl.h"
#include "streams/schedule_pattern.h"

using namespace test;

namespace {

constexpr int64_t kSecond = 1'000'000'000;

std::string headers_of(JsCloud& c, const std::string& stream, uint64_t sequence) {
    const Json got = c.api("STREAM.MSG.GET." + stream, {{"seq", sequence}});
    if (!got.contains("message") || !got["message"].contains("hdrs")) return {};
    const auto bytes = base64_decode(got["message"]["hdrs"].get<std::string>());
    return {bytes->begin(), bytes->end()};
}

}  // namespace

TEST_CASE("messages_expire_when_their_own_time_is_over", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.*"}}, {"allow_msg_ttl", true}, {"max_age", 20 * kSecond}});
    c.stream("NO", {{"subjects", {"no"}}});
    CHECK(JsCloud::code(c.publish("no", "", {{"Nats-TTL", "5"}})) == 10166);
    CHECK(JsCloud::code(c.publish("s.a", "", {{"Nats-TTL", "x"}})) == 10165);
    CHECK(JsCloud::code(c.publish("s.a", "", {{"Nats-TTL", "500ms"}})) == 10165);
    CHECK(c.publish("s.a", "short", {{"Nats-TTL", "2"}})["seq"] == 1);
    CHECK(c.publish("s.a", "longer", {{"Nats-TTL", "10s"}})["seq"] == 2);
    CHECK(c.publish("s.a", "ever", {{"Nats-TTL", "never"}})["seq"] == 3);
    CHECK(c.publish("s.a", "by age")["seq"] == 4);
    c.run_for(3s);
    CHECK(c.state("S")["messages"] == 3);
    for (const bool with_checkpoint : {false, true}) {
        if (with_checkpoint) c.checkpoint();
        c.kill();
        CHECK(c.state("S")["messages"] == 3);
    }
    c.run_for(8s);
    CHECK(c.contents("S") == std::vector<std::string>{"s.a=ever", "s.a=by age"});
    c.run_for(12s);
    CHECK(c.contents("S") == std::vector<std::string>{"s.a=ever"});
    c.kill();
    c.run_for(60s);
    CHECK(c.contents("S") == std::vector<std::string>{"s.a=ever"});
}

TEST_CASE("what_expired_while_the_node_was_away_goes_at_its_start", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.*"}}, {"allow_msg_ttl", true}});
    for (int i = 0; i < 3000; ++i) {
        REQUIRE(c.client().publish("s." + std::to_string(i), "",
                                   {{}, bus::HeaderBuilder().add("Nats-TTL", "60").text()}));
    }
    c.publish("s.last", "");
    c.checkpoint();
    CHECK(c.state("S")["messages"] == 3001);
    c.kill();
    c.run_for(50s);
    CHECK(c.state("S")["messages"] == 3001);
    c.run_for(15s);
    CHECK(c.state("S")["messages"] == 1);
}

TEST_CASE("a_marker_tells_that_a_subject_is_gone", "[js]") {
    JsCloud c;
    const Json made = c.stream("S", {{"subjects", {"s.*"}},
                                     {"subject_delete_marker_ttl", 5 * kSecond},
                                     {"max_age", 10 * kSecond},
                                     {"max_msgs_per_subject", 5}});
    CHECK(made["config"]["allow_msg_ttl"] == true);
    c.publish("s.a", "1", {{"Nats-TTL", "1"}});
    c.publish("s.a", "2", {{"Nats-TTL", "2"}});
    c.publish("s.b", "3");
    c.publish("s.kv", "", {{"Nats-TTL", "2"}, {"KV-Operation", "PURGE"}});
    c.run_for(3s);
    CHECK(c.contents("S") == std::vector<std::string>{"s.b=3", "s.a="});
    const std::string headers = headers_of(c, "S", 5);
    CHECK(bus::find_header(headers, "Nats-Marker-Reason") == "MaxAge");
    CHECK(bus::find_header(headers, "Nats-TTL") == "5s");
    c.kill();
    c.run_for(6s);
    CHECK(c.contents("S") == std::vector<std::string>{"s.b=3"});
    c.run_for(3s);
    CHECK(c.contents("S") == std::vector<std::string>{"s.b="});
    c.run_for(6s);
    CHECK(c.state("S")["messages"] == 0);
}

TEST_CASE("schedules_that_make_no_sense_are_refused", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.>"}}, {"allow_msg_schedules", true}});
    c.stream("NO", {{"subjects", {"no"}}});
    const auto publish = [&](std::initializer_list<std::pair<const char*, std::string>> headers) {
        return JsCloud::code(c.publish("s.plan", "", headers));
    };
    CHECK(JsCloud::code(c.publish(
              "no", "", {{"Nats-Schedule", "@hourly"}, {"Nats-Schedule-Target", "s.a"}})) == 10188);
    CHECK(publish({{"Nats-Schedule", "@sometimes"}, {"Nats-Schedule-Target", "s.a"}}) == 10189);
    CHECK(publish({{"Nats-Schedule", "@hourly"},
                   {"Nats-Schedule-Target", "s.a"},
                   {"Nats-Schedule-Time-Zone", "Europe/Paris"}}) == 10189);
    CHECK(publish({{"Nats-Schedule", "@hourly"}}) == 10190);
    CHECK(publish({{"Nats-Schedule", "@hourly"}, {"Nats-Schedule-Target", "s.plan"}}) == 10190);
    CHECK(publish({{"Nats-Schedule", "@hourly"}, {"Nats-Schedule-Target", "elsewhere"}}) == 10190);
    CHECK(publish({{"Nats-Schedule", "@hourly"}, {"Nats-Schedule-Target", "s.*"}}) == 10190);
    CHECK(publish({{"Nats-Schedule", "@hourly"},
                   {"Nats-Schedule-Target", "s.a"},
                   {"Nats-Schedule-TTL", "5s"}}) == 10191);
    CHECK(publish({{"Nats-Schedule", "@hourly"},
                   {"Nats-Schedule-Target", "s.a"},
                   {"Nats-Rollup", "all"}}) == 10192);
    CHECK(publish({{"Nats-Schedule", "@hourly"},
                   {"Nats-Schedule-Target", "s.a"},
                   {"Nats-Schedule-Source", "s.a"}}) == 10203);
    CHECK(publish({{"Nats-Scheduler", "s.other"}, {"Nats-Schedule-Next", "purge"}}) == 10190);
    CHECK(c.state("S")["messages"] == 0);
}

TEST_CASE("a_delayed_message_comes_once_at_its_time", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.>"}}, {"allow_msg_schedules", true}, {"allow_msg_ttl", true}});
    const auto at = [&](Duration from_now) {
        return "@at " + format_rfc3339(c.cloud.world.wall() + from_now);
    };
    c.publish("s.plan.1", "later",
              {{"Nats-Schedule", at(10s)},
               {"Nats-Schedule-Target", "s.out"},
               {"Nats-Schedule-TTL", "30s"},
               {"Own", "kept"}});
    c.publish("s.plan.2", "first", {{"Nats-Schedule", at(10s)}, {"Nats-Schedule-Target", "s.out"}});
    c.publish("s.plan.2", "instead",
              {{"Nats-Schedule", at(20s)}, {"Nats-Schedule-Target", "s.out"}});
    c.publish("s.plan.3", "past",
              {{"Nats-Schedule", at(-20s)}, {"Nats-Schedule-Target", "s.past"}});
    c.run_for(100ms);
    CHECK(c.contents("S") ==
          std::vector<std::string>{"s.plan.1=later", "s.plan.2=instead", "s.past=past"});
    c.checkpoint();
    c.kill();
    c.run_for(10s);
    CHECK(c.contents("S") ==
          std::vector<std::string>{"s.plan.2=instead", "s.past=past", "s.out=later"});
    const std::string headers = headers_of(c, "S", 6);
    CHECK(bus::find_header(headers, "Own") == "kept");
    CHECK(bus::find_header(headers, "Nats-Scheduler") == "s.plan.1");
    CHECK(bus::find_header(headers, "Nats-Schedule-Next") == "purge");
    CHECK(bus::find_header(headers, "Nats-TTL") == "30s");
    CHECK_FALSE(bus::find_header(headers, "Nats-Schedule"));
    c.kill();
    c.run_for(12s);
    CHECK(c.contents("S") ==
          std::vector<std::string>{"s.past=past", "s.out=later", "s.out=instead"});
    c.run_for(30s);
    CHECK(c.contents("S") == std::vector<std::string>{"s.past=past", "s.out=instead"});
}

TEST_CASE("a_schedule_goes_on_over_restarts", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.>"}}, {"allow_msg_schedules", true}});
    c.publish("s.latest", "a");
    c.publish("s.plan", "tick",
              {{"Nats-Schedule", "@every 10s"}, {"Nats-Schedule-Target", "s.out"}});
    c.publish("s.sample", "none",
              {{"Nats-Schedule", "@every 25s"},
               {"Nats-Schedule-Target", "s.sampled"},
               {"Nats-Schedule-Source", "s.latest"}});
    const auto count = [&](const std::string& subject) {
        const Json state = c.api("STREAM.INFO.S", {{"subjects_filter", subject}})["state"];
        return state.contains("subjects") ? state["subjects"].value(subject, 0) : 0;
    };
    c.run_for(31s);
    CHECK(count("s.out") == 3);
    c.publish("s.latest", "b");
    c.checkpoint();
    c.kill();
    c.run_for(9s);
    CHECK(count("s.out") == 4);
    c.kill();
    c.run_for(20s);
    CHECK(count("s.out") == 6);
    CHECK(count("s.sampled") == 2);
    CHECK(c.contents("S").back() == "s.out=tick");
    const Json sampled = c.api("STREAM.MSG.GET.S", {{"last_by_subj", "s.sampled"}});
    CHECK(sampled["message"]["data"] == base64_encode(as_bytes("b")));
    c.api("STREAM.PURGE.S", {{"filter", "s.plan"}});
    c.run_for(60s);
    CHECK(count("s.out") == 6);
}

TEST_CASE("no_crash_makes_a_delayed_message_come_twice_or_not_at_all", "[js]") {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
        INFO("seed " << seed);
        JsCloud c(seed);
        SeededRandom random(seed);
        c.stream("S", {{"subjects", {"s.>"}}, {"allow_msg_schedules", true}});
        std::set<std::string> acknowledged;
        for (int i = 0; i < 10; ++i) {
            const std::string when =
                format_rfc3339(c.cloud.world.wall() + std::chrono::milliseconds(100 * (i + 5)));
            const Json answer =
                c.publish("s.plan." + std::to_string(i), std::to_string(i),
                          {{"Nats-Schedule", "@at " + when}, {"Nats-Schedule-Target", "s.out"}});
            if (JsCloud::is_kept(answer)) acknowledged.insert("s.out=" + std::to_string(i));
        }
        for (int round = 0; round < 4; ++round) {
            c.disk->fail_after(1 + random.below(25));
            for (int i = 0; i < 5; ++i) {
                c.run_for(std::chrono::milliseconds(random.below(100)));
                if (random.below(4) == 0) c.store->checkpoint();
            }
            c.cut_power();
        }
        c.run_for(5s);
        std::vector<std::string> found = c.contents("S");
        std::sort(found.begin(), found.end());
        CHECK(found == std::vector<std::string>(acknowledged.begin(), acknowledged.end()));
    }
}

TEST_CASE("when_a_pattern_is_due", "[js]") {
    const auto next = [](const char* pattern, const char* after) -> std::string {
        const auto parsed = SchedulePattern::parse(pattern);
        if (!parsed) return "none";
        const int64_t from = parse_rfc3339(after)->time_since_epoch().count();
        return format_rfc3339(WallTime(Duration(parsed->next(from, from)))).substr(0, 19);
    };
    const char* const start = "2026-01-30T22:59:30Z";  // a Friday
    CHECK(next("@every 90s", start) == "2026-01-30T23:01:00");
    CHECK(next("@hourly", start) == "2026-01-30T23:00:00");
    CHECK(next("@daily", start) == "2026-01-31T00:00:00");
    CHECK(next("@weekly", start) == "2026-02-01T00:00:00");
    CHECK(next("@monthly", start) == "2026-02-01T00:00:00");
    CHECK(next("@yearly", start) == "2027-01-01T00:00:00");
    CHECK(next("*/15 * * * * *", start) == "2026-01-30T22:59:45");
    CHECK(next("0 30 9 * * MON-FRI", start) == "2026-02-02T09:30:00");
    CHECK(next("0 0 12 29 FEB *", start) == "2028-02-29T12:00:00");
    CHECK(next("0 0 0 13 * fri", start) == "2026-02-06T00:00:00");
    CHECK(next("5,10 0-10/5 1 1 1 ?", start) == "2027-01-01T01:00:05");
    CHECK(next("@at 2026-05-01T02:00:00+02:00", start) == "2026-05-01T00:00:00");
    for (const char* bad :
         {"", "@at", "@at soon", "@every", "@every 1ms", "@every x", "* * * * *", "* * * * * * *",
          "60 * * * * *", "* * * 0 * *", "* * * * foo *", "*/0 * * * * *", "5-1 * * * * *",
          "0 0 0 31 FEB *", "1,,2 * * * * *", "@never", "-1 * * * * *"}) {
        INFO(bad);
        CHECK(next(bad, start) == "none");
    }
    CHECK(parse_message_ttl("1") == kSecond);
    CHECK(parse_message_ttl("0") == 0);
    CHECK(parse_message_ttl("1h") == 3600 * kSecond);
    CHECK(parse_message_ttl("never") == -1);
    for (const char* bad : {"", "-1", "999ms", "x", "1.5", "99999999999999999999"})
        CHECK_FALSE(parse_message_ttl(bad));
}
