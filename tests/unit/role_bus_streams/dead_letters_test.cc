// Messages that consumers gave up are moved to where their metadata says, once.

#include "bus/dead_letters.h"
#include "js_cloud_impl.h"

using namespace test;

namespace {

// The mover logs in as anybody else.
struct Mover {
    explicit Mover(JsCloud& c) : client(c.cloud.connect()), letters(client, Logger()) {}
    bus::Client& client;
    bus::DeadLetters letters;
};

Json wants(const std::string& target, Json config = Json::object()) {
    config["metadata"] = {{std::string(bus::kDeadLetterKey), target}};
    return config;
}

std::string headers_at(JsCloud& c, const std::string& stream, uint64_t sequence) {
    const Json got = c.api("STREAM.MSG.GET." + stream, {{"seq", sequence}});
    return *base64_decode(got["message"]["hdrs"].get<std::string>());
}

}  // namespace

TEST_CASE("what_a_consumer_gave_up_is_moved", "[js]") {
    JsCloud c;
    c.stream("W", {{"subjects", {"w"}}, {"retention", "workqueue"}});
    c.stream("DEAD", {{"subjects", {"dead.>"}}});
    Mover mover(c);
    c.run_for(100ms);
    CHECK(JsCloud::code(c.api("STREAM.INFO.CANDELA_DEAD_LETTERS")) == 10059);  // nobody wants it
    c.consumer("W", "x", wants("dead.w", {{"ack_wait", 200'000'000}, {"max_deliver", 2}}));
    REQUIRE(
        c.run_until([&] { return JsCloud::code(c.api("STREAM.INFO.CANDELA_DEAD_LETTERS")) == 0; }));
    c.publish("w", "given up", {{"Own", "kept"}, {"Nats-Msg-Id", "1"}});
    c.publish("w", "terminated");
    c.publish("w", "done");
    auto got = c.pull("W", "x", {{"batch", 10}, {"expires", 5'000'000'000}});
    REQUIRE(got->messages.size() == 3);
    c.ack(got->messages[1], "+TERM no use");
    c.ack(got->messages[2]);
    REQUIRE(c.run_until([&] { return mover.letters.moved() == 2; }));
    c.run_for(1s);
    std::vector<std::string> found = c.contents("DEAD");
    std::sort(found.begin(), found.end());
    CHECK(found == std::vector<std::string>{"dead.w=given up", "dead.w=terminated"});
    CHECK(c.state("W")["messages"] == 0);
    CHECK(c.state("CANDELA_DEAD_LETTERS")["messages"] == 0);
    const uint64_t of_first = c.contents("DEAD").front() == "dead.w=given up" ? 1 : 2;
    const std::string headers = headers_at(c, "DEAD", of_first);
    CHECK(bus::find_header(headers, "Own") == "kept");
    CHECK(bus::find_header(headers, "Nats-Dead-Letter-Stream") == "W");
    CHECK(bus::find_header(headers, "Nats-Dead-Letter-Subject") == "w");
    CHECK(bus::find_header(headers, "Nats-Dead-Letter-Sequence") == "1");
    CHECK(bus::find_header(headers, "Nats-Dead-Letter-Consumer") == "x");
    CHECK(bus::find_header(headers, "Nats-Dead-Letter-Deliveries") == "2");
    CHECK(bus::find_header(headers, "Nats-Dead-Letter-Reason") == "max deliveries");
    CHECK(bus::find_header(headers_at(c, "DEAD", 3 - of_first), "Nats-Dead-Letter-Reason") ==
          "no use");
}

TEST_CASE("while_nobody_moves_dead_letters_wait", "[js]") {
    JsCloud c;
    c.stream("S");
    c.consumer("S", "x", wants("dead", {{"ack_wait", 200'000'000}, {"max_deliver", 1}}));
    c.consumer("S", "not", {{"ack_wait", 200'000'000}, {"max_deliver", 1}});
    {
        Mover mover(c);
        REQUIRE(c.run_until(
            [&] { return JsCloud::code(c.api("STREAM.INFO.CANDELA_DEAD_LETTERS")) == 0; }));
    }
    for (int i = 0; i < 5; ++i) c.publish("S", std::to_string(i));
    c.pull("S", "x", {{"batch", 10}, {"expires", 1'000'000'000}});
    c.pull("S", "not", {{"batch", 10}, {"expires", 1'000'000'000}});
    c.run_for(2s);
    CHECK(c.state("CANDELA_DEAD_LETTERS")["messages"] == 10);
    c.cut_power();
    {
        // There is no stream yet that takes them; then there is one.
        Mover mover(c);
        c.run_for(20s);
        CHECK(mover.letters.moved() == 0);
        c.stream("DEAD", {{"subjects", {"dead"}}});
        REQUIRE(c.run_until([&] { return mover.letters.moved() == 5; }, 60s));
        c.run_for(1s);
        CHECK(c.state("CANDELA_DEAD_LETTERS")["messages"] == 0);
        CHECK(c.state("DEAD")["messages"] == 5);
        CHECK(c.state("S")["messages"] == 5);  // no work queue: it stays
    }
}

TEST_CASE("no_crash_makes_a_dead_letter_come_twice_or_not_at_all", "[js]") {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        INFO("seed " << seed);
        JsCloud c(seed);
        SeededRandom random(seed);
        c.stream("W", {{"subjects", {"w"}}, {"retention", "workqueue"}});
        c.stream("DEAD", {{"subjects", {"dead"}}});
        c.consumer("W", "x", wants("dead", {{"ack_wait", 100'000'000}, {"max_deliver", 1}}));
        {
            Mover mover(c);
            REQUIRE(c.run_until(
                [&] { return JsCloud::code(c.api("STREAM.INFO.CANDELA_DEAD_LETTERS")) == 0; }));
        }
        std::set<std::string> sent;
        for (int i = 0; i < 6; ++i) {
            c.publish("w", std::to_string(i));
            sent.insert("dead=" + std::to_string(i));
        }
        c.pull("W", "x", {{"batch", 10}, {"expires", 1'000'000'000}});
        c.run_for(500ms);
        for (int round = 0; round < 4; ++round) {
            {
                Mover mover(c);
                c.disk->fail_after(random.below(30));
                c.run_for(std::chrono::milliseconds(random.below(300)));
            }
            c.cut_power();
        }
        Mover mover(c);
        c.run_for(90s);
        std::vector<std::string> found = c.contents("DEAD");
        std::sort(found.begin(), found.end());
        CHECK(found == std::vector<std::string>(sent.begin(), sent.end()));
        CHECK(c.state("W")["messages"] == 0);
    }
}
