// What streams copy from each other: mirrors and sources, and that no crash makes them copy
// anything twice or leave it out.

#include "base/text.h"
#include "js_cloud_impl.h"
#include "subject_transform.h"

using namespace test;

namespace {

std::vector<std::string> numbered(const std::string& subject, int from, int to) {
    std::vector<std::string> out;
    for (int i = from; i <= to; ++i) out.push_back(subject + "=" + std::to_string(i));
    return out;
}

}  // namespace

TEST_CASE("a_mirror_has_the_same_messages_at_the_same_places", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.*"}}});
    for (int i = 1; i <= 5; ++i) c.publish("s.a", std::to_string(i));
    c.api("STREAM.MSG.DELETE.S", {{"seq", 2}});
    const Json made = c.stream("M", {{"mirror", {{"name", "S"}}}, {"allow_direct", true}});
    CHECK_FALSE(made["config"].contains("subjects"));
    c.run_for(50ms);
    CHECK(c.contents("M") == std::vector<std::string>{"s.a=1", "s.a=3", "s.a=4", "s.a=5"});
    CHECK(c.state("M")["last_seq"] == 5);
    const auto time = [&](const char* stream) {
        return c.api(std::string("STREAM.MSG.GET.") + stream, {{"seq", 3}})["message"]["time"];
    };
    CHECK(time("S") == time("M"));
    c.kill();
    for (int i = 6; i <= 8; ++i) c.publish("s.a", std::to_string(i));
    c.run_for(50ms);
    CHECK(c.state("M")["last_seq"] == 8);
    const Json info = c.api("STREAM.INFO.M");
    CHECK(info["mirror"]["name"] == "S");
    CHECK(info["mirror"]["lag"] == 0);
    CHECK(info["mirror"]["active"].get<int64_t>() >= 0);
    CHECK(JsCloud::code(c.api("STREAM.UPDATE.M", {{"mirror", {{"name", "T"}}}})) == 10055);
    // A mirror becomes a stream of its own, and goes on from there.
    CHECK(JsCloud::code(c.api("STREAM.DELETE.S")) == 0);
    CHECK(c.api("STREAM.INFO.M")["mirror"]["error"]["err_code"] == 10059);
    CHECK(JsCloud::code(c.api("STREAM.UPDATE.M", {{"subjects", {"s.*"}}})) == 0);
    CHECK(c.publish("s.a", "9")["seq"] == 9);
}

TEST_CASE("a_mirror_begins_where_it_is_told_to", "[js]") {
    JsCloud c;
    c.stream("S", {{"subjects", {"s.*"}}});
    for (int i = 1; i <= 6; ++i) c.publish(i % 2 == 0 ? "s.a" : "s.b", std::to_string(i));
    c.stream("F", {{"mirror", {{"name", "S"}, {"filter_subject", "s.a"}, {"opt_start_seq", 3}}}});
    const Json third = c.api("STREAM.MSG.GET.S", {{"seq", 5}});
    c.stream("T", {{"mirror", {{"name", "S"}, {"opt_start_time", third["message"]["time"]}}}});
    c.run_for(50ms);
    CHECK(c.contents("F") == std::vector<std::string>{"s.a=4", "s.a=6"});
    CHECK(c.state("F")["first_seq"] == 4);
    CHECK(c.contents("T") == std::vector<std::string>{"s.b=5", "s.a=6"});
}

