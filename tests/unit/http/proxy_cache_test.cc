// The cache at work in a proxy: what clients get, and what the endpoint is asked.

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "http/response_cache.h"
#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

struct Cached : World {
    explicit Cached(CacheRules rules = {}, uint64_t bytes_max = 1 << 20, ProxyOptions options = {})
        : World(std::move(options)), cache(std::make_shared<ResponseCache>(bytes_max)) {
        auto made = std::make_shared<RouteOptions>();
        made->cache = std::make_shared<const CacheRules>(std::move(rules));
        route_options = made;
        UpstreamOptions upstream_options;
        upstream_options.has_cache = true;
        upstream->set_options(upstream_options);
        proxy->set_cache(cache);
        open_endpoint(1);
        route_to({1});
        client = connect();
    }
    ~Cached() override { client.reset(); }

    static std::string get(std::string_view target = "/", std::string_view fields = "",
                           std::string_view method = "GET") {
        return fmt::format("{} {} HTTP/1.1\r\nHost: shop.example\r\n{}\r\n", method, target,
                           fields);
    }
    static std::string ok(std::string_view fields, std::string_view body = "hello") {
        return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{}\r\n{}", body.size(), fields,
                           body);
    }
    // What the endpoint has been asked since; "": nothing.
    std::string asked() {
        std::string all;
        for (const auto& peer : at[1]) all += peer->take();
        return all;
    }
    void answer(std::string_view text) {
        for (const auto& peer : at[1]) {
            if (!peer->is_over()) last = peer.get();
        }
        last->send(text);
        settle();
    }
    // The client's answer; the endpoint gives `from_service` if it is asked.
    std::string ask(const std::string& request, std::string_view from_service = "") {
        client->send(request);
        settle();
        was_asked = asked();
        if (!was_asked.empty() && !from_service.empty()) answer(from_service);
        return client->take();
    }

    std::shared_ptr<ResponseCache> cache;
    std::unique_ptr<Peer> client;
    Peer* last = nullptr;
    std::string was_asked;
};

constexpr std::string_view kMinute = "Cache-Control: max-age=60\r\n";

}  // namespace

TEST_CASE("a stored answer is given without asking, with its age") {
    Cached world;
    CHECK_THAT(world.ask(world.get(), world.ok(kMinute)),
               ContainsSubstring("Cache-Status: candela; fwd=uri-miss; stored\r\n"));
    world.settle(10s);
    const std::string hit = world.ask(world.get());
    CHECK(world.was_asked.empty());
    CHECK_THAT(hit, StartsWith("HTTP/1.1 200 OK\r\n") && EndsWith("\r\n\r\nhello") &&
                        ContainsSubstring("Age: 10\r\n") &&
                        ContainsSubstring("Cache-Status: candela; hit; ttl=50\r\n") &&
                        ContainsSubstring("Content-Length: 5\r\n"));
    SECTION("also to HEAD, without its body") {
        CHECK_THAT(world.ask(world.get("/", "", "HEAD")),
                   ContainsSubstring("Content-Length: 5\r\n") && EndsWith("\r\n\r\n"));
        CHECK(world.was_asked.empty());
    }
    SECTION("to pipelined requests, in their order") {
        world.client->send(world.get() + world.get("/other") + world.get());
        world.settle();
        CHECK_THAT(world.asked(), StartsWith("GET /other "));
        world.answer(world.ok("", "second"));
        const std::string all = world.client->take();
        CHECK(count_of(all, "hello") == 2);
        CHECK(all.find("hello") < all.find("second"));
        CHECK(all.find("second") < all.rfind("hello"));
    }
    SECTION("to conditions and ranges") {
        CHECK_THAT(world.ask(world.get("/", "Range: bytes=1-2\r\n")),
                   StartsWith("HTTP/1.1 206") && EndsWith("\r\n\r\nel"));
        CHECK(world.was_asked.empty());
    }
    SECTION("not to another host, path, query or port") {
        for (const std::string_view target : {"/x", "/?", "/?a"}) {
            world.ask(world.get(target), world.ok(""));
            CHECK_FALSE(world.was_asked.empty());
        }
        world.ask("GET / HTTP/1.1\r\nHost: shop.example:81\r\n\r\n", world.ok(""));
        CHECK_FALSE(world.was_asked.empty());
        // The same in another spelling.
        world.ask("GET /a/.. HTTP/1.1\r\nHost: SHOP.example\r\n\r\n");
        CHECK(world.was_asked.empty());
    }
    SECTION("until it is stale") {
        world.settle(50s);
        world.ask(world.get(), world.ok(kMinute, "newer"));
        CHECK_FALSE(world.was_asked.empty());
        CHECK_THAT(world.ask(world.get()), EndsWith("newer"));
    }
    SECTION("and though no endpoint is left") {
        world.route_to({});
        CHECK_THAT(world.ask(world.get()), EndsWith("hello"));
    }
}

