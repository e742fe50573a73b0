#include "route_table.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "service/route.h"
#include "tls/authority.h"

using namespace candela;

namespace {

proto::RouteService serve(std::string name, std::vector<proto::Route> routes) {
    proto::RouteService out;
    out.space = "default";
    out.service = std::move(name);
    out.kind = "http";
    out.routes = std::move(routes);
    return out;
}

std::string found(const gateway::RouteTable& table, std::string_view host, std::string_view path) {
    http::RequestHead head;
    head.method = "GET";
    const auto match = table.find(http::RouteRequest{head, host, path, ""});
    return match ? match->service->service : "none";
}

size_t prefix_bytes(const gateway::RouteTable& table, std::string_view host,
                    std::string_view path) {
    return table.find(http::RouteRequest{http::RequestHead(), host, path, ""})->prefix_bytes;
}

// A route with settings, as the lighthouse writes it.
proto::Route route(service::Route source) {
    return proto::Route(source.host, source.path, service::to_json(source).dump());
}

struct Asked {
    std::string_view host = "a.example";
    std::string_view path = "/";
    std::string_view method = "GET";
    std::string_view query;
    http::Headers headers;
};

std::string found(const gateway::RouteTable& table, const Asked& asked) {
    http::RequestHead head;
    head.method = asked.method;
    head.headers = asked.headers;
    const auto match = table.find(http::RouteRequest{head, asked.host, asked.path, asked.query});
    return match ? match->service->service : "none";
}

}  // namespace

TEST_CASE("hosts with routes for client certificates have their clients asked for one") {
    service::Route some;
    some.host = "*.Example.org";
    some.client_certificate.emplace();
    some.client_certificate->ca =
        tls::Authority::create("people", std::chrono::system_clock::now(), 24h)->ca_pem();
    service::Route any = some;
    any.host = "";
    proto::RouteTable source;
    source.services.push_back(serve("a", {{"open.example", "/"}, route(some), route(any)}));
    const gateway::RouteTable table(source);
    REQUIRE(table.certificate_asks().size() == 2);
    CHECK(table.certificate_asks()[0].host == "*.example.org");
    CHECK(table.certificate_asks()[1].host.empty());
    // What stays the same keeps its authority, and so what connections know of it.
    const gateway::RouteTable newer(source, &table);
    CHECK(newer.certificate_asks()[0].authority == table.certificate_asks()[0].authority);
}

TEST_CASE("the longest prefix on a segment border wins") {
    proto::RouteTable source;
    source.services.push_back(serve("root", {{"", "/"}}));
    source.services.push_back(serve("api", {{"", "/api"}}));
    source.services.push_back(serve("users", {{"", "/api/users/"}}));
    const gateway::RouteTable table(source);
    CHECK(found(table, "any.example", "/") == "root");
    CHECK(found(table, "any.example", "/api") == "api");
    CHECK(found(table, "any.example", "/api/") == "api");
    CHECK(found(table, "any.example", "/apix") == "root");
    CHECK(found(table, "any.example", "/api/user") == "api");
    CHECK(found(table, "any.example", "/api/users") == "users");
    CHECK(found(table, "any.example", "/api/users/7/posts") == "users");
    CHECK(found(table, "any.example", "/api/usersx") == "api");
    CHECK(prefix_bytes(table, "", "/api/users/7") == 10);
}

TEST_CASE("an exact host comes before any host, and falls back to it") {
    proto::RouteTable source;
    source.services.push_back(serve("any", {{"", "/"}}));
    source.services.push_back(serve("shop", {{"Shop.example", "/cart"}}));
    const gateway::RouteTable table(source);
    CHECK(found(table, "shop.example", "/cart/1") == "shop");
    CHECK(found(table, "shop.example", "/other") == "any");
    CHECK(found(table, "other.example", "/cart/1") == "any");
}

TEST_CASE("no route is no match") {
    proto::RouteTable source;
    source.services.push_back(serve("api", {{"a.example", "/api"}}));
    const gateway::RouteTable table(source);
    CHECK(found(table, "a.example", "/") == "none");
    CHECK(found(table, "b.example", "/api") == "none");
    CHECK(found(table, "", "") == "none");
}

TEST_CASE("a route that two services claim belongs to the first by name, and is reported") {
    proto::RouteTable source;
    source.services.push_back(serve("zeta", {{"", "/x"}}));
    source.services.push_back(serve("alpha", {{"", "/x/"}}));
    const gateway::RouteTable table(source);
    CHECK(found(table, "", "/x") == "alpha");
    CHECK(table.problems().size() == 1);
}

TEST_CASE("a path of thousands of segments is looked up within the longest prefix only") {
    proto::RouteTable source;
    source.services.push_back(serve("api", {{"", "/api"}}));
    const gateway::RouteTable table(source);
    std::string path = "/api";
    for (int i = 0; i < 20000; ++i) path += "/x";
    CHECK(found(table, "", path) == "api");
}

