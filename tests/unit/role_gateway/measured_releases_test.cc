#include <set>

#include <catch2/catch_test_macros.hpp>

#include "measured_releases.h"

namespace candela::gateway {
namespace {

proto::RouteService service(const std::string& name, uint64_t measure,
                            std::vector<uint64_t> releases) {
    proto::RouteService made;
    made.space = "default";
    made.service = name;
    made.measure = measure;
    for (const uint64_t release : releases) {
        proto::Endpoint endpoint;
        endpoint.instance = name + std::to_string(release);
        endpoint.release = release;
        made.endpoints.push_back(endpoint);
    }
    return made;
}

proto::RouteTable table(std::vector<proto::RouteService> services) {
    proto::RouteTable made;
    made.services = std::move(services);
    return made;
}

TEST_CASE("only_releases_of_services_that_are_measured_are_counted") {
    const auto web = service("web", 7, {1, 2, 2});
    const auto other = service("other", 0, {1});
    const auto measured = MeasuredReleases::of(table({web, other}), nullptr, 2);
    CHECK(measured->counts(other, 1, 0) == nullptr);
    CHECK(measured->counts(web, 3, 0) == nullptr);
    measured->counts(web, 1, 0)->add(1ms, false);
    measured->counts(web, 1, 1)->add(2s, true);
    const auto readings = measured->readings(0);
    REQUIRE(readings.size() == 2);
    CHECK(readings[0].space == "default");
    CHECK(readings[0].service == "web");
    CHECK(readings[0].measure == 7);
    CHECK(readings[0].release == 1);
    CHECK(readings[0].answers == 2);
    CHECK(readings[0].failures == 1);
    const std::vector<proto::LatencyCount> latency = {
        proto::LatencyCount(static_cast<uint32_t>(latency_bucket(1ms)), 1),
        proto::LatencyCount(static_cast<uint32_t>(latency_bucket(2s)), 1)};
    CHECK(readings[0].latency == latency);
    CHECK(readings[1].release == 2);
    CHECK(readings[1].answers == 0);
}

TEST_CASE("counts_go_on_with_the_measurement_and_begin_anew_with_the_next") {
    const auto web = service("web", 7, {1, 2});
    const auto first = MeasuredReleases::of(table({web}), nullptr, 1);
    first->counts(web, 2, 0)->add(1ms, false);
    // The canary has no instance for a moment.
    const auto without = service("web", 7, {1});
    const auto second = MeasuredReleases::of(table({without}), first.get(), 1);
    const auto third = MeasuredReleases::of(table({web}), second.get(), 1);
    CHECK(third->counts(web, 2, 0) == first->counts(web, 2, 0));
    CHECK(third->readings(0).size() == 2);
    const auto next = service("web", 8, {1, 2});
    const auto fourth = MeasuredReleases::of(table({next}), third.get(), 1);
    CHECK(fourth->counts(next, 2, 0)->answers.load() == 0);
    CHECK(fourth->readings(0).size() == 2);
    const auto none = MeasuredReleases::of(table({service("web", 0, {2})}), fourth.get(), 1);
    CHECK(none->readings(0).empty());
}

TEST_CASE("what_does_not_fit_one_heartbeat_comes_with_the_next") {
    std::vector<proto::RouteService> services;
    for (int i = 0; i < 200; ++i) services.push_back(service(fmt::format("s{}", i), 1, {1, 2}));
    const auto measured = MeasuredReleases::of(table(services), nullptr, 1);
    std::set<std::pair<std::string, uint64_t>> told;
    for (uint64_t turn = 0; turn < 2; ++turn) {
        const auto readings = measured->readings(turn);
        CHECK(readings.size() == proto::kAnswerReadingsMax);
        for (const auto& reading : readings) told.emplace(reading.service, reading.release);
    }
    CHECK(told.size() == 400);
}

}  // namespace
}  // namespace candela::gateway
