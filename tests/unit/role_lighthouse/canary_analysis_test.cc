// What is made of gateways' figures: the sums, the verdict, and what the planner does by it.

#include <catch2/matchers/catch_matchers_string.hpp>

#include "planner_world.h"

namespace candela::lighthouse {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

AnswerFigures figures(uint64_t answers, uint64_t failures, Duration usual = 10ms, uint64_t slow = 0,
                      Duration slow_time = 1s) {
    AnswerFigures made;
    made.answers = answers;
    made.failures = failures;
    made.latency[latency_bucket(usual)] += answers - slow;
    made.latency[latency_bucket(slow_time)] += slow;
    return made;
}

Verdict verdict(const AnswerFigures& canary, const AnswerFigures& old,
                service::UpdateAnalysis limits = {}) {
    return judge_canary(limits, canary, old).verdict;
}

TEST_CASE("a_canary_as_good_as_the_old_is_good_once_both_have_answered_enough") {
    CHECK(verdict(figures(100, 0), figures(100, 0)) == Verdict::kGood);
    CHECK(verdict(figures(99, 0), figures(5000, 0)) == Verdict::kOpen);
    CHECK(verdict(figures(5000, 0), figures(99, 0)) == Verdict::kOpen);
    CHECK(verdict(AnswerFigures(), AnswerFigures()) == Verdict::kOpen);
    const Judgement good = judge_canary({}, figures(340, 1), figures(3060, 0));
    CHECK(good.verdict == Verdict::kGood);
    CHECK(good.why ==
          "0.29 % of 340 answers failed, p99 10.2 ms; of the old release 0 % of 3060 answers "
          "failed, p99 10.2 ms");
}

TEST_CASE("never_good_on_too_few_answers_even_without_any_limit") {
    service::UpdateAnalysis none;
    none.error_rate_above_old_max = service::kWholeRate;
    none.p99_above_old_max = 0;
    CHECK(verdict(figures(99, 0), AnswerFigures(), none) == Verdict::kOpen);
    CHECK(verdict(figures(100, 100), AnswerFigures(), none) == Verdict::kGood);
}

TEST_CASE("five_percent_of_errors_are_bad_as_soon_as_chance_does_not_explain_them") {
    const Judgement bad = judge_canary({}, figures(200, 10), figures(1800, 0));
    CHECK(bad.verdict == Verdict::kBad);
    CHECK(bad.why ==
          "5 % of 200 answers failed; at most 1 % may: of the old release's 1800 it was 0 %");
    // All that came has failed: there is no need to wait for a hundred.
    CHECK(verdict(figures(4, 4), figures(100, 0)) == Verdict::kBad);
    CHECK(verdict(figures(3, 3), figures(100, 0)) == Verdict::kOpen);
    // Two in a hundred is above the limit, and may be bad luck.
    CHECK(verdict(figures(100, 2), figures(900, 0)) == Verdict::kOpen);
    CHECK(verdict(figures(10'000, 200), figures(90'000, 0)) == Verdict::kBad);
    CHECK(verdict(figures(1000, 10), figures(9000, 0)) == Verdict::kGood);
}

TEST_CASE("errors_that_the_old_release_has_too_are_not_held_against_it") {
    CHECK(verdict(figures(1000, 50), figures(9000, 450)) == Verdict::kGood);
    service::UpdateAnalysis limits;
    limits.error_rate_max = 100;
    CHECK(verdict(figures(1000, 50), figures(9000, 450), limits) == Verdict::kBad);
    limits.error_rate_max = 0;
    CHECK(verdict(figures(1, 1), AnswerFigures(), limits) == Verdict::kBad);
    CHECK(verdict(figures(100, 0), figures(100, 0), limits) == Verdict::kGood);
}

TEST_CASE("a_canary_whose_p99_is_above_the_limit_is_bad") {
    service::UpdateAnalysis limits;
    limits.p99_max = 200ms;
    limits.p99_above_old_max = 0;
    const Judgement bad = judge_canary(limits, figures(200, 0, 10ms, 10), figures(100, 0));
    CHECK(bad.verdict == Verdict::kBad);
    CHECK_THAT(bad.why, StartsWith("5 % of 200 answers took longer than 200 ms, p99 is 1.05 s"));
    CHECK(verdict(figures(1000, 0, 10ms, 5), figures(100, 0), limits) == Verdict::kGood);
    CHECK(verdict(figures(1000, 0, 10ms, 12), figures(100, 0), limits) == Verdict::kOpen);
}

TEST_CASE("a_canary_that_is_slower_than_the_old_release_is_bad") {
    const Judgement bad = judge_canary({}, figures(200, 0, 300ms), figures(1800, 0, 100ms));
    CHECK(bad.verdict == Verdict::kBad);
    CHECK_THAT(bad.why, ContainsSubstring("of the old release's 1800 it was 115 ms"));
    CHECK(verdict(figures(200, 0, 180ms), figures(1800, 0, 100ms)) == Verdict::kGood);
    // A few milliseconds are nobody's concern, however many percent they are.
    CHECK(verdict(figures(200, 0, 8ms), figures(1800, 0, 1ms)) == Verdict::kGood);
}

TEST_CASE("p99_is_where_99_of_100_had_begun") {
    CHECK(figures(100, 0, 10ms, 1).p99() < 15ms);
    CHECK(figures(100, 0, 10ms, 2).p99() >= 1s);
    CHECK(AnswerFigures().p99() == 0s);
}

proto::AnswerReading reading(uint64_t answers, uint64_t failures, uint64_t release = 2) {
    proto::AnswerReading made;
    made.space = "default";
    made.service = "web";
    made.release = release;
    made.answers = answers;
    made.failures = failures;
    made.latency = {
        proto::LatencyCount(static_cast<uint32_t>(latency_bucket(10ms)), answers),
        proto::LatencyCount(kLatencyBuckets, 7),  // of a newer gateway
    };
    return made;
}

TEST_CASE("readings_that_are_lost_or_come_twice_change_nothing") {
    AnswerLedger ledger(1);
    ledger.take("a", "boot-1", reading(10, 1));
    ledger.take("a", "boot-1", reading(10, 1));
    // Those of 20 to 50 are lost.
    ledger.take("a", "boot-1", reading(60, 2));
    CHECK(ledger.of(2) == figures(60, 2));
    ledger.take("b", "boot-1", reading(40, 0));
    CHECK(ledger.of(2) == figures(100, 2));
    // One that starts anew counts from nothing; what it had told before stays.
    ledger.take("a", "boot-2", reading(5, 1));
    CHECK(ledger.of(2) == figures(105, 3));
    ledger.take("a", "boot-2", reading(8, 1));
    CHECK(ledger.of(2) == figures(108, 3));
    // So does one that had stopped to measure for a while.
    ledger.take("b", "boot-1", reading(2, 0));
    CHECK(ledger.of(2) == figures(110, 3));
    ledger.take("a", "boot-2", reading(7, 7, 1));
    CHECK(ledger.of(1) == figures(7, 7));
    CHECK(ledger.of(3) == AnswerFigures());
}

// ---- what the planner does by it

class Measured : public World {
public:
    Measured() {
        node("gate", "gateway");
        release(4, true);
        catch_up();
        REQUIRE(web().stable == 1);
    }
    void canary(bool by_hand = false, Duration after = 30s) {
        Release next;
        next.instances = 4;
        service::Update& update = next.manifest.update;
        update.strategy = service::UpdateStrategy::kCanary;
        update.canary_percent = 25;
        update.is_promoted_by_hand = by_hand;
        update.promote_after = after;
        update.analysis.emplace().timeout = 10min;
        next.manifest.stop.grace = 5s;
        next.manifest.probe.start_timeout = 20s;
        next.manifest.routes = {service::Route("web.localhost", "/")};
        apply(start_release(wanted, kWeb, std::move(next), now, from_unix_millis(5000)), wanted,
              seen);
        catch_up();
        REQUIRE(book.table().services.at(0).measure != 0);
    }
    // All that is wanted to run becomes ready, what should stop has ended, and gateways follow.
    void catch_up() {
        for (int round = 0; round < 20; ++round) {
            const auto done = settle();
            events(done);
            for (const auto& [id, instance] : wanted.instances) {
                is(id, instance.stage == Stage::kStopping ? InstanceState::kExited
                                                          : InstanceState::kReady);
            }
            book.update(wanted, seen, now, limits);
            seen.nodes["gate"].routes_version = seen.routes_version;
            if (done.empty() && round > 2) return;
        }
        FAIL("it never comes to rest");
    }
    void events(const std::vector<std::string>& done) {
        for (const std::string& line : done) all += line + "\n";
    }
    void tell(uint64_t answers, uint64_t failures, uint64_t old_answers, uint64_t old_failures,
              const std::string& boot = "boot-1", const std::string& gateway = "gate") {
        proto::NodeHeartbeat beat;
        beat.node = gateway;
        beat.boot_id = boot;
        beat.roles = {"gateway"};
        beat.sequence = ++sequence;
        beat.routes_version = seen.routes_version;
        beat.answers = {reading(answers, failures, 2), reading(old_answers, old_failures, 1)};
        for (auto& each : beat.answers) each.measure = measure_of(web());
        hear(beat, 0, wanted, seen, now, WallTime());
        catch_up();
    }
    Rollout rollout() const { return web().find(2)->rollout; }
    std::string cause() const { return web().find(2)->cause; }

