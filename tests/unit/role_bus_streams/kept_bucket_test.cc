// A bucket is as its owner wants it, whatever others and the bus do.

#include "bus/kept_bucket.h"

#include "base/text.h"
#include "js_cloud_impl.h"

using namespace test;

namespace {

struct Keeper {
    explicit Keeper(JsCloud& c)
        : client(c.cloud.connect()), bucket(client, "flags", "for a test", Logger()) {
        client.on_state([this](bus::ClientState) { bucket.look_again(); });
    }
    ~Keeper() {
        client.on_state([](bus::ClientState) {});
    }
    bus::Client& client;
    bus::KeptBucket bucket;
};

std::vector<std::string> lines(JsCloud& c) { return c.contents("KV_flags"); }

uint64_t last_sequence(JsCloud& c) { return c.state("KV_flags")["last_seq"]; }

}  // namespace

TEST_CASE("a_bucket_is_made_filled_and_kept", "[js]") {
    JsCloud c;
    Keeper keeper(c);
    c.run_for(1s);
    // Nobody has said yet what is wanted.
    CHECK(JsCloud::code(c.api("STREAM.INFO.KV_flags")) == 10059);
    keeper.bucket.keep({});
    REQUIRE(c.run_until([&] { return keeper.bucket.is_kept(); }));
    CHECK(c.state("KV_flags")["messages"] == 0);
    keeper.bucket.keep({{"a", "1"}, {"b.c", "2"}});
    CHECK_FALSE(keeper.bucket.is_kept());
    REQUIRE(c.run_until([&] { return keeper.bucket.is_kept(); }));
    CHECK(lines(c) == std::vector<std::string>{"$KV.flags.a=1", "$KV.flags.b.c=2"});
    // Only what has changed is written.
    keeper.bucket.keep({{"a", "1"}, {"b.c", "3"}});
    REQUIRE(c.run_until([&] { return keeper.bucket.is_kept(); }));
    CHECK(last_sequence(c) == 3);
    c.run_for(10min);
    CHECK(last_sequence(c) == 3);
    keeper.bucket.keep({{"b.c", "3"}});
    REQUIRE(c.run_until([&] { return keeper.bucket.is_kept(); }));
    CHECK(lines(c) == std::vector<std::string>{"$KV.flags.b.c=3", "$KV.flags.a="});
    CHECK(last_sequence(c) == 4);
    CHECK(keeper.bucket.trouble().empty());
}

TEST_CASE("a_new_keeper_writes_only_what_differs", "[js]") {
    JsCloud c;
    {
        Keeper keeper(c);
        keeper.bucket.keep({{"a", "1"}, {"b", "2"}, {"gone", "3"}});
        REQUIRE(c.run_until([&] { return keeper.bucket.is_kept(); }));
        keeper.bucket.keep({{"a", "1"}, {"b", "2"}});
        REQUIRE(c.run_until([&] { return keeper.bucket.is_kept(); }));
    }
    const uint64_t before = last_sequence(c);
    Keeper keeper(c);
    keeper.bucket.keep({{"a", "1"}, {"b", "4"}});
    REQUIRE(c.run_until([&] { return keeper.bucket.is_kept(); }));
    CHECK(last_sequence(c) == before + 1);
    CHECK(lines(c).back() == "$KV.flags.b=4");
}

TEST_CASE("what_others_write_into_a_bucket_does_not_stay", "[js]") {
    JsCloud c;
    Keeper keeper(c);
    keeper.bucket.keep({{"a", "1"}, {"b", "2"}});
    REQUIRE(c.run_until([&] { return keeper.bucket.is_kept(); }));
    c.publish("$KV.flags.a", "forged");
    c.publish("$KV.flags.strange", "x");
    c.publish("$KV.flags.b", "", {{"KV-Operation", "PURGE"}, {"Nats-Rollup", "sub"}});
    c.run_for(5s);
    std::vector<std::string> found = lines(c);
    std::sort(found.begin(), found.end());
    CHECK(found ==
          std::vector<std::string>{"$KV.flags.a=1", "$KV.flags.b=2", "$KV.flags.strange="});
    // Other changes of it are seen when it is looked at.
    c.api("STREAM.PURGE.KV_flags");
    c.run_for(bus::KeptBucket::kLookInterval + 5s);
    c.api("STREAM.DELETE.KV_flags");
    c.run_for(bus::KeptBucket::kLookInterval + 5s);
    CHECK(lines(c) == std::vector<std::string>{"$KV.flags.a=1", "$KV.flags.b=2"});
}

TEST_CASE("where_the_bus_keeps_no_streams_a_bucket_says_so", "[js]") {
    Cloud cloud;
    bus::Client& client = cloud.connect();
    bus::KeptBucket bucket(client, "flags", "for a test", Logger());
    bucket.keep({{"a", "1"}});
    cloud.world.run_for(30s);
    CHECK_FALSE(bucket.is_kept());
    CHECK(bucket.trouble() == "the bus keeps no streams for this space");
}

TEST_CASE("a_bucket_is_right_after_any_crash_of_the_bus", "[js]") {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        INFO("seed " << seed);
        JsCloud c(seed);
        SeededRandom random(seed);
        bus::KeptBucket::Entries wanted;
        for (int round = 0; round < 4; ++round) {
            {
                Keeper keeper(c);
                keeper.bucket.keep(wanted);
                c.disk->fail_after(random.below(30));
                for (int i = 0; i < 5; ++i) {
                    const std::string key = fmt::format("k{}", random.below(6));
                    if (random.below(3) == 0)
                        wanted.erase(key);
                    else
                        wanted[key] = std::to_string(random.below(1000));
                    keeper.bucket.keep(wanted);
                    c.run_for(std::chrono::milliseconds(random.below(100)));
                }
            }
            c.cut_power();
        }
        Keeper keeper(c);
        keeper.bucket.keep(wanted);
        REQUIRE(c.run_until([&] { return keeper.bucket.is_kept(); }, 60s));
        bus::KeptBucket::Entries found;
        for (const std::string& line : lines(c)) {
            const auto pair = split_once(line, '=');
            if (!pair->second.empty()) {
                found.emplace(pair->first.substr(std::string_view("$KV.flags.").size()),
                              pair->second);
            }
        }
        CHECK(found == wanted);
    }
}
