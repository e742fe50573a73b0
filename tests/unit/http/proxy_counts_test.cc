// How an endpoint's answers are counted where somebody judges them.

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

class CountedWorld : public World {
public:
    explicit CountedWorld(ProxyOptions options = ProxyOptions()) : World(std::move(options)) {}
    ~CountedWorld() override = default;

    void count_at(std::initializer_list<int> numbers) {
        std::vector<EndpointSpec> specs;
        for (const int number : numbers) {
            specs.push_back(spec(number));
            auto& made = counts[number];
            if (made == nullptr) made = std::make_shared<AnswerCounts>();
            specs.back().counts = made;
        }
        upstream->update(std::move(specs));
    }
    uint64_t answers(int number) { return counts[number]->answers.load(); }
    uint64_t failures(int number) { return counts[number]->failures.load(); }
    // How many took about that long.
    uint64_t took(int number, Duration time) {
        return counts[number]->latency[latency_bucket(time)].load();
    }
    // One request, answered by endpoint 1 after a time.
    void ask(Peer& client, std::string_view answer, Duration after = 0s) {
        client.send(kGet);
        settle();
        settle(after);
        at[1].back()->send(answer);
        settle();
    }

    std::map<int, std::shared_ptr<AnswerCounts>> counts;
};

constexpr std::string_view kUnavailable =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
constexpr std::string_view kMissing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

}  // namespace

TEST_CASE("answers are counted by whether they are failures, and by the time they took") {
    CountedWorld world;
    world.open_endpoint(1);
    world.count_at({1});
    auto client = world.connect();
    world.ask(*client, kOk);
    world.ask(*client, kMissing);
    world.ask(*client, kUnavailable, 950ms);
    CHECK(world.answers(1) == 3);
    CHECK(world.failures(1) == 1);
    CHECK(world.took(1, 50ms) == 2);
    CHECK(world.took(1, 1s) == 1);
}

TEST_CASE("a refused connection is a failure of the one that refuses, and of no other") {
    CountedWorld world;
    world.open_endpoint(2);
    world.count_at({1, 2});
    for (int i = 0; i < 8; ++i) {
        auto client = world.connect();
        client->send(kGet);
        world.settle();
        world.at[2].back()->send(kOk);
        world.settle();
        CHECK_THAT(client->take(), EndsWith("ok"));
    }
    CHECK(world.answers(2) == 8);
    CHECK(world.failures(2) == 0);
    CHECK(world.answers(1) >= 1);
    CHECK(world.failures(1) == world.answers(1));
}

TEST_CASE("an endpoint that breaks without a word, or in the middle, has failed") {
    CountedWorld world;
    world.open_endpoint(1);
    world.count_at({1});
    auto client = world.connect();
    client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    world.settle();
    world.at[1].back()->close();
    world.settle();
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 502 "));
    CHECK(world.answers(1) == 1);
    CHECK(world.failures(1) == 1);
    client->send(kGet);
    world.settle();
    world.at[1].back()->send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf");
    world.settle();
    world.at[1].back()->close();
    world.settle();
    CHECK(world.answers(1) == 2);
    CHECK(world.failures(1) == 2);
}

TEST_CASE("a pooled connection that turns out closed is nobody's failure") {
    CountedWorld world;
    world.open_endpoint(1);
    world.count_at({1});
    auto client = world.connect();
    world.ask(*client, kOk);
    client->send(kGet);
    world.settle();
    world.at[1][0]->close();
    world.settle();
    REQUIRE(world.at[1].size() == 2);
    world.at[1][1]->send(kOk);
    world.settle();
    CHECK(world.answers(1) == 2);
    CHECK(world.failures(1) == 0);
}

TEST_CASE("an endpoint that is silent for too long has failed, after that time") {
    ProxyOptions options;
    options.response_timeout = 10s;
    CountedWorld world(options);
    world.open_endpoint(1);
    world.count_at({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle(11s);
    CHECK_THAT(client->take(), StartsWith("HTTP/1.1 504 "));
    CHECK(world.answers(1) == 1);
    CHECK(world.failures(1) == 1);
    CHECK(world.took(1, 10s) == 1);
}

TEST_CASE("a client that does not wait any longer counts as served after that time") {
    CountedWorld world;
    world.open_endpoint(1);
    world.count_at({1});
    auto client = world.connect();
    client->send(kGet);
    world.settle(4s);
    client->close();
    world.settle();
    CHECK(world.answers(1) == 1);
    CHECK(world.failures(1) == 0);
    CHECK(world.took(1, 4s) == 1);
}

TEST_CASE("the time of an upload is not the endpoint's") {
    CountedWorld world;
    world.open_endpoint(1);
    world.count_at({1});
    auto client = world.connect();
    client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n");
    for (int i = 0; i < 4; ++i) {
        world.settle(1s);
        client->send(std::string(5000, 'x'));
    }
    world.settle(1ms);
    world.at[1].back()->send(kOk);
    world.settle();
    CHECK(world.answers(1) == 1);
    CHECK(world.took(1, 4s) == 0);
}

TEST_CASE("counting begins and ends with a change of the endpoints") {
    CountedWorld world;
    world.open_endpoint(1);
    world.route_to({1});
    auto client = world.connect();
    world.ask(*client, kOk);
    world.count_at({1});
    world.ask(*client, kOk);
    world.route_to({1});
    world.ask(*client, kOk);
    CHECK(world.answers(1) == 1);
    CHECK(world.at[1].size() == 1);  // it kept its connection all the time
}
