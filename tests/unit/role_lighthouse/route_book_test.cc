// What the lighthouse tells gateways of services: who is in the table, pages, maintenance, purges.

#include "route_book.h"

#include <catch2/catch_test_macros.hpp>

#include "changes.h"

using namespace candela;
using namespace candela::lighthouse;

namespace {

struct Booked {
    void deploy(const std::string& name, service::Manifest manifest) {
        Release release;
        release.manifest = std::move(manifest);
        apply(
            start_release(wanted, ServiceKey("default", name), std::move(release), now, WallTime()),
            wanted, seen);
    }
    const proto::RouteTable& table() {
        book.update(wanted, seen, now, limits);
        return book.table();
    }
    const proto::RouteService* find(std::string_view name) {
        for (const proto::RouteService& service : table().services) {
            if (service.service == name) return &service;
        }
        return nullptr;
    }

    MonoTime now{1h};
    Wanted wanted;
    Seen seen;
    PlanLimits limits;
    RouteBook book{1, HoldLimits()};
};

service::Manifest routed() {
    service::Manifest manifest;
    manifest.routes = {service::Route("shop.localhost", "/")};
    return manifest;
}

}  // namespace

TEST_CASE("a service that another's route leads to is in the table without a route of its own") {
    Booked world;
    world.deploy("next", service::Manifest());
    world.deploy("shadow", service::Manifest());
    world.deploy("alone", service::Manifest());
    service::Manifest shop = routed();
    world.deploy("shop", shop);
    CHECK(world.find("next") == nullptr);
    shop.routes[0].split = {service::RouteSplit{"next", 10}};
    shop.routes[0].mirror = service::RouteMirror{"shadow", 100, 1000};
    world.deploy("shop", shop);
    REQUIRE(world.find("next") != nullptr);
    CHECK(world.find("next")->routes.empty());
    CHECK(world.find("shadow") != nullptr);
    CHECK(world.find("alone") == nullptr);
}

TEST_CASE("pages come with the release, maintenance does not go with it") {
    Booked world;
    service::Manifest shop = routed();
    shop.error_pages = {{"502", "<p>"}};
    shop.maintenance.allow = {"10.0.0.0/8"};
    world.deploy("shop", shop);
    REQUIRE(world.find("shop")->error_pages.size() == 1);
    CHECK(world.find("shop")->error_pages[0] == proto::ErrorPage("502", "<p>"));
    CHECK(world.find("shop")->maintenance_retry_ms == 60'000);
    const auto maintain_shop = [&](bool is_on) {
        const Change change =
            maintain(world.wanted.services.at(ServiceKey("default", "shop")), is_on);
        apply(change, world.wanted, world.seen);
        return change.empty();
    };
    const uint64_t version = world.table().version;
    CHECK_FALSE(maintain_shop(true));
    CHECK(world.find("shop")->is_in_maintenance);
    CHECK(world.table().version > version);
    CHECK(maintain_shop(true));  // it is so already
    world.deploy("shop", routed());
    CHECK(world.find("shop")->is_in_maintenance);
    CHECK(world.find("shop")->error_pages.empty());
    maintain_shop(false);
    CHECK_FALSE(world.find("shop")->is_in_maintenance);
}

TEST_CASE("a purge is in a newer table, and so many of them are remembered") {
    Booked world;
    world.deploy("shop", routed());
    uint64_t last = world.table().version;
    for (size_t i = 0; i < proto::kPurgesMax + 5; ++i) {
        proto::CachePurge purge;
        purge.path = fmt::format("/{}", i);
        world.book.purge(std::move(purge));
        CHECK(world.table().version > last);
        last = world.table().version;
        CHECK(world.table().purges.back().id == last);
    }
    CHECK(world.table().purges.size() == proto::kPurgesMax);
    CHECK(world.table().purges.front().path == "/5");
}