TEST_CASE("what is fetched for others has nothing of who asked first but what is told") {
    Cached world;
    world.ask(world.get("/",
                        "If-None-Match: \"x\"\r\nX-Forwarded-Host: evil.example\r\nForwarded: "
                        "host=evil.example\r\nX-Original-URL: /admin\r\nX-HTTP-Method-Override: "
                        "DELETE\r\nX_Forwarded_Host: evil\r\nTE: trailers\r\nConnection: TE\r\n"),
              world.ok(kMinute));
    for (const std::string_view name :
         {"If-None-Match", "evil", "X-Original-URL", "Override", "TE:", "trailers"}) {
        CAPTURE(name);
        CHECK_THAT(world.was_asked, !ContainsSubstring(std::string(name)));
    }
}

TEST_CASE("answers that vary are kept apart, a bounded number of them") {
    Cached world;
    const std::string_view varying = "Cache-Control: max-age=60\r\nVary: X-Kind\r\n";
    for (size_t i = 0; i <= ResponseCache::kVariantsMax; ++i) {
        world.ask(world.get("/", fmt::format("X-Kind: {}\r\n", i)),
                  world.ok(varying, fmt::format("kind {}", i)));
    }
    CHECK(world.cache->counters().answers == ResponseCache::kVariantsMax);
    CHECK_THAT(world.ask(world.get("/", "X-Kind: 3\r\n")), EndsWith("kind 3"));
    world.ask(world.get("/", "X-Kind: 0\r\n"), world.ok(varying));  // the oldest has gone
    CHECK_FALSE(world.was_asked.empty());
    world.ask(world.get(), world.ok(varying));
    CHECK_FALSE(world.was_asked.empty());
}

TEST_CASE("a stale answer is validated, and good again after a 304") {
    Cached world;
    world.ask(world.get(), world.ok("Cache-Control: max-age=60\r\nETag: \"v1\"\r\n"));
    world.settle(61s);
    const std::string again =
        world.ask(world.get(),
                  "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=60\r\n\r\n");
    CHECK_THAT(world.was_asked, ContainsSubstring("If-None-Match: \"v1\"\r\n"));
    CHECK_THAT(again, StartsWith("HTTP/1.1 200 OK") && EndsWith("hello") &&
                          ContainsSubstring("candela; fwd=stale; fwd-status=304; stored"));
    world.ask(world.get());
    CHECK(world.was_asked.empty());
    world.ask(world.get("/other"), world.ok(""));
    CHECK(world.at[1].size() == 2);  // the connection that brought the 304 was kept
    world.settle(61s);
    SECTION("or replaced by what came instead") {
        CHECK_THAT(world.ask(world.get(), world.ok(kMinute, "newer")), EndsWith("newer"));
        CHECK_THAT(world.ask(world.get()), EndsWith("newer"));
    }
    SECTION("and a 304 of something else is asked for again") {
        world.client->send(world.get());
        world.settle();
        world.asked();
        world.answer("HTTP/1.1 304 Not Modified\r\nETag: \"v2\"\r\n\r\n");
        CHECK_THAT(world.asked(), StartsWith("GET / ") && !ContainsSubstring("If-None-Match"));
        world.answer(world.ok(kMinute, "v2"));
        CHECK_THAT(world.client->take(), StartsWith("HTTP/1.1 200") && EndsWith("v2"));
    }
    SECTION("and stays where only this client's answer is not for others") {
        world.ask(world.get("/", "Cookie: a=b\r\n"), world.ok(kMinute, "mine"));
        CHECK(world.cache->counters().answers == 1);
    }
    SECTION("and gone where the answer is not for others any more") {
        world.ask(world.get(), world.ok("Cache-Control: private\r\n", "mine"));
        CHECK(world.cache->counters().answers == 0);
    }
}

