#include "http/error_pages.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "http/proxy_headers.h"
#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

std::shared_ptr<ErrorPages> pages() {
    auto made = std::make_shared<ErrorPages>();
    made->add("503", "<h1>soon</h1>");
    made->add("5xx", "plain words");
    return made;
}

RequestHead accepting(std::string_view accept) {
    RequestHead head;
    if (!accept.empty()) head.headers.add("Accept", accept);
    return head;
}

struct Paged : World {
    Paged() {
        made->pages = pages();
        made->maintenance_allowed = std::make_shared<TrustedPeers>();
        route_options = made;
        open_endpoint(1);
        UpstreamOptions held;
        held.hold_timeout = 1s;
        upstream->set_options(held);
    }
    std::string ask(std::string_view fields = "") {
        const auto client = connect();
        client->send("GET / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n");
        settle(3s);
        return client->take();
    }
    std::shared_ptr<RouteOptions> made = std::make_shared<RouteOptions>();
};

}  // namespace

TEST_CASE("the page of a status, or of its class, stands for the gateway's own words") {
    const auto made = pages();
    const auto answer = [&](int status, std::string_view accept = "") {
        return make_own_answer(accepting(accept), status, "it is away", Headers(), made.get());
    };
    CHECK(answer(503).body == "<h1>soon</h1>");
    CHECK(answer(503).head.headers.get("content-type") == "text/html; charset=utf-8");
    CHECK(answer(503).head.headers.get("content-length") == "13");
    CHECK(answer(503).head.headers.get("retry-after") == "2");
    CHECK(answer(502).body == "plain words");
    CHECK(answer(502).head.headers.get("content-type") == "text/plain; charset=utf-8");
    CHECK(answer(404).body == "404 Not Found: it is away\n");
    CHECK(answer(204).body.empty());
    const Headers later{{"Retry-After", "60"}};
    CHECK(make_own_answer(accepting(""), 503, "", later, nullptr).head.headers.get("retry-after") ==
          "60");
}

TEST_CASE("who takes JSON and not HTML gets a problem in JSON") {
    const auto made = pages();
    const auto answer =
        make_own_answer(accepting("application/json"), 503, "a \"b\" \xff", Headers(), made.get());
    CHECK(answer.head.headers.get("content-type") == "application/problem+json");
    CHECK(answer.body ==
          "{\"detail\":\"a \\\"b\\\" \xef\xbf\xbd\",\"status\":503,\"title\":\"Service "
          "Unavailable\"}\n");
    CHECK(prefers_json(Headers{{"accept", "text/plain, Application/JSON;q=0.5"}}));
    CHECK(prefers_json(Headers{{"accept", "application/vnd.api+json"}}));
    CHECK_FALSE(prefers_json(Headers{{"accept", "text/html, application/json"}}));
    CHECK_FALSE(prefers_json(Headers{{"accept", "*/*"}}));
    CHECK_FALSE(prefers_json(Headers()));
}

TEST_CASE("statuses that pages can be for") {
    for (const std::string_view good : {"400", "599", "4xx", "5xx"})
        CHECK(ErrorPages::is_status(good));
    for (const std::string_view bad : {"", "200", "600", "4XX", "40", "4040", "6xx", "+40"}) {
        CHECK_FALSE(ErrorPages::is_status(bad));
    }
}

TEST_CASE("a service without an instance has its page all the same") {
    Paged world;
    CHECK_THAT(world.ask(), StartsWith("HTTP/1.1 503") && EndsWith("\r\n\r\n<h1>soon</h1>"));
    // What the service says itself is not touched.
    world.route_to({1});
    const auto client = world.connect();
    client->send(kGet);
    world.settle();
    world.at[1].back()->send("HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nown");
    world.settle();
    CHECK_THAT(client->take(), EndsWith("\r\n\r\nown"));
}

TEST_CASE("maintenance answers everybody who is not allowed in") {
    Paged world;
    world.route_to({1});
    world.made->is_in_maintenance = true;
    world.made->maintenance_retry = 90s;
    CHECK_THAT(world.ask(), StartsWith("HTTP/1.1 503") && EndsWith("<h1>soon</h1>") &&
                                ContainsSubstring("Retry-After: 90\r\n"));
    CHECK(world.at[1].empty());
}
