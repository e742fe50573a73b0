// What a route's options make of requests and answers.

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "base/encoding.h"
#include "crypto/password.h"
#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

struct Routed : World {
    explicit Routed(ProxyOptions proxy_options = {}) : World(std::move(proxy_options)) {
        open_endpoint(1);
        route_to({1});
        client = connect();
        route_options = made;
    }
    // What the client is answered without the endpoint, or what the endpoint sees.
    std::string ask(std::string_view head, std::string_view body = "") {
        client->send(fmt::format("{}\r\nHost: shop.example\r\n\r\n{}", head, body));
        settle();
        return at[1].empty() ? client->take() : at[1].back()->take();
    }
    std::string answer(std::string_view text) {
        at[1].back()->send(text);
        settle();
        return client->take();
    }

    std::shared_ptr<RouteOptions> made = std::make_shared<RouteOptions>();
    std::unique_ptr<Peer> client;
};

Cors cors() {
    Cors made;
    made.origins = {"https://app.example"};
    made.methods = "GET, PUT";
    made.headers = "X-Own";
    made.exposed_headers = "X-Count";
    made.max_age = 5min;
    return made;
}

}  // namespace

TEST_CASE("the service sees another path than the client asked for") {
    Routed world;
    world.prefix_bytes = 4;  // "/api"
    SECTION("without the prefix") {
        world.made->rewrite = "";
        CHECK_THAT(world.ask("GET /api/users?a=1 HTTP/1.1"), StartsWith("GET /users?a=1 "));
    }
    SECTION("the prefix alone") {
        world.made->rewrite = "";
        CHECK_THAT(world.ask("GET /api?a=1 HTTP/1.1"), StartsWith("GET /?a=1 "));
    }
    SECTION("another prefix") {
        world.made->rewrite = "/v2/x";
        CHECK_THAT(world.ask("GET /api/users HTTP/1.1"), StartsWith("GET /v2/x/users "));
    }
    SECTION("and is told what is missing") {
        world.made->rewrite = "";
        CHECK_THAT(world.ask("GET /api/ HTTP/1.1"), ContainsSubstring("X-Forwarded-Prefix: /api"));
    }
}

TEST_CASE("a redirect keeps what follows the route's path, and the query") {
    Routed world;
    world.prefix_bytes = 4;
    world.made->redirect = "https://new.example/base/";
    world.made->redirect_status = 301;
    const std::string answer = world.ask("GET /old/a/b?q=1 HTTP/1.1");
    CHECK_THAT(answer, StartsWith("HTTP/1.1 301 Moved Permanently\r\n") &&
                           ContainsSubstring("Location: https://new.example/base/a/b?q=1\r\n"));
    CHECK(world.at[1].empty());
}

TEST_CASE("plain HTTP is led to HTTPS") {
    ProxyOptions options;
    options.https_port = 8443;
    Routed world(std::move(options));
    world.made->https_only = true;
    CHECK_THAT(world.ask("POST /a?b=c HTTP/1.1\r\nContent-Length: 0"),
               StartsWith("HTTP/1.1 308 Permanent Redirect\r\n") &&
                   ContainsSubstring("Location: https://shop.example:8443/a?b=c\r\n"));
}

TEST_CASE("X-Forwarded-Proto of a stranger does not count as HTTPS") {
    Routed world;
    world.made->https_only = true;
    CHECK_THAT(world.ask("GET / HTTP/1.1\r\nX-Forwarded-Proto: https"), StartsWith("HTTP/1.1 308"));
}

TEST_CASE("an answer in the service's stead") {
    Routed world;
    world.made->answer_status = 503;
    world.made->answer_text = "back at noon";
    CHECK_THAT(world.ask("GET / HTTP/1.1"), StartsWith("HTTP/1.1 503 Service Unavailable\r\n") &&
                                                ContainsSubstring("back at noon") &&
                                                ContainsSubstring("Retry-After"));
    CHECK(world.at[1].empty());
}

TEST_CASE("fields are set and removed on the way to the service and back") {
    Routed world;
    world.made->request_fields =
        FieldEdits({{"X-Env", "prod"}, {"X-Debug", ""}, {"Host", "inner.example"}});
    world.made->answer_fields =
        FieldEdits({{"Strict-Transport-Security", "max-age=60"}, {"Server", ""}});
    const std::string seen = world.ask("GET / HTTP/1.1\r\nx-env: forged\r\nx-debug: 1\r\nA: 2");
    CHECK_THAT(seen, ContainsSubstring("Host: inner.example\r\n") &&
                         ContainsSubstring("X-Env: prod\r\n") && ContainsSubstring("A: 2\r\n") &&
                         ContainsSubstring("X-Forwarded-Host: shop.example\r\n"));
    CHECK_THAT(seen, !ContainsSubstring("forged") && !ContainsSubstring("x-debug") &&
                         !ContainsSubstring("X-Debug"));
    CHECK(count_of(seen, "Host: ") == 2);  // and X-Forwarded-Host
    const std::string got =
        world.answer("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\nB: 1\r\n\r\n");
    CHECK_THAT(got, ContainsSubstring("Strict-Transport-Security: max-age=60\r\n") &&
                        ContainsSubstring("B: 1\r\n") && !ContainsSubstring("Server:"));
}