TEST_CASE("a client that has the answer already is told so, and the cache gets it") {
    Cached world;
    const std::string conditional = world.get("/", "If-None-Match: \"v1\"\r\n");
    CHECK_THAT(world.ask(conditional, world.ok("Cache-Control: max-age=60\r\nETag: \"v1\"\r\n")),
               StartsWith("HTTP/1.1 304") && EndsWith("\r\n\r\n"));
    CHECK_THAT(world.ask(world.get()), EndsWith("hello"));
    CHECK(world.was_asked.empty());
    CHECK_THAT(world.ask(conditional), StartsWith("HTTP/1.1 304"));
}

TEST_CASE("many who want one answer cause one request") {
    Cached world;
    std::vector<std::unique_ptr<Peer>> clients;
    for (int i = 0; i < 20; ++i) {
        clients.push_back(world.connect());
        clients.back()->send(world.get());
    }
    world.settle();
    CHECK(count_of(world.asked(), "GET / ") == 1);
    SECTION("and all get what comes") {
        world.answer(world.ok(kMinute));
        world.settle();
        for (const auto& one : clients) CHECK_THAT(one->take(), EndsWith("hello"));
    }
    SECTION("what turns out not to be for others, each asks for itself") {
        world.answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: private\r\n\r\n");
        // The body is not waited for.
        CHECK(count_of(world.asked(), "GET / ") == 19);
        for (const auto& peer : world.at[1]) {
            if (peer.get() != world.last) peer->send(world.ok("Cache-Control: private\r\n"));
        }
        world.settle();
        for (size_t i = 1; i < clients.size(); ++i) {
            CHECK_THAT(clients[i]->take(), EndsWith("hello"));
        }
        // From now on nobody waits.
        for (int i = 0; i < 3; ++i) {
            clients.push_back(world.connect());
            clients.back()->send(world.get("/"));
        }
        world.settle();
        CHECK(count_of(world.asked(), "GET / ") == 3);
    }
    SECTION("where the first goes away, the next asks") {
        clients.front()->close();
        world.settle();
        CHECK(count_of(world.asked(), "GET / ") == 1);
        world.at[1].back()->send(world.ok(kMinute));
        world.settle();
        for (size_t i = 1; i < clients.size(); ++i) {
            CHECK_THAT(clients[i]->take(), EndsWith("hello"));
        }
    }
    SECTION("nobody waits longer than a while") {
        world.settle(5s);
        CHECK(count_of(world.asked(), "GET / ") == 19);
        for (const auto& peer : world.at[1]) peer->send(world.ok(kMinute));
        world.settle();
        for (const auto& one : clients) CHECK_THAT(one->take(), EndsWith("hello"));
    }
    SECTION("and a proxy that ends tells nobody who is no more") { clients.clear(); }
}

TEST_CASE("while a newer answer is fetched, the stale one does") {
    Cached world;
    world.ask(world.get(), world.ok("Cache-Control: max-age=10, stale-while-revalidate=30\r\n"));
    world.settle(11s);
    CHECK_THAT(world.ask(world.get()), EndsWith("hello") && ContainsSubstring("hit; ttl=-1"));
    CHECK_THAT(world.was_asked, StartsWith("GET / "));
    world.ask(world.get());
    CHECK(world.was_asked.empty());  // one fetch is enough
    world.answer(world.ok(kMinute, "newer"));
    CHECK_THAT(world.ask(world.get()), EndsWith("newer") && ContainsSubstring("hit; ttl="));
    CHECK(world.was_asked.empty());
    CHECK(world.statuses == std::vector<int>{200, 200, 200, 200});  // the fetch is not told of
}