TEST_CASE("sources_are_filtered_renamed_and_marked", "[js]") {
    JsCloud c;
    c.stream("A", {{"subjects", {"a.*"}}});
    c.stream("B", {{"subjects", {"b.*"}}});
    for (int i = 1; i <= 4; ++i) {
        c.publish(i % 2 == 0 ? "a.x" : "a.y", std::to_string(i),
                  {{"Nats-Msg-Id", std::to_string(i)}});
        c.publish("b.z", std::to_string(i));
    }
    c.stream("ALL", {{"sources",
                      {{{"name", "A"}, {"filter_subject", "a.x"}},
                       {{"name", "B"},
                        {"opt_start_seq", 3},
                        {"subject_transforms", {{{"src", "b.*"}, {"dest", "from.b.$1"}}}}}}}});
    c.run_for(50ms);
    std::vector<std::string> found = c.contents("ALL");
    std::sort(found.begin(), found.end());
    CHECK(found == std::vector<std::string>{"a.x=2", "a.x=4", "from.b.z=3", "from.b.z=4"});
    const Json got = c.api("STREAM.MSG.GET.ALL", {{"last_by_subj", "from.b.z"}});
    const auto headers = base64_decode(got["message"]["hdrs"].get<std::string>());
    const std::string text(headers->begin(), headers->end());
    CHECK(bus::find_header(text, "Nats-Stream-Source") == "B 4 b.* from.b.$1 b.z");
    const Json sources = c.api("STREAM.INFO.ALL")["sources"];
    REQUIRE(sources.size() == 2);
    CHECK(sources[0]["lag"] == 0);
    CHECK(sources[1]["name"] == "B");
    // A copy that has a publisher's id is there once, wherever it came from.
    c.stream("DUP", {{"sources", {{{"name", "A"}}, {{"name", "ALL"}}}}});
    c.run_for(50ms);
    CHECK(c.state("DUP")["messages"] == 6);
    CHECK(JsCloud::code(c.api("STREAM.UPDATE.A",
                              {{"subjects", {"a.*"}}, {"sources", {{{"name", "DUP"}}}}})) == 10052);
}

TEST_CASE("what_flows_in_a_ring_by_filters_ends", "[js]") {
    JsCloud c;
    c.stream("A", {{"subjects", {"a.*"}}, {"sources", {{{"name", "B"}, {"filter_subject", ">"}}}}});
    c.stream("B", {{"subjects", {"b.*"}}, {"sources", {{{"name", "A"}, {"filter_subject", ">"}}}}});
    c.publish("a.1", "1");
    c.publish("b.1", "2");
    c.run_for(1s);
    CHECK(c.state("A")["messages"] == 2);
    CHECK(c.state("B")["messages"] == 2);
}

TEST_CASE("a_source_waits_for_its_stream_and_for_room", "[js]") {
    JsCloud c;
    c.stream("D", {{"sources", {{{"name", "S"}}}}, {"max_msgs", 2}, {"discard", "new"}});
    CHECK(c.api("STREAM.INFO.D")["sources"][0]["error"]["err_code"] == 10059);
    c.stream("S");
    for (int i = 1; i <= 4; ++i) c.publish("S", std::to_string(i));
    c.run_for(1s);
    CHECK(c.contents("D") == numbered("S", 1, 2));
    CHECK(c.api("STREAM.INFO.D")["sources"][0]["lag"] == 2);
    c.api("STREAM.PURGE.D");
    c.run_for(1s);
    CHECK(c.contents("D") == numbered("S", 3, 4));
    // One of the same name, made anew, has other messages.
    c.api("STREAM.PURGE.D");
    c.api("STREAM.DELETE.S");
    c.stream("S");
    c.publish("S", "5");
    c.run_for(1s);
    CHECK(c.contents("D") == numbered("S", 5, 5));
}