TEST_CASE("a wildcard host takes one label in front, after exact hosts and before any host") {
    proto::RouteTable source;
    source.services.push_back(serve("any", {{"", "/"}}));
    source.services.push_back(serve("wild", {{"*.Example.org", "/"}}));
    source.services.push_back(serve("shop", {{"shop.example.org", "/"}}));
    const gateway::RouteTable table(source);
    CHECK(found(table, "a.example.org", "/x") == "wild");
    CHECK(found(table, "shop.example.org", "/x") == "shop");
    CHECK(found(table, "example.org", "/x") == "any");
    CHECK(found(table, "a.b.example.org", "/x") == "any");
    CHECK(found(table, ".example.org", "/x") == "any");
}

TEST_CASE("conditions decide within a path, those that ask for more first") {
    proto::RouteTable source;
    source.services.push_back(serve("all", {{"", "/"}}));
    service::Route writes;
    writes.methods = {"POST", "PUT"};
    source.services.push_back(serve("writes", {route(writes)}));
    service::Route beta;
    beta.headers = {{"x-beta", "*"}, {"x-mode", "new"}};
    source.services.push_back(serve("beta", {route(beta)}));
    service::Route debug;
    debug.query = {{"debug", "on off"}};
    debug.methods = {"GET"};
    source.services.push_back(serve("debug", {route(debug)}));
    service::Route exact;
    exact.path = "/login";
    exact.exact = true;
    source.services.push_back(serve("login", {route(exact)}));
    const gateway::RouteTable table(source);
    CHECK(table.problems().empty());
    CHECK(found(table, Asked{}) == "all");
    CHECK(found(table, Asked{.method = "PUT"}) == "writes");
    CHECK(found(table, Asked{.headers = {{"X-Beta", "7"}, {"X-Mode", "new"}}}) == "beta");
    CHECK(found(table, Asked{.headers = {{"X-Beta", "7"}, {"X-Mode", "old"}}}) == "all");
    CHECK(found(table, Asked{.query = "a=1&debug=on+off"}) == "debug");
    CHECK(found(table, Asked{.query = "debug=on%20off&x"}) == "debug");
    CHECK(found(table, Asked{.query = "debug=on"}) == "all");
    CHECK(found(table, Asked{.method = "POST", .query = "debug=on+off"}) == "writes");
    CHECK(found(table, Asked{.path = "/login"}) == "login");
    CHECK(found(table, Asked{.path = "/login/x"}) == "all");
    CHECK(found(table, Asked{.path = "/login/"}) == "all");
}

TEST_CASE("the root alone can be a route") {
    proto::RouteTable source;
    service::Route root;
    root.exact = true;
    source.services.push_back(serve("root", {route(root)}));
    const gateway::RouteTable table(source);
    CHECK(found(table, Asked{}) == "root");
    CHECK(found(table, Asked{.path = "/x"}) == "none");
}

TEST_CASE("what can't be understood is not served, and said") {
    proto::RouteTable source;
    source.services.push_back(
        serve("new", {proto::Route("", "/", R"({"path": "/", "captcha": true})")}));
    const gateway::RouteTable table(source);
    CHECK(found(table, Asked{}) == "none");
    REQUIRE(table.problems().size() == 1);
    CHECK(table.problems()[0].find("captcha") != std::string::npos);
}

TEST_CASE("a newer table keeps the options of routes that stay as they are") {
    service::Route limited;
    limited.rate_limit = service::RouteRateLimit{.requests = 5};
    proto::RouteTable source;
    source.services.push_back(serve("api", {route(limited)}));
    const gateway::RouteTable first(source);
    const http::RouteRequest request{http::RequestHead(), "a.example", "/", ""};
    const gateway::RouteTable second(source, &first);
    CHECK(second.find(request)->options == first.find(request)->options);
    limited.rate_limit->requests = 6;
    source.services[0].routes = {route(limited)};
    const gateway::RouteTable third(source, &second);
    CHECK(third.find(request)->options != second.find(request)->options);
}

TEST_CASE("routes have one name each for metrics, whatever path is asked for") {
    proto::RouteTable source;
    source.services.push_back(serve("root", {{"", "/"}}));
    service::Route strict;
    strict.host = "a.example";
    strict.path = "/api";
    strict.methods = {"POST"};
    source.services.push_back(serve("shop", {{"A.example", "/api/"}, route(strict)}));
    const gateway::RouteTable table(std::move(source));
    using Name = gateway::RouteTable::RouteName;
    const auto name_of = [&](std::string_view host, std::string_view path) {
        http::RequestHead head;
        head.method = "GET";
        const auto match = table.find(http::RouteRequest{head, host, path, ""});
        REQUIRE(match);
        return table.route_names()[match->route_index];
    };
    CHECK(name_of("b.example", "/x/1") == Name{"default/root", "*/"});
    CHECK(name_of("a.example", "/api/1") == Name{"default/shop", "a.example/api"});
    CHECK(name_of("a.example", "/api/2") == name_of("a.example", "/api/3"));
    CHECK(table.route_names().size() == 2);
}