TEST_CASE("a preflight is answered, and the service is not asked") {
    Routed world;
    world.made->cors = cors();
    const std::string_view preflight =
        "OPTIONS /a HTTP/1.1\r\nOrigin: {}\r\nAccess-Control-Request-Method: PUT";
    SECTION("from an allowed origin") {
        const std::string answer =
            world.ask(fmt::format(fmt::runtime(preflight), "https://app.example"));
        CHECK_THAT(answer,
                   StartsWith("HTTP/1.1 204 No Content\r\n") &&
                       ContainsSubstring("Access-Control-Allow-Origin: https://app.example\r\n") &&
                       ContainsSubstring("Access-Control-Allow-Methods: GET, PUT\r\n") &&
                       ContainsSubstring("Access-Control-Allow-Headers: X-Own\r\n") &&
                       ContainsSubstring("Access-Control-Max-Age: 300\r\n") &&
                       ContainsSubstring("Vary: Origin\r\n") && EndsWith("\r\n\r\n"));
        CHECK_THAT(answer, !ContainsSubstring("Content-Length"));
        // The connection goes on.
        CHECK_THAT(world.ask("GET / HTTP/1.1"), StartsWith("GET / "));
    }
    SECTION("from another") {
        const std::string answer =
            world.ask(fmt::format(fmt::runtime(preflight), "https://evil.example"));
        CHECK_THAT(answer, StartsWith("HTTP/1.1 403 ") &&
                               !ContainsSubstring("Access-Control-Allow-Origin"));
    }
    CHECK(world.statuses.size() >= 1);
}

TEST_CASE("answers say which origin may read them, whatever the service says") {
    Routed world;
    world.made->cors = cors();
    world.ask("GET / HTTP/1.1\r\nOrigin: https://app.example");
    const std::string got = world.answer(
        "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok");
    CHECK(count_of(got, "Access-Control-Allow-Origin: ") == 1);
    CHECK_THAT(got, ContainsSubstring("Access-Control-Allow-Origin: https://app.example\r\n") &&
                        ContainsSubstring("Access-Control-Expose-Headers: X-Count\r\n"));
    world.ask("GET / HTTP/1.1\r\nOrigin: https://evil.example");
    const std::string other = world.answer(kOk);
    CHECK_THAT(other, ContainsSubstring("Vary: Origin") &&
                          !ContainsSubstring("Access-Control-Allow-Origin"));
}

TEST_CASE("a browser's script may read the proxy's own errors, too") {
    Routed world;
    world.made->cors = cors();
    world.ask("GET / HTTP/1.1\r\nOrigin: https://app.example");
    const std::string got = world.answer("this is not HTTP\r\n");
    CHECK_THAT(got, StartsWith("HTTP/1.1 502 ") &&
                        ContainsSubstring("Access-Control-Allow-Origin: https://app.example\r\n"));
}

TEST_CASE("a client that asks too often is told when to come again") {
    SeededRandom random(1);
    Routed world;
    world.made->rate_limiter = std::make_shared<RateLimiter>(2, 10s, 2, KeyedHash(random));
    for (int i = 0; i < 2; ++i) {
        CHECK_THAT(world.ask("GET / HTTP/1.1"), StartsWith("GET / "));
        CHECK_THAT(world.answer(kOk), EndsWith("ok"));
    }
    world.client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    world.settle();
    CHECK_THAT(world.client->take(), StartsWith("HTTP/1.1 429 Too Many Requests\r\n") &&
                                         ContainsSubstring("Retry-After: 5\r\n"));
    world.settle(5s);
    CHECK_THAT(world.ask("GET / HTTP/1.1"), StartsWith("GET / "));
}

