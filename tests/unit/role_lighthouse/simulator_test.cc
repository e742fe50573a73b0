#include <cstdlib>

#include <catch2/catch_get_random_seed.hpp>
#include <catch2/catch_test_macros.hpp>

#include "sim_cloud.h"

// CANDELA_SIM_RUNS=N runs N new seeds (./dev sim); CANDELA_SIM_SEED=S replays one.

namespace candela::lighthouse::sim {
namespace {

std::vector<uint64_t> seeds(uint64_t first, uint64_t count) {
    if (const char* one = std::getenv("CANDELA_SIM_SEED")) return {std::strtoull(one, nullptr, 10)};
    if (const char* runs = std::getenv("CANDELA_SIM_RUNS")) {
        count = std::strtoull(runs, nullptr, 10);
        first = uint64_t{Catch::getSeed()} * 1000;
    }
    std::vector<uint64_t> list;
    for (uint64_t i = 0; i < count; ++i) list.push_back(first + i);
    return list;
}

void expect_sound(SimCloud& cloud, uint64_t seed) {
    INFO("replay with CANDELA_SIM_SEED=" << seed);
    const std::string why = cloud.broken.empty() ? cloud.why_not_converged() : cloud.broken;
    if (!why.empty() && std::getenv("CANDELA_SIM_SEED") != nullptr) {
        for (const std::string& line : cloud.journal) UNSCOPED_INFO(line);
    }
    REQUIRE(why == "");
}

// People deploy, scale and delete at random for `rounds` turns.
void wild_people(SimCloud& cloud, SeededRandom& random, int rounds) {
    const char* behaviours[] = {"good", "good", "good", "slow", "never", "crash"};
    for (int i = 0; i < rounds && cloud.broken.empty(); ++i) {
        const std::string name = fmt::format("s{}", random.below(6));
        switch (random.below(8)) {
            case 0: cloud.scale_to(name, static_cast<uint32_t>(random.below(8))); break;
            case 1: cloud.remove(name); break;
            case 2: cloud.deploy("j" + name, 2, "job"); break;
            default:
                cloud.deploy(name, static_cast<uint32_t>(1 + random.below(6)),
                             behaviours[random.below(6)], static_cast<uint32_t>(random.below(3)),
                             static_cast<uint32_t>(1 + random.below(2)));
        }
        cloud.run_for(1s * static_cast<int64_t>(1 + random.below(60)));
    }
}

TEST_CASE("updates_take_nothing_away_on_a_bad_network", "[sim]") {
    for (const uint64_t seed : seeds(1, 8)) {
        SeededRandom random(seed);
        Faults faults;
        faults.loss_percent = 3;
        faults.double_percent = 5;
        faults.delay_max = 300ms;
        faults.lighthouse_restarts = true;
        SimCloud cloud(seed, 6, 3, faults);
        cloud.run_for(2s);
        cloud.deploy("web", 4, "good");
        cloud.run_for(2min);
        const char* behaviours[] = {"good", "never", "slow", "crash"};
        for (int i = 0; i < 12 && cloud.broken.empty(); ++i) {
            if (random.below(4) == 0) {
                cloud.scale_to("web", static_cast<uint32_t>(2 + random.below(6)));
            } else {
                cloud.deploy("web", static_cast<uint32_t>(2 + random.below(6)),
                             behaviours[random.below(4)]);
            }
            cloud.run_for(1s * static_cast<int64_t>(5 + random.below(100)));
        }
        cloud.stop_faults();
        cloud.run_for(5min);
        expect_sound(cloud, seed);
    }
}

TEST_CASE("the_cloud_converges_after_any_faults", "[sim]") {
    for (const uint64_t seed : seeds(100, 8)) {
        SeededRandom random(seed);
        Faults faults;
        faults.loss_percent = 5;
        faults.double_percent = 5;
        faults.delay_max = 1s;
        faults.hosts_fail = true;
        faults.instances_crash = true;
        faults.lighthouse_restarts = true;
        SimCloud cloud(seed, 3 + random.below(8), 1 + random.below(3), faults);
        wild_people(cloud, random, 25);
        cloud.stop_faults();
        cloud.run_for(10min);
        expect_sound(cloud, seed);
    }
}

TEST_CASE("hundreds_of_hosts_converge", "[sim]") {
    const auto all = seeds(200, 1);
    for (size_t i = 0; i < all.size(); i += 50) {
        const uint64_t seed = all[i];
        SimCloud cloud(seed, 300, 4, Faults());
        cloud.run_for(2s);
        for (int s = 0; s < 60; ++s) cloud.deploy(fmt::format("s{}", s), 10, "good");
        cloud.run_for(30s);
        for (int s = 0; s < 20; ++s) cloud.deploy(fmt::format("s{}", s), 12, "good");
        cloud.run_for(90s);
        expect_sound(cloud, seed);
    }
}

TEST_CASE("a_lost_host_is_replaced_within_eight_seconds") {
    SimCloud cloud(7, 3, 1, Faults());
    cloud.run_for(3s);
    cloud.deploy("web", 3, "good");
    cloud.run_for(20s);
    REQUIRE(cloud.why_not_converged() == "");
    cloud.cut(0, 1h);
    cloud.run_for(8s);
    int elsewhere = 0;
    for (const auto& [id, instance] : cloud.wanted().instances) {
        const Sighting* sighting = cloud.seen().find(id);
        if (instance.node != "host-0" && sighting != nullptr &&
            sighting->status.state == proto::InstanceState::kReady) {
            ++elsewhere;
        }
    }
    CHECK(elsewhere == 3);
    CHECK(cloud.broken == "");
}

TEST_CASE("a_vanished_majority_is_waited_for_and_comes_back_as_it_was") {
    SimCloud cloud(8, 4, 1, Faults());
    cloud.run_for(3s);
    cloud.deploy("web", 4, "good");
    cloud.run_for(20s);
    const auto before = cloud.wanted().instances;
    for (size_t i = 0; i < 3; ++i) cloud.cut(i, 60s);
    cloud.run_for(30s);
    CHECK(cloud.holding.size() == 3);
    CHECK(cloud.wanted().instances.size() == before.size());
    cloud.run_for(60s);
    CHECK(cloud.holding.empty());
    CHECK(cloud.why_not_converged() == "");
    for (const auto& [id, instance] : before) CHECK(cloud.wanted().instances.contains(id));
}

}  // namespace
}  // namespace candela::lighthouse::sim