    uint64_t sequence = 0;
    std::string all;
};

TEST_CASE_METHOD(Measured, "a_good_canary_takes_over_by_itself_and_the_figures_are_told") {
    canary();
    CHECK(waiting[kWeb] ==
          "the canary is well: it has answered 0 of the 100 requests that a verdict needs");
    tell(120, 0, 900, 1);
    CHECK_THAT(waiting[kWeb], StartsWith("the canary is well: 0 % of 120 answers failed"));
    pass(31s);
    catch_up();
    CHECK(rollout() == Rollout::kDone);
    CHECK(book.table().services.at(0).measure == 0);
    CHECK(seen.answers.empty());
    const Change change = promote(web(), now, "figures");
    CHECK(change.events.at(0).text == "figures");
}

TEST_CASE_METHOD(Measured, "a_canary_with_errors_is_rolled_back_with_the_figures_as_cause") {
    canary();
    tell(80, 8, 700, 0);
    CHECK(rollout() == Rollout::kRolledBack);
    CHECK(
        cause() ==
        "the canary does worse than it may: 10 % of 80 answers failed; at most 1 % may: of the old "
        "release's 700 it was 0 %");
    CHECK_FALSE(web().find(2)->failing.instance.empty());
    CHECK(web().target == 1);
    CHECK(book.table().services.at(0).measure == 0);
}

TEST_CASE_METHOD(Measured, "several_gateways_are_one_sum") {
    node("gate2", "gateway");
    canary();
    tell(60, 0, 60, 0);
    tell(60, 0, 60, 0, "boot-1", "gate2");
    pass(31s);
    for (auto& [name, entry] : seen.nodes) entry.routes_version = seen.routes_version;
    catch_up();
    CHECK(web().find(2)->promoted);
}

TEST_CASE_METHOD(Measured, "without_traffic_it_is_rolled_back_when_the_time_is_over") {
    canary();
    tell(99, 0, 5000, 0);
    pass(9min);
    catch_up();
    CHECK(rollout() == Rollout::kRolling);
    pass(61s);
    catch_up();
    CHECK(rollout() == Rollout::kRolledBack);
    CHECK(cause() ==
          "the canary was not proven within 10m: it has answered 99 of the 100 requests that a "
          "verdict needs");
}

TEST_CASE_METHOD(Measured, "on_the_border_it_waits_and_is_rolled_back_when_the_time_is_over") {
    canary();
    tell(100, 2, 900, 0);
    pass(9min);
    catch_up();
    CHECK(rollout() == Rollout::kRolling);
    pass(2min);
    catch_up();
    CHECK_THAT(cause(), ContainsSubstring("not proven within 10m: 2 % of 100 answers failed"));
}

TEST_CASE_METHOD(Measured, "one_that_is_good_and_never_well_for_long_enough_ends_too") {
    canary(false, 9min);
    tell(200, 0, 900, 0);
    pass(8min);
    catch_up();
    for (const auto& [id, instance] : wanted.instances) {
        if (instance.release == 2) is(id, InstanceState::kUnready);
    }
    settle();
    catch_up();
    pass(3min);
    catch_up();
    CHECK(cause() == "the canary was not well for 9m without a break within 10m");
}

TEST_CASE_METHOD(Measured, "a_lighthouse_that_starts_anew_has_the_figures_with_the_next_beats") {
    canary();
    tell(90, 0, 900, 0);
    begin_anew(wanted, seen, now);
    seen.listening_since = now;
    CHECK(seen.answers.empty());
    tell(120, 0, 1000, 0);
    CHECK(judgement_of(web(), seen)->verdict == Verdict::kGood);
    pass(31s);
    catch_up();
    CHECK(rollout() == Rollout::kDone);
}

TEST_CASE_METHOD(Measured, "a_gateway_that_vanishes_leaves_what_it_has_told") {
    canary();
    tell(120, 0, 900, 0, "boot-1", "gate2");
    apply(remove_node(seen.nodes.at("gate2")), wanted, seen);
    pass(31s);
    catch_up();
    CHECK(rollout() == Rollout::kDone);
}

TEST_CASE_METHOD(Measured, "figures_of_another_measurement_do_not_count") {
    canary();
    proto::NodeHeartbeat beat;
    beat.node = "gate";
    beat.roles = {"gateway"};
    beat.sequence = ++sequence;
    beat.routes_version = seen.routes_version;
    beat.answers = {reading(1000, 1000, 2)};
    for (const uint64_t measure : {uint64_t{0}, measure_of(web()) + 1}) {
        beat.answers[0].measure = measure;
        beat.sequence = ++sequence;
        hear(beat, 0, wanted, seen, now, WallTime());
    }
    CHECK(seen.answers.empty());
    beat.answers[0].measure = measure_of(web());
    beat.answers[0].release = 77;  // there is none
    beat.sequence = ++sequence;
    hear(beat, 0, wanted, seen, now, WallTime());
    CHECK(judgement_of(web(), seen)->verdict == Verdict::kOpen);
}

TEST_CASE_METHOD(Measured, "a_person_decides_with_the_figures_and_bad_ones_decide_alone") {
    canary(true);
    tell(200, 0, 900, 0);
    pass(1h);
    catch_up();
    CHECK(rollout() == Rollout::kRolling);
    CHECK_THAT(waiting[kWeb], StartsWith("the canary is well: 0 % of 200 answers failed") &&
                                  ContainsSubstring("; candela ctl promote web lets it"));
    tell(260, 40, 900, 0);
    CHECK(rollout() == Rollout::kRolledBack);
}

TEST_CASE_METHOD(Measured, "a_paused_canary_has_all_the_time_and_is_rolled_back_if_it_is_bad") {
    canary();
    apply(set_paused(web(), true, now), wanted, seen);
    tell(200, 0, 900, 0);
    pass(1h);
    catch_up();
    CHECK(rollout() == Rollout::kRolling);
    CHECK_FALSE(web().find(2)->promoted);
    apply(set_paused(web(), false, now), wanted, seen);
    catch_up();
    tell(260, 40, 900, 0);
    CHECK(rollout() == Rollout::kRolledBack);
}

TEST_CASE_METHOD(Measured, "what_served_before_is_not_judged_again") {
    canary();
    tell(80, 8, 700, 0);
    REQUIRE(rollout() == Rollout::kRolledBack);
    Release again = copy_of(*web().find(2), "restart");
    apply(start_release(wanted, kWeb, std::move(again), now, WallTime()), wanted, seen);
    CHECK(measure_of(web()) == 0);
    catch_up();
    CHECK(web().find(3)->rollout == Rollout::kDone);
}

}  // namespace
}  // namespace candela::lighthouse
