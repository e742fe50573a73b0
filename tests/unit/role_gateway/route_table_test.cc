#include "route_table.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela;

namespace {

proto::RouteService service(std::string name, std::vector<proto::Route> routes) {
    proto::RouteService out;
    out.space = "default";
    out.service = std::move(name);
    out.kind = "http";
    out.routes = std::move(routes);
    return out;
}

std::string found(const gateway::RouteTable& table, std::string_view host, std::string_view path) {
    const auto match = table.find(host, path);
    return match ? match->service->service : "none";
}

}  // namespace

TEST_CASE("the longest prefix on a segment border wins") {
    proto::RouteTable source;
    source.services.push_back(service("root", {{"", "/"}}));
    source.services.push_back(service("api", {{"", "/api"}}));
    source.services.push_back(service("users", {{"", "/api/users/"}}));
    const gateway::RouteTable table(source);
    CHECK(found(table, "any.example", "/") == "root");
    CHECK(found(table, "any.example", "/api") == "api");
    CHECK(found(table, "any.example", "/api/") == "api");
    CHECK(found(table, "any.example", "/apix") == "root");
    CHECK(found(table, "any.example", "/api/user") == "api");
    CHECK(found(table, "any.example", "/api/users") == "users");
    CHECK(found(table, "any.example", "/api/users/7/posts") == "users");
    CHECK(found(table, "any.example", "/api/usersx") == "api");
    CHECK(table.find("", "/api/users/7")->prefix_bytes == 10);
}

TEST_CASE("an exact host comes before any host, and falls back to it") {
    proto::RouteTable source;
    source.services.push_back(service("any", {{"", "/"}}));
    source.services.push_back(service("shop", {{"Shop.example", "/cart"}}));
    const gateway::RouteTable table(source);
    CHECK(found(table, "shop.example", "/cart/1") == "shop");
    CHECK(found(table, "shop.example", "/other") == "any");
    CHECK(found(table, "other.example", "/cart/1") == "any");
}

TEST_CASE("no route is no match") {
    proto::RouteTable source;
    source.services.push_back(service("api", {{"a.example", "/api"}}));
    const gateway::RouteTable table(source);
    CHECK(found(table, "a.example", "/") == "none");
    CHECK(found(table, "b.example", "/api") == "none");
    CHECK(found(table, "", "") == "none");
}

TEST_CASE("a route that two services claim belongs to the first by name, and is reported") {
    proto::RouteTable source;
    source.services.push_back(service("zeta", {{"", "/x"}}));
    source.services.push_back(service("alpha", {{"", "/x/"}}));
    const gateway::RouteTable table(source);
    CHECK(found(table, "", "/x") == "alpha");
    CHECK(table.conflicts().size() == 1);
}

TEST_CASE("a path of thousands of segments is looked up within the longest prefix only") {
    proto::RouteTable source;
    source.services.push_back(service("api", {{"", "/api"}}));
    const gateway::RouteTable table(source);
    std::string path = "/api";
    for (int i = 0; i < 20000; ++i) path += "/x";
    CHECK(found(table, "", path) == "api");
}
