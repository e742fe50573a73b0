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

service::Update any_strategy(SeededRandom& random) {
    service::Update update;
    update.canary_percent = static_cast<uint32_t>(1 + random.below(100));
    update.is_promoted_by_hand = random.below(3) == 0;
    update.promote_after = 1s * static_cast<int64_t>(random.below(40));
    switch (random.below(4)) {
        case 0: update.strategy = service::UpdateStrategy::kBlueGreen; break;
        case 1:
            update.strategy = service::UpdateStrategy::kCanary;
            if (random.below(2) == 0) break;
            update.analysis.emplace().timeout = 1s * static_cast<int64_t>(45 + random.below(60));
            break;
        default: break;
    }
    return update;
}

// Rollouts end by themselves, once nobody waits for a person.
void come_to_rest(SimCloud& cloud, Duration time) {
    cloud.stop_faults();
    cloud.open_all();
    const MonoTime end = cloud.now() + time;
    while (cloud.now() < end && cloud.broken.empty()) {
        cloud.settle_people();
        cloud.run_for(20s);
        // What has come to rest stays as it is: the rest of the time would show nothing.
        if (cloud.why_not_converged().empty()) break;
    }
    cloud.run_for(5s);
}

// People deploy, scale and delete at random for `rounds` turns.
void wild_people(SimCloud& cloud, SeededRandom& random, int rounds) {
    const char* behaviours[] = {"good",  "good",   "good",     "slow",
                                "never", "faulty", "sluggish", "crash"};
    for (int i = 0; i < rounds && cloud.broken.empty(); ++i) {
        const std::string name = fmt::format("s{}", random.below(6));
        cloud.wish = service::Manifest();
        if (random.below(2) == 0) cloud.wish.resources = service::Resources(100, 64 << 20);
        if (random.below(3) == 0) cloud.wish.placement.spread = "zone";
        if (random.below(4) == 0) {
            cloud.wish.placement.affinities = {*service::parse_label_rule("zone=1")};
        }
        cloud.wish.update = any_strategy(random);
        switch (random.below(19)) {
            case 11: cloud.pause(name, true); break;
            case 12: cloud.pause(name, false); break;
            case 13: cloud.promote_by_hand(name); break;
            case 14: cloud.take_back_by_hand(name); break;
            case 15: cloud.settle_people(); break;
            case 16: cloud.change_value(true); break;
            case 17: cloud.change_value(false); break;
            case 8: cloud.set_mode(random.below(cloud.hosts().size()), NodeMode::kDraining); break;
            case 9: cloud.set_mode(random.below(cloud.hosts().size()), NodeMode::kCordoned); break;
            case 10: cloud.open_all(); break;
            case 0: cloud.scale_to(name, static_cast<uint32_t>(random.below(8))); break;
            case 1: cloud.remove(name); break;
            case 2: cloud.deploy("j" + name, 2, "job"); break;
            default:
                cloud.deploy(name, static_cast<uint32_t>(1 + random.below(6)),
                             behaviours[random.below(8)], static_cast<uint32_t>(random.below(3)),
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
        faults.clocks_jump = true;
        SimCloud cloud(seed, 6, 3, faults);
        cloud.run_for(2s);
        cloud.deploy("web", 4, "good");
        cloud.run_for(2min);
        const char* behaviours[] = {"good", "never", "slow", "faulty", "sluggish", "crash"};
        for (int i = 0; i < 12 && cloud.broken.empty(); ++i) {
            // A minority of hosts may be on its way out; the others have room for everything.
            if (random.below(3) == 0) {
                cloud.open_all();
                cloud.set_mode(random.below(6), NodeMode::kDraining);
                cloud.set_mode(random.below(6), NodeMode::kDraining);
            }
            cloud.wish.update = any_strategy(random);
            if (random.below(4) == 0) {
                cloud.scale_to("web", static_cast<uint32_t>(2 + random.below(6)));
            } else {
                cloud.deploy("web", static_cast<uint32_t>(2 + random.below(6)),
                             behaviours[random.below(6)]);
            }
            if (random.below(4) == 0) cloud.pause("web", random.below(2) == 0);
            if (random.below(3) == 0) cloud.promote_by_hand("web");
            if (random.below(6) == 0) cloud.take_back_by_hand("web");
            if (random.below(3) == 0) cloud.change_value(random.below(2) == 0);
            cloud.run_for(1s * static_cast<int64_t>(5 + random.below(100)));
        }
        come_to_rest(cloud, 15min);
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
        faults.clocks_jump = true;
        faults.lighthouse_restarts = true;
        SimCloud cloud(seed, 3 + random.below(8), 1 + random.below(3), faults);
        wild_people(cloud, random, 25);
        come_to_rest(cloud, 15min);
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

TEST_CASE("a_drained_host_is_empty_and_nothing_was_missed", "[sim]") {
    for (const uint64_t seed : seeds(300, 4)) {
        SeededRandom random(seed);
        Faults faults;
        faults.loss_percent = 3;
        faults.double_percent = 5;
        faults.delay_max = 300ms;
        SimCloud cloud(seed, 4, 2, faults);
        cloud.run_for(3s);
        for (int s = 0; s < 5; ++s) {
            cloud.deploy(fmt::format("s{}", s), static_cast<uint32_t>(1 + random.below(4)), "good",
                         static_cast<uint32_t>(random.below(3)), static_cast<uint32_t>(1));
        }
        cloud.run_for(2min);
        for (size_t host = 0; host < 4 && cloud.broken.empty(); ++host) {
            cloud.open_all();
            cloud.set_mode(host, NodeMode::kDraining);
            cloud.run_for(4min);
            INFO("replay with CANDELA_SIM_SEED=" << seed);
            CHECK(cloud.hosts()[host].instances.empty());
        }
        cloud.open_all();
        expect_sound(cloud, seed);
    }
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