TEST_CASE("where fetching fails, the stale answer does for a while") {
    Cached world;
    world.ask(world.get(), world.ok("Cache-Control: max-age=10, stale-if-error=60\r\n"));
    world.settle(11s);
    SECTION("after a server's error") {
        CHECK_THAT(world.ask(world.get(), "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"),
                   StartsWith("HTTP/1.1 200") && EndsWith("hello"));
    }
    SECTION("after one whose body does not come") {
        world.ask(world.get(), "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n");
        world.settle(2s);
        CHECK_THAT(world.client->take(), StartsWith("HTTP/1.1 200") && EndsWith("hello"));
    }
    SECTION("where nothing answers") {
        world.client->send(world.get());
        world.settle();
        world.close_endpoint(1);
        for (const auto& peer : world.at[1]) peer->close();
        world.settle(40s);
        CHECK_THAT(world.client->take(), StartsWith("HTTP/1.1 200") && EndsWith("hello"));
    }
    SECTION("also while another is fetching it already") {
        const auto first = world.connect();
        first->send(world.get());
        world.settle();
        world.client->send(world.get("/", "Cache-Control: no-cache\r\n"));
        world.settle();
        CHECK(count_of(world.asked(), "GET / ") == 2);
        for (const auto& peer : world.at[1]) {
            peer->send("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno");
        }
        world.settle();
        CHECK_THAT(first->take(), EndsWith("hello"));
        CHECK_THAT(world.client->take(), EndsWith("hello"));
    }
    SECTION("not for ever") {
        world.settle(60s);
        CHECK_THAT(world.ask(world.get(), "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"),
                   StartsWith("HTTP/1.1 500"));
    }
}

