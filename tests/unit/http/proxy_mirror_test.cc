// Copies of requests for another service: what it gets, and that nothing it does is felt.

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "http/detached_request.h"
#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

struct Mirrored : World {
    Mirrored() : shadow(std::make_unique<Upstream>(loop, "default/next", UpstreamOptions())) {
        auto made = std::make_shared<RouteOptions>();
        made->mirror = MirrorRules{"default/next", 100, 16};
        made->request_fields = FieldEdits({{"Authorization", ""}, {"X-Set", "1"}});
        made->requests_max = 1;
        route_options = made;
        open_endpoint(1);
        open_endpoint(2);
        route_to({1});
        shadow->update({spec(2)});
        client = connect();
    }
    ~Mirrored() override {
        client.reset();
        proxy.reset();
    }
    RouteResult route(const RouteRequest& request) override {
        RouteResult result = World::route(request);
        result.mirror = shadow.get();
        return result;
    }
    std::string asked(int number) {
        std::string all;
        for (const auto& peer : at[number]) all += peer->take();
        return all;
    }
    uint64_t dropped() const { return proxy->counters().mirrors_dropped; }
    uint64_t answered() const { return proxy->counters().mirrors_answered; }
    uint64_t failed() const { return proxy->counters().mirrors_failed; }

    std::unique_ptr<Upstream> shadow;
    std::unique_ptr<Peer> client;
};

constexpr std::string_view kSecret =
    "GET /a?b HTTP/1.1\r\nHost: shop.example\r\nAuthorization: Basic x\r\n\r\n";
constexpr std::string_view kPost =
    "POST /a HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n";

}  // namespace

TEST_CASE("a mirror gets the request as the service does, and says nothing to the client") {
    Mirrored world;
    world.client->send(kSecret);
    world.settle();
    CHECK_THAT(world.asked(1), StartsWith("GET /a?b ") && ContainsSubstring("X-Set: 1") &&
                                   !ContainsSubstring("Mirror"));
    CHECK_THAT(world.asked(2), StartsWith("GET /a?b ") && ContainsSubstring("Host: shop.example") &&
                                   ContainsSubstring("X-Candela-Mirror: default/hello\r\n") &&
                                   ContainsSubstring("X-Set: 1") &&
                                   !ContainsSubstring("Authorization"));
    world.at[2].back()->send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nshadow");
    world.settle();
    CHECK(world.client->take().empty());
    CHECK(world.answered() == 1);
    world.at[1].back()->send(kOk);
    world.settle();
    CHECK_THAT(world.client->take(), EndsWith("ok"));
    CHECK(world.statuses == std::vector<int>{200});
}

TEST_CASE("a mirror that is slow, broken or gone is not felt") {
    Mirrored world;
    const auto ask = [&] {
        world.client->send(kSecret);
        world.settle();
        world.at[1].back()->send(kOk);
        world.settle();
        CHECK_THAT(world.client->take(), EndsWith("ok"));
    };
    SECTION("it never answers") {
        for (int i = 0; i < 5; ++i) ask();  // also beyond the route's one request at a time
        world.settle(DetachedRequest::kMirrorTimeMax);
        CHECK(world.failed() == 5);
    }
    SECTION("it breaks off") {
        world.client->send(kSecret);
        world.settle();
        world.at[2].back()->close();
        world.settle();
        world.at[1].back()->send(kOk);
        world.settle();
        CHECK_THAT(world.client->take(), EndsWith("ok"));
    }
    SECTION("it is not there") {
        world.close_endpoint(2);
        ask();
        world.settle(40s);
        CHECK(world.failed() == 1);
    }
    SECTION("it fails") {
        ask();
        world.at[2].back()->send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        world.settle();
        CHECK(world.failed() == 1);
    }
    SECTION("its service leaves the table") {
        ask();
        world.proxy->retire(std::move(world.shadow));
        world.at[2].back()->send(kOk);
        world.settle();
    }
}

TEST_CASE("a body goes along, up to the limit") {
    Mirrored world;
    world.client->send(std::string(kPost) + "5\r\nhello\r\n");
    world.settle();
    CHECK_THAT(world.asked(1), EndsWith("hello\r\n"));
    CHECK(world.at[2].empty());
    SECTION("whole, with its length") {
        world.client->send("5\r\nworld\r\n0\r\n\r\n");
        world.settle();
        CHECK_THAT(world.asked(2),
                   ContainsSubstring("Content-Length: 10\r\n") && EndsWith("\r\n\r\nhelloworld"));
    }
    SECTION("or not at all") {
        world.client->send("c\r\nand too much\r\n0\r\n\r\n");
        world.settle();
        CHECK(world.at[2].empty());
        CHECK(world.dropped() == 1);
    }
    SECTION("nor where the client breaks off") {
        world.client->close();
        world.settle();
        CHECK(world.at[2].empty());
    }
}

TEST_CASE("no more copies than a number are on their way") {
    Mirrored world;
    for (size_t i = 0; i < DetachedRequest::kRequestsMax + 10; ++i) {
        world.client->send(kSecret);
        world.settle();
        world.at[1].back()->send(kOk);
        world.settle();
    }
    CHECK(world.dropped() == 10);
    CHECK(count_of(world.client->take(), "ok") == DetachedRequest::kRequestsMax + 10);
}