TEST_CASE("no_crash_makes_a_source_copy_twice_or_leave_anything_out", "[js]") {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
        INFO("seed " << seed);
        JsCloud c(seed);
        SeededRandom random(seed);
        c.stream("S");
        // What is taken from the queue leaves no trace in it of how far it has copied.
        c.stream("Q", {{"sources", {{{"name", "S"}}}}, {"retention", "workqueue"}});
        c.consumer("Q", "x", {{"ack_wait", 100'000'000}});
        std::map<std::string, std::set<std::string>> places;  // of each message, in the queue
        const auto take_all = [&](JsCloud::Inbox& inbox) {
            for (const bus::OwnedMessage& message : std::exchange(inbox.messages, {})) {
                if (message.reply.empty()) continue;
                places[message.payload].insert(std::string(split(message.reply, '.')[5]));
                (void)c.cloud.run(c.client().request(message.reply, "", 100ms));
            }
        };
        int next = 1;
        std::set<std::string> acknowledged;
        for (int round = 0; round < 6; ++round) {
            c.disk->fail_after(20 + random.below(60));
            auto got = c.pull("Q", "x", {{"batch", 1000}, {"expires", 5'000'000'000}});
            for (int i = 0; i < 6; ++i) {
                const std::string text = std::to_string(next++);
                if (JsCloud::is_kept(c.publish("S", text))) acknowledged.insert(text);
                take_all(*got);
                if (c.disk->has_failed()) break;
                if (random.below(8) == 0) c.store->checkpoint();
            }
            c.cut_power();
        }
        auto rest = c.pull("Q", "x", {{"batch", 1000}, {"expires", 5'000'000'000}});
        for (int i = 0; i < 20; ++i) {
            take_all(*rest);
            c.run_for(20ms);
        }
        for (const std::string& text : acknowledged) {
            INFO(text);
            CHECK(places[text].size() == 1);
        }
        for (const auto& [text, where] : places) CHECK(where.size() == 1);
        CHECK(c.state("Q")["messages"] == 0);
    }
}

TEST_CASE("no_crash_makes_a_mirror_differ", "[js]") {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        INFO("seed " << seed);
        JsCloud c(seed);
        SeededRandom random(seed);
        c.stream("S");
        c.stream("M", {{"mirror", {{"name", "S"}}}});
        for (int round = 0; round < 4; ++round) {
            c.disk->fail_after(10 + random.below(60));
            for (int i = 0; i < 10 && !c.disk->has_failed(); ++i) {
                c.publish("S", std::to_string(round * 100 + i));
                if (random.below(8) == 0) c.store->checkpoint();
            }
            c.cut_power();
        }
        c.run_for(1s);
        CHECK(c.contents("S") == c.contents("M"));
        CHECK(c.state("S")["last_seq"] == c.state("M")["last_seq"]);
    }
}

TEST_CASE("subjects_are_mapped_by_functions", "[js]") {
    const auto map = [](const char* from, const char* to, const char* subject) -> std::string {
        const auto made = SubjectTransform::create(from, to);
        if (!made) return "!" + made.error().text;
        return made->apply(subject).value_or("-");
    };
    CHECK(map("a.*.*", "b.$2.$1", "a.x.y") == "b.y.x");
    CHECK(map("a.*.*", "b.{{wildcard(2)}}.{{ Wildcard( 1 ) }}", "a.x.y") == "b.y.x");
    CHECK(map("a.>", "b.>", "a.x.y") == "b.x.y");
    CHECK(map(">", "b.>", "a.x") == "b.a.x");
    CHECK(map("", "b.>", "a.x") == "b.a.x");
    CHECK(map("a.*", "b", "x.y") == "-");
    CHECK(map("a.*", "b.{{splitfromleft(1,2)}}", "a.xyz") == "b.xy.z");
    CHECK(map("a.*", "b.{{SplitFromRight(1,2)}}", "a.xyz") == "b.x.yz");
    CHECK(map("a.*", "b.{{SplitFromRight(1,5)}}", "a.xyz") == "b.xyz");
    CHECK(map("a.*", "b.{{SliceFromLeft(1,2)}}", "a.vwxyz") == "b.vw.xy.z");
    CHECK(map("a.*", "b.{{SliceFromRight(1,2)}}", "a.vwxyz") == "b.v.wx.yz");
    CHECK(map("a.*", "b.{{split(1,-)}}", "a.-v-w--x-") == "b.v.w.x");
    CHECK(map("a.*", "b.{{left(1,2)}}.{{right(1,1)}}", "a.xyz") == "b.xy.z");
    CHECK(map("a.*", "b.{{partition(1,1)}}", "a.xyz") == "b.0");
    // As nats-server hashes them.
    CHECK(map("*", "b.{{partition(10,1)}}", "foo") == "b.3");
    for (const char* bad :
         {"b.$2", "b.{{wildcard(0)}}", "b.{{what(1)}}", "b.{{split(1)}}", "b.*", "b.>", "b..c", "",
          "b.{{left(1,2,3)}}", "b.{{partition(0,1)}}", "b.{{split(1,.)}}"}) {
        INFO(bad);
        CHECK(map("a.*", bad, "a.x").front() == '!');
    }
    CHECK(map("a.>", "b", "a.x").front() == '!');
    CHECK(SubjectTransform::create("a..b", "b").error().is_of_source);
}