TEST_CASE("what changes a thing takes the stored answers with it") {
    Cached world;
    world.ask(world.get("/a"), world.ok(kMinute));
    world.ask(world.get("/b?x=1"), world.ok(kMinute));
    world.ask(world.get("/c"), world.ok(kMinute));
    const std::string post = world.get("/a", "Content-Length: 0\r\n", "POST");
    SECTION("and what it names") {
        world.ask(post,
                  "HTTP/1.1 201 Made\r\nContent-Length: 0\r\nLocation: "
                  "http://shop.example/b?x=1\r\nContent-Location: http://other.example/c\r\n\r\n");
        world.ask(world.get("/a"), world.ok(kMinute));
        CHECK_FALSE(world.was_asked.empty());
        world.ask(world.get("/b?x=1"), world.ok(kMinute));
        CHECK_FALSE(world.was_asked.empty());
        world.ask(world.get("/c"));
        CHECK(world.was_asked.empty());
    }
    SECTION("unless it fails") {
        world.ask(post, "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
        world.ask(world.get("/a"));
        CHECK(world.was_asked.empty());
    }
}

TEST_CASE("what was asked before a purge is not kept after it") {
    Cached world;
    world.client->send(world.get("/a/b"));
    world.settle();
    world.asked();
    CHECK(world.cache->purge({"default/hello", "", "/a", true}) == 0);
    world.answer(world.ok(kMinute));
    CHECK_THAT(world.client->take(), EndsWith("hello"));
    CHECK(world.cache->counters().answers == 0);
}

TEST_CASE("a purge takes what it names") {
    Cached world;
    for (const std::string_view target : {"/a", "/a/b", "/ab", "/a?q", "/c"}) {
        world.ask(world.get(target), world.ok(kMinute));
    }
    SECTION("a path, with any query") {
        CHECK(world.cache->purge({"default/hello", "", "/a", false}) == 2);
    }
    SECTION("all below it") { CHECK(world.cache->purge({"default/hello", "", "/a", true}) == 3); }
    SECTION("all") { CHECK(world.cache->purge({"default/hello", "", "/", true}) == 5); }
    SECTION("of its host") {
        CHECK(world.cache->purge({"default/hello", "other.example", "/", true}) == 0);
        CHECK(world.cache->purge({"default/hello", "shop.example", "/", true}) == 5);
    }
    SECTION("of its service") { CHECK(world.cache->purge({"default/hell", "", "/", true}) == 0); }
}

TEST_CASE("a client can say what it takes") {
    Cached world;
    CHECK_THAT(world.ask(world.get("/", "Cache-Control: only-if-cached\r\n")),
               StartsWith("HTTP/1.1 504"));
    CHECK(world.was_asked.empty());
    world.ask(world.get(), world.ok(kMinute));
    CHECK_THAT(world.ask(world.get("/", "Cache-Control: only-if-cached\r\n")), EndsWith("hello"));
    world.ask(world.get("/", "Cache-Control: no-cache\r\n"), world.ok(kMinute, "newer"));
    CHECK_FALSE(world.was_asked.empty());
    CHECK_THAT(world.ask(world.get()), EndsWith("newer"));
    CHECK_THAT(world.ask(world.get("/", "Cache-Control: no-store\r\n"), world.ok(kMinute, "own")),
               EndsWith("own") && ContainsSubstring("fwd=bypass"));
    CHECK_THAT(world.ask(world.get()), EndsWith("newer"));
}

TEST_CASE("what is larger than a route keeps passes by, however it comes") {
    CacheRules rules;
    rules.object_bytes_max = 8;
    Cached world(rules);
    const std::string chunked =
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n";
    CHECK_THAT(world.ask(world.get(), chunked), EndsWith("0\r\n\r\n"));
    world.ask(world.get(), world.ok(kMinute, "123456789"));
    CHECK_FALSE(world.was_asked.empty());
    CHECK(world.cache->counters().answers == 0);
    CHECK(world.cache->counters().filling_bytes == 0);
    world.ask(world.get(), world.ok(kMinute, "12345678"));
    CHECK_THAT(world.ask(world.get()), EndsWith("12345678"));
}

TEST_CASE("an answer that breaks off is not kept") {
    Cached world;
    world.ask(world.get(),
              "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nCache-Control: max-age=60\r\n\r\nhel");
    world.last->close();
    world.settle();
    CHECK(world.cache->counters().answers == 0);
    CHECK(world.cache->counters().filling_bytes == 0);
}

TEST_CASE("the cache keeps to its size, and what was asked for last") {
    Cached world(CacheRules(), 16 * 1024);
    const std::string body(2000, 'x');
    for (int i = 0; i < 20; ++i) {
        world.ask(world.get(fmt::format("/{}", i)), world.ok(kMinute, body));
        world.ask(world.get("/0"));
        CHECK(world.was_asked.empty());
        CHECK(world.cache->counters().bytes <= 16 * 1024);
    }
    CHECK(world.cache->counters().evicted > 10);
    world.cache->set_bytes_max(0);
    CHECK(world.cache->counters().answers == 0);
    CHECK(world.cache->counters().bytes == 0);
}

TEST_CASE("a large stored answer goes out as fast as the client takes it") {
    CacheRules rules;
    rules.object_bytes_max = 8 << 20;
    ProxyOptions options;
    options.buffer_bytes_max = 64 * 1024;
    Cached world(rules, 64 << 20, std::move(options));
    const std::string body(4 << 20, 'y');
    world.ask(world.get(), world.ok(kMinute, body));
    world.settle(1s);
    world.client->take();
    world.client->pause();
    world.client->send(world.get());
    world.settle();
    CHECK(world.asked().empty());
    CHECK(world.client->received.size() < body.size());
    world.client->resume();
    world.settle(1s);
    CHECK(world.client->take().size() > body.size());
}

TEST_CASE("what is stored is compressed for those who take it, and its parts are not") {
    Cached world;
    auto made = std::make_shared<RouteOptions>();
    made->cache = world.route_options->cache;
    made->compress = true;
    world.route_options = made;
    const std::string text(2000, 'z');
    world.ask(world.get(),
              world.ok("Cache-Control: max-age=60\r\nContent-Type: text/plain\r\n", text));
    CHECK_THAT(world.ask(world.get("/", "Accept-Encoding: gzip\r\n")),
               ContainsSubstring("Content-Encoding: gzip"));
    CHECK(world.was_asked.empty());
    CHECK_THAT(world.ask(world.get("/", "Accept-Encoding: gzip\r\nRange: bytes=0-999\r\n")),
               StartsWith("HTTP/1.1 206") && !ContainsSubstring("Content-Encoding"));
}
