// Canaries, blue and green, pauses: what waits takes nothing away from what serves.

#include <catch2/generators/catch_generators.hpp>

#include "planner_world.h"

namespace candela::lighthouse {
namespace {

using Counts = std::map<uint64_t, int>;

class Updates : public World {
public:
    // The number of instances that should run, by their release.
    Counts by_release() const {
        Counts counts;
        for (const auto& [id, instance] : wanted.instances) {
            if (instance.stage == Stage::kRun) ++counts[instance.release];
        }
        return counts;
    }
    // All that is wanted to run becomes ready, what should stop has ended, and gateways follow.
    void catch_up() {
        for (int round = 0; round < 20; ++round) {
            const auto done = settle();
            for (const auto& [id, instance] : wanted.instances) {
                const Sighting* sighting = seen.find(id);
                if (sighting != nullptr && sighting->status.state == InstanceState::kFailed)
                    continue;
                is(id, instance.stage == Stage::kStopping ? InstanceState::kExited
                                                          : InstanceState::kReady);
            }
            book.update(wanted, seen, now, limits);
            for (auto& [name, entry] : seen.nodes) entry.routes_version = seen.routes_version;
            if (done.empty() && round > 2) return;
        }
        FAIL("it never comes to rest");
    }
    void serve(uint32_t instances) {
        node("gate", "gateway");
        release(instances, true);
        catch_up();
        REQUIRE(web().stable == 1);
    }
    void update_by(service::UpdateStrategy strategy, uint32_t instances, bool by_hand = false,
                   Duration after = Duration::zero()) {
        Release next;
        next.instances = instances;
        next.manifest.update.strategy = strategy;
        next.manifest.update.canary_percent = 25;
        next.manifest.update.is_promoted_by_hand = by_hand;
        next.manifest.update.promote_after = after;
        next.manifest.stop.grace = 5s;
        next.manifest.probe.start_timeout = 20s;
        next.manifest.routes = {service::Route("web.localhost", "/")};
        apply(start_release(wanted, kWeb, std::move(next), now, WallTime()), wanted, seen);
    }
    // The releases that the route table leads to.
    std::set<uint64_t> routed() const {
        std::set<uint64_t> releases;
        for (const auto& service : book.table().services) {
            for (const auto& endpoint : service.endpoints) releases.insert(endpoint.release);
        }
        return releases;
    }
    std::string id_of(uint64_t number) const {
        for (const auto& [id, instance] : wanted.instances) {
            if (instance.release == number && instance.stage == Stage::kRun) return id;
        }
        return "";
    }
    Rollout rollout(uint64_t number) const { return web().find(number)->rollout; }