TEST_CASE("users with their password come in, others are asked for it") {
    Routed world;
    const std::string hash = *crypto::hash_password("open sesame");
    world.made->basic_auth = std::make_shared<BasicAuth>(
        std::map<std::string, std::string, std::less<>>{{"ada", hash}}, "the lab");
    const auto login = [](std::string_view text) {
        return "GET / HTTP/1.1\r\nAuthorization: Basic " + base64_encode(as_bytes(text));
    };
    CHECK_THAT(world.ask("GET / HTTP/1.1"),
               StartsWith("HTTP/1.1 401 Unauthorized\r\n") &&
                   ContainsSubstring("WWW-Authenticate: Basic realm=\"the lab\""));
    CHECK_THAT(world.ask("GET / HTTP/1.1\r\nAuthorization: Basic ????"),
               StartsWith("HTTP/1.1 401"));
    CHECK_THAT(world.ask("GET / HTTP/1.1\r\nAuthorization: Bearer x"), StartsWith("HTTP/1.1 401"));
    for (const char* wrong : {"ada:open", "bob:open sesame", "ada:", ":", "ada"}) {
        CHECK_THAT(world.ask(login(wrong)), StartsWith("HTTP/1.1 401"));
    }
    CHECK(world.at[1].empty());
    for (int i = 0; i < 2; ++i) {  // looked up, and known
        const std::string seen = world.ask(login("ada:open sesame"));
        CHECK_THAT(seen, StartsWith("GET / ") && ContainsSubstring("X-Forwarded-User: ada\r\n"));
        world.answer(kOk);
        world.settle();
    }
    CHECK(world.made->basic_auth->knows({"ada", "open sesame"}));
    CHECK_FALSE(world.made->basic_auth->knows({"ada", "open"}));
}

TEST_CASE("a client that leaves while its password is checked leaves nothing") {
    Routed world;
    world.made->requests_max = 1;
    world.made->basic_auth = std::make_shared<BasicAuth>(
        std::map<std::string, std::string, std::less<>>{{"ada", *crypto::hash_password("x")}},
        "lab");
    const std::string login = "Authorization: Basic " + base64_encode(as_bytes("ada:x"));
    world.client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n" + login +
                       "\r\n\r\nbo");
    world.client->close();
    world.settle(1s);
    CHECK(world.at[1].empty());
    CHECK(world.proxy->counters().requests_in_flight == 0);
    auto next = world.connect();
    next->send("GET / HTTP/1.1\r\nHost: a\r\n" + login + "\r\n\r\n");
    world.settle(1s);
    REQUIRE(world.at[1].size() == 1);
}

TEST_CASE("no more passwords are checked at once than the pool bears") {
    BasicAuth auth({{"ada", *crypto::hash_password("x")}}, "lab");
    for (uint32_t i = 0; i < BasicAuth::kChecksMax; ++i) CHECK(auth.begin_check());
    CHECK_FALSE(auth.begin_check());
    auth.end_check();
    CHECK(auth.begin_check());
}

TEST_CASE("a rate can be counted by a field") {
    SeededRandom random(1);
    Routed world;
    world.made->rate_limiter = std::make_shared<RateLimiter>(1, 1min, 1, KeyedHash(random));
    world.made->rate_key_field = "x-api-key";
    CHECK_THAT(world.ask("GET / HTTP/1.1\r\nX-Api-Key: a"), StartsWith("GET / "));
    world.answer(kOk);
    CHECK_THAT(world.ask("GET / HTTP/1.1\r\nX-Api-Key: b"), StartsWith("GET / "));
    world.answer(kOk);
    world.client->send("GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: a\r\n\r\n");
    world.settle();
    CHECK_THAT(world.client->take(), StartsWith("HTTP/1.1 429 "));
}

TEST_CASE("no more requests are in flight than the route allows") {
    Routed world;
    world.made->requests_max = 1;
    auto second = world.connect();
    CHECK_THAT(world.ask("GET / HTTP/1.1"), StartsWith("GET / "));
    second->send(kGet);
    world.settle();
    CHECK_THAT(second->take(), StartsWith("HTTP/1.1 503 "));
    world.answer(kOk);
    second->send(kGet);
    world.settle();
    CHECK_THAT(world.at[1].back()->take(), StartsWith("GET / "));
    // One that leaves makes room, too.
    second->close();
    world.settle();
    CHECK_THAT(world.ask("GET / HTTP/1.1"), StartsWith("GET / "));
}

TEST_CASE("a route's own limit of a body stands instead of the proxy's") {
    ProxyOptions options;
    options.body_bytes_max = 4;
    Routed world(std::move(options));
    world.made->body_bytes_max = 8;
    SECTION("smaller") {
        CHECK_THAT(world.ask("POST / HTTP/1.1\r\nContent-Length: 8", "12345678"),
                   EndsWith("12345678"));
    }
    SECTION("known to be larger") {
        CHECK_THAT(world.ask("POST / HTTP/1.1\r\nContent-Length: 9"), StartsWith("HTTP/1.1 413 "));
    }
    SECTION("found to be larger") {
        world.client->send(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n");
        world.settle();
        CHECK_THAT(world.client->take(), StartsWith("HTTP/1.1 413 "));
    }
}

TEST_CASE("a route's own patience stands instead of the proxy's") {
    Routed world;
    world.made->response_timeout = 3s;
    world.ask("GET / HTTP/1.1");
    world.settle(2s);
    CHECK(world.client->received.empty());
    world.settle(2s);
    CHECK_THAT(world.client->take(), StartsWith("HTTP/1.1 504 "));
}
