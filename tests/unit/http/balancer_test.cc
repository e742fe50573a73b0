#include "http/balancer.h"

#include <array>
#include <cmath>

#include <catch2/catch_test_macros.hpp>

using namespace candela;
using namespace candela::http;

namespace {
const MonoTime kStart = MonoTime(std::chrono::hours(1));

struct Fixture {
    explicit Fixture(size_t count) : loads(count) {
        for (Load& load : loads) balancer.add(load);
    }
    size_t index_of(const Load* load) const { return static_cast<size_t>(load - loads.data()); }

    SeededRandom random{7};
    std::vector<Load> loads;
    Balancer balancer{random};
};
}  // namespace

TEST_CASE("no endpoint means no pick") {
    Fixture f(0);
    CHECK(f.balancer.pick(kStart) == nullptr);
    CHECK(f.balancer.next_retry(kStart) == MonoTime::max());
}

TEST_CASE("requests spread by what is in flight") {
    Fixture f(4);
    f.loads[0].in_flight = 1000;
    for (int i = 0; i < 300; ++i) ++f.balancer.pick(kStart)->in_flight;
    CHECK(f.loads[0].in_flight == 1000);
    for (size_t i = 1; i < 4; ++i) {
        CHECK(f.loads[i].in_flight > 90);
        CHECK(f.loads[i].in_flight < 110);
    }
}

TEST_CASE("equal endpoints share when nothing is in flight") {
    Fixture f(3);
    std::array<int, 3> hits{};
    for (int i = 0; i < 3000; ++i) ++hits[f.index_of(f.balancer.pick(kStart))];
    for (int hit : hits) CHECK(hit > 850);
}

TEST_CASE("draining and unhealthy endpoints get nothing new") {
    Fixture f(3);
    f.loads[0].draining = true;
    f.loads[2].healthy = false;
    for (int i = 0; i < 50; ++i) CHECK(f.balancer.pick(kStart) == &f.loads[1]);
    f.loads[1].draining = true;
    CHECK(f.balancer.pick(kStart) == nullptr);
}

TEST_CASE("an unreachable endpoint pauses, longer with every failure in a row") {
    Fixture f(1);
    Load& load = f.loads[0];
    Balancer::on_failure(load, EndpointFailure::kConnect, kStart);
    CHECK(f.balancer.pick(kStart) == nullptr);
    CHECK(f.balancer.next_retry(kStart) == kStart + Balancer::kPauseMin);
    CHECK(f.balancer.pick(kStart + Balancer::kPauseMin) == &load);

    MonoTime now = kStart + Balancer::kPauseMin;
    Balancer::on_failure(load, EndpointFailure::kConnect, now);
    CHECK(f.balancer.next_retry(now) == now + 2 * Balancer::kPauseMin);
    for (int i = 0; i < 40; ++i) {
        now = load.unreachable_until;
        Balancer::on_failure(load, EndpointFailure::kConnect, now);
    }
    CHECK(load.unreachable_until == now + Balancer::kPauseMax);

    Balancer::on_success(load);
    now = load.unreachable_until;
    Balancer::on_failure(load, EndpointFailure::kConnect, now);
    CHECK(load.unreachable_until == now + Balancer::kPauseMin);
}

TEST_CASE("many requests that meet one dead endpoint at once count as one failure") {
    Fixture f(1);
    for (int i = 0; i < 100; ++i) {
        Balancer::on_failure(f.loads[0], EndpointFailure::kConnect, kStart);
    }
    CHECK(f.loads[0].unreachable_until == kStart + Balancer::kPauseMin);
}

TEST_CASE("a suspect endpoint is avoided while there is another, and used where there is none") {
    Fixture f(2);
    for (uint32_t i = 0; i < Balancer::kFailuresUntilSuspect; ++i) {
        Balancer::on_failure(f.loads[0], EndpointFailure::kResponse, kStart);
    }
    for (int i = 0; i < 50; ++i) CHECK(f.balancer.pick(kStart) == &f.loads[1]);
    f.loads[1].draining = true;
    CHECK(f.balancer.pick(kStart) == &f.loads[0]);
}

TEST_CASE("a retry goes elsewhere where it can") {
    Fixture f(3);
    const std::array<Load*, 1> tried{&f.loads[1]};
    for (int i = 0; i < 50; ++i) CHECK(f.balancer.pick(kStart, tried) != &f.loads[1]);
    f.balancer.remove(f.loads[0]);
    f.balancer.remove(f.loads[2]);
    CHECK(f.balancer.pick(kStart, tried) == &f.loads[1]);
}

TEST_CASE("weights say what part of the requests an endpoint gets, whatever is in flight") {
    Fixture f(4);
    constexpr std::array<uint32_t, 4> kWeights{60, 30, 10, 0};
    for (size_t i = 0; i < 4; ++i) f.loads[i].weight = kWeights[i];
    f.balancer.note_weights();
    constexpr int kRequests = 30'000;
    std::array<int, 4> hits{};
    for (int i = 0; i < kRequests; ++i) {
        Load* const load = f.balancer.pick(kStart);
        ++load->in_flight;  // and none ends: the shares stay all the same
        ++hits[f.index_of(load)];
    }
    for (size_t i = 0; i < 4; ++i) {
        const double share = kWeights[i] / 100.0;
        const double deviation = std::sqrt(kRequests * share * (1 - share));
        CAPTURE(i, hits[i]);
        CHECK(std::abs(hits[i] - kRequests * share) <= 5 * deviation);
    }
    CHECK(hits[3] == 0);
}

TEST_CASE("endpoints of one weight share its part by what is in flight") {
    Fixture f(5);
    for (size_t i = 0; i < 4; ++i) f.loads[i].weight = 90;
    f.loads[4].weight = 10;
    f.loads[0].in_flight = 100'000;
    f.balancer.note_weights();
    for (int i = 0; i < 4000; ++i) ++f.balancer.pick(kStart)->in_flight;
    CHECK(f.loads[0].in_flight < 100'000 + 4000 / 4);
    CHECK(f.loads[1].in_flight + f.loads[2].in_flight + f.loads[3].in_flight > 3000 - 1000);
}

TEST_CASE("weight counts among those that can take a request") {
    Fixture f(3);
    f.loads[0].weight = 0;
    f.loads[1].weight = 1;
    f.loads[2].weight = 99;
    f.balancer.note_weights();
    f.loads[2].draining = true;
    for (int i = 0; i < 50; ++i) CHECK(f.balancer.pick(kStart) == &f.loads[1]);
    f.loads[1].unreachable_until = kStart + 1s;
    CHECK(f.balancer.pick(kStart) == nullptr);
    // One that has failed is used where there is no other.
    f.loads[1].unreachable_until = {};
    f.loads[2].draining = false;
    f.loads[2].suspect = true;
    for (int i = 0; i < 50; ++i) CHECK(f.balancer.pick(kStart) == &f.loads[1]);
    // An only one without weight gets none, too.
    Fixture alone(1);
    alone.loads[0].weight = 0;
    alone.balancer.note_weights();
    CHECK(alone.balancer.pick(kStart) == nullptr);
}