    static constexpr auto kCanary = service::UpdateStrategy::kCanary;
    static constexpr auto kBlueGreen = service::UpdateStrategy::kBlueGreen;
};

TEST_CASE_METHOD(Updates, "a_canary_runs_beside_all_of_the_old_and_is_promoted_by_hand") {
    serve(4);
    update_by(kCanary, 8, true);
    catch_up();
    CHECK(by_release() == Counts{{1, 4}, {2, 2}});
    CHECK(routed() == std::set<uint64_t>{1, 2});
    CHECK(waiting[kWeb] == "the canary is well; candela ctl promote web lets it take over");
    pass(24h);
    catch_up();
    CHECK(by_release() == Counts{{1, 4}, {2, 2}});
    CHECK(rollout(2) == Rollout::kRolling);
    apply(promote(web(), now), wanted, seen);
    catch_up();
    CHECK(by_release() == Counts{{2, 8}});
    CHECK(rollout(2) == Rollout::kDone);
}

// As change_value() does it, where a release uses a secret that has changed. The simulator found
// it.
TEST_CASE_METHOD(Updates, "what_is_made_anew_before_its_promotion_still_waits_for_it") {
    serve(4);
    const auto strategy = GENERATE(kCanary, kBlueGreen);
    update_by(strategy, 4, true);
    catch_up();
    for (uint64_t number = 3; number < 5; ++number) {
        Release again = copy_of(*web().find(web().target), "secret password");
        Change change = start_release(wanted, kWeb, std::move(again), now, WallTime());
        change.releases.back().second.promoted = false;
        apply(change, wanted, seen);
        catch_up();
        CHECK(rollout(number) == Rollout::kRolling);
        CHECK_FALSE(web().find(number)->promoted);
        CHECK_FALSE(waiting[kWeb].empty());
    }
    apply(promote(web(), now), wanted, seen);
    catch_up();
    CHECK(rollout(4) == Rollout::kDone);
}

TEST_CASE_METHOD(Updates, "a_canary_with_a_weight_gets_that_share_of_the_requests") {
    serve(3);
    update_by(kCanary, 8, true);
    wanted.services[kWeb].releases[2].manifest.update.canary_weight = 10;
    catch_up();
    REQUIRE(by_release() == Counts{{1, 3}, {2, 2}});
    std::map<uint64_t, uint32_t> weights;
    for (const auto& endpoint : book.table().services.at(0).endpoints) {
        CHECK(endpoint.is_weighted);
        weights[endpoint.release] += endpoint.weight;
    }
    CHECK(weights == std::map<uint64_t, uint32_t>{{1, 90'000}, {2, 10'000}});
    apply(promote(web(), now), wanted, seen);
    catch_up();
    for (const auto& endpoint : book.table().services.at(0).endpoints) {
        CHECK_FALSE(endpoint.is_weighted);
    }
}

TEST_CASE_METHOD(Updates, "a_canary_that_was_well_for_long_enough_takes_over_by_itself") {
    serve(4);
    update_by(kCanary, 4, false, 1min);
    catch_up();
    CHECK(by_release() == Counts{{1, 4}, {2, 1}});
    pass(50s);
    catch_up();
    CHECK(by_release() == Counts{{1, 4}, {2, 1}});
    is(id_of(2), InstanceState::kUnready);
    settle();  // from now on it has to be well anew
    catch_up();
    pass(50s);
    catch_up();
    CHECK(by_release() == Counts{{1, 4}, {2, 1}});
    pass(11s);
    catch_up();
    CHECK(by_release() == Counts{{2, 4}});
    CHECK(rollout(2) == Rollout::kDone);
}

TEST_CASE_METHOD(Updates, "a_canary_that_fails_is_rolled_back_and_nothing_was_taken_away") {
    serve(4);
    update_by(kCanary, 4, true);
    settle();
    is(id_of(2), InstanceState::kFailed);
    settle();
    CHECK(rollout(2) == Rollout::kRolledBack);
    CHECK(by_release() == Counts{{1, 4}});
    CHECK(web().target == 1);
}

TEST_CASE_METHOD(Updates, "a_canary_that_is_not_well_any_more_is_rolled_back_with_its_answer") {
    serve(2);
    update_by(kCanary, 2, true);
    catch_up();
    pass(2h);
    settle();
    is(id_of(2), InstanceState::kUnready);
    settle();
    CHECK(rollout(2) == Rollout::kRolling);
    pass(11s);
    settle();
    CHECK(rollout(2) == Rollout::kRolledBack);
    CHECK(web().find(2)->cause.ends_with("is not well any more: HTTP 503"));
    CHECK(by_release() == Counts{{1, 2}});
}

TEST_CASE_METHOD(Updates, "while_a_canary_waits_both_releases_are_healed") {
    host("c");
    serve(3);
    update_by(kCanary, 3, true);
    catch_up();
    REQUIRE(by_release() == Counts{{1, 3}, {2, 1}});
    const std::string lost = wanted.instances.at(id_of(2)).node;
    silent = {lost};
    pass(6s);
    catch_up();
    CHECK(by_release() == Counts{{1, 3}, {2, 1}});
    for (const auto& [id, instance] : wanted.instances) CHECK(instance.node != lost);
    CHECK(rollout(2) == Rollout::kRolling);
}

TEST_CASE_METHOD(Updates, "a_host_is_drained_while_a_canary_waits") {
    host("c");
    serve(3);
    update_by(kCanary, 3, true);
    catch_up();
    const std::string drained = wanted.instances.at(id_of(2)).node;
    mode(drained, NodeMode::kDraining);
    catch_up();
    CHECK(by_release() == Counts{{1, 3}, {2, 1}});
    for (const auto& [id, instance] : wanted.instances) CHECK(instance.node != drained);
}

TEST_CASE_METHOD(Updates, "scaling_while_a_canary_waits_scales_what_serves") {
    serve(2);
    update_by(kCanary, 2, true);
    catch_up();
    apply(scale(web(), 8, now), wanted, seen);
    catch_up();
    CHECK(by_release() == Counts{{1, 8}, {2, 2}});
}

TEST_CASE_METHOD(Updates, "a_newer_release_takes_the_canarys_place") {
    serve(4);
    update_by(kCanary, 4, true);
    catch_up();
    update_by(kCanary, 4, true);
    catch_up();
    CHECK(by_release() == Counts{{1, 4}, {3, 1}});
    CHECK(rollout(2) == Rollout::kSuperseded);
}

TEST_CASE_METHOD(Updates, "a_canary_is_taken_back") {
    serve(4);
    update_by(kCanary, 4, true);
    catch_up();
    apply(take_back(web(), "ada", now, WallTime()), wanted, seen);
    catch_up();
    CHECK(by_release() == Counts{{1, 4}});
    CHECK(web().find(2)->cause == "taken back by ada");
}

TEST_CASE_METHOD(Updates, "a_first_release_has_nothing_to_be_compared_with") {
    node("gate", "gateway");
    update_by(kCanary, 4, true);
    catch_up();
    CHECK(by_release() == Counts{{1, 4}});
    CHECK(rollout(1) == Rollout::kDone);
}

TEST_CASE_METHOD(Updates, "green_gets_no_request_before_all_of_it_is_ready_and_blue_none_after") {
    serve(3);
    update_by(kBlueGreen, 3);
    settle();
    CHECK(by_release() == Counts{{1, 3}, {2, 3}});
    std::vector<std::string> green;
    for (const auto& [id, instance] : wanted.instances) {
        if (instance.release == 2) green.push_back(id);
    }
    is(green[0], InstanceState::kReady);
    is(green[1], InstanceState::kReady);
    pass(18s);  // longer than a gateway that lags is waited for
    settle();
    CHECK(routed() == std::set<uint64_t>{1});
    is(green[2], InstanceState::kReady);
    CHECK(settle() == Lines{"promote release 2 of default/web"});
    CHECK(routed() == std::set<uint64_t>{2});
    // No gateway has that table yet: all of blue stays.
    CHECK(by_release() == Counts{{1, 3}, {2, 3}});
    seen.nodes["gate"].routes_version = seen.routes_version;
    settle();
    CHECK(by_release() == Counts{{2, 3}});
    catch_up();
    CHECK(rollout(2) == Rollout::kDone);
}

TEST_CASE_METHOD(Updates, "blue_serves_again_when_green_fails_after_it_took_over") {
    serve(2);
    update_by(kBlueGreen, 2);
    settle();
    for (const auto& [id, instance] : wanted.instances) {
        if (instance.release == 2) is(id, InstanceState::kReady);
    }
    settle();
    REQUIRE(routed() == std::set<uint64_t>{2});
    is(id_of(2), InstanceState::kFailed);
    settle();
    CHECK(rollout(2) == Rollout::kRolledBack);
    CHECK(routed().contains(1));
    catch_up();
    CHECK(by_release() == Counts{{1, 2}});
}

// Found by the simulator: after a start of the lighthouse, while a gateway has not said what it
// serves, all that is ready looked as if nobody sent to it.
TEST_CASE_METHOD(Updates, "a_surplus_takes_what_is_not_ready_while_gateways_are_unknown") {
    serve(3);
    apply(scale(web(), 4, now), wanted, seen);
    settle();
    const std::string coming = "i4";
    REQUIRE(wanted.instances.contains(coming));
    is(coming, InstanceState::kStarting);
    begin_anew(wanted, seen, now);
    seen.listening_since = now;
    for (auto& [name, entry] : seen.nodes) entry.heard_at = now;
    apply(scale(web(), 3, now), wanted, seen);
    settle();
    CHECK(wanted.instances.at(coming).stage != Stage::kRun);
    CHECK(by_release() == Counts{{1, 3}});
    apply(scale(web(), 2, now), wanted, seen);
    CHECK(settle().empty());  // which of them serve is not known
    catch_up();
    CHECK(by_release() == Counts{{1, 2}});
}

// Found by the simulator: blue, which gets no request any more, was counted as if it served.
TEST_CASE_METHOD(Updates, "green_is_moved_by_successors_of_its_own_and_not_at_blues_expense") {
    host("c");
    serve(2);
    update_by(kBlueGreen, 2);
    settle();
    for (const auto& [id, instance] : wanted.instances) {
        if (instance.release == 2) is(id, InstanceState::kReady);
    }
    settle();
    REQUIRE(routed() == std::set<uint64_t>{2});
    seen.nodes["gate"].routes_version = seen.routes_version - 1;
    mode(wanted.instances.at(id_of(2)).node, NodeMode::kDraining);
    settle();
    seen.nodes["gate"].routes_version = seen.routes_version;
    settle();
    size_t green = 0;
    for (const auto& service : book.table().services) green += service.endpoints.size();
    CHECK(green == 2);
    catch_up();
    CHECK(by_release() == Counts{{2, 2}});
    CHECK(rollout(2) == Rollout::kDone);
}

TEST_CASE_METHOD(Updates, "a_paused_rollout_stands_still_is_healed_and_goes_on") {
    host("c");
    serve(4);
    release(4, true);
    settle();
    is(id_of(2), InstanceState::kReady);
    settle();
    seen.nodes["gate"].routes_version = seen.routes_version;
    settle();  // the first of the old has gone
    apply(set_paused(web(), true, now), wanted, seen);
    catch_up();
    const Counts paused = by_release();
    CHECK(paused.at(1) + paused.at(2) >= 4);
    CHECK(paused.at(1) >= 1);
    pass(24h);
    catch_up();
    CHECK(by_release() == paused);
    CHECK(rollout(2) == Rollout::kRolling);
    // A host that is lost takes some of each along: what serves is brought back to the number.
    silent = {"a"};
    pass(6s);
    catch_up();
    const Counts healed = by_release();
    int all = 0;
    for (const auto& [number, count] : healed) all += count;
    CHECK(all >= 4);
    apply(set_paused(web(), false, now), wanted, seen);
    catch_up();
    CHECK(by_release() == Counts{{2, 4}});
    CHECK(rollout(2) == Rollout::kDone);
}

// Found by the simulator: each successor was one more of the new to be kept, and to be moved.
TEST_CASE_METHOD(Updates, "what_is_new_on_a_drained_host_stays_while_its_rollout_is_paused") {
    host("c");
    serve(4);
    release(4, true);
    settle();
    is(id_of(2), InstanceState::kReady);
    settle();
    apply(set_paused(web(), true, now), wanted, seen);
    catch_up();
    const Counts paused = by_release();
    mode(wanted.instances.at(id_of(2)).node, NodeMode::kDraining);
    catch_up();
    CHECK(by_release() == paused);
    apply(set_paused(web(), false, now), wanted, seen);
    catch_up();
    CHECK(by_release() == Counts{{2, 4}});
}

TEST_CASE_METHOD(Updates, "a_restart_makes_all_instances_anew") {
    serve(2);
    Release again = *web().find(1);
    again.copy_of = 1;
    apply(start_release(wanted, kWeb, std::move(again), now, WallTime()), wanted, seen);
    catch_up();
    CHECK(by_release() == Counts{{2, 2}});
}

TEST_CASE_METHOD(Updates, "a_restart_of_blue_and_green_shows_all_of_the_new_at_once") {
    serve(3);
    update_by(kBlueGreen, 3, true);
    catch_up();
    apply(promote(web(), now), wanted, seen);
    catch_up();
    REQUIRE(rollout(2) == Rollout::kDone);
    Release again = *web().find(2);
    again.copy_of = 2;
    apply(start_release(wanted, kWeb, std::move(again), now, WallTime()), wanted, seen);
    settle();
    is(id_of(3), InstanceState::kReady);
    settle();
    CHECK(routed() == std::set<uint64_t>{2});  // one of three could not bear it
    catch_up();
    CHECK(by_release() == Counts{{3, 3}});
    CHECK(rollout(3) == Rollout::kDone);
}

}  // namespace
}  // namespace candela::lighthouse
