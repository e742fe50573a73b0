#include "space_values.h"

#include "planner_world.h"

namespace candela::lighthouse {
namespace {

using service::OnChange;
using service::ValueKind;

const ValueKey kPassword{"default", ValueKind::kSecret, "password"};

service::ValueUse use(std::string name, OnChange change) {
    service::ValueUse made;
    made.name = name;
    (change == OnChange::kRestart ? made.env : made.file) = name;
    made.on_change = change;
    return made;
}

NewValue next(ValueKey key = kPassword, uint64_t bytes = 10) {
    NewValue value;
    value.key = std::move(key);
    value.bytes = bytes;
    value.content = "sealed";
    value.author = "ada";
    return value;
}

// A service whose manifest uses the secret, deployed as the API does it.
class Secretive : public World {
public:
    Result<> deploy(OnChange change, service::UpdateStrategy strategy = {}) {
        Release release;
        release.instances = 2;
        release.manifest.name = "web";
        release.manifest.values = {use("password", change)};
        release.manifest.update.strategy = strategy;
        release.manifest.update.is_promoted_by_hand = true;
        CANDELA_TRY_ASSIGN(release.values, pin_values(wanted.values, "default", release.manifest));
        apply(start_release(wanted, kWeb, std::move(release), now, WallTime()), wanted, seen);
        return {};
    }
    Result<> set(NewValue value = next()) {
        CANDELA_TRY_ASSIGN(const Change change, change_value(wanted, value, now, WallTime()));
        nodes = apply(change, wanted, seen);
        return {};
    }
    void all_ready() {
        for (int i = 0; i < 10; ++i) {
            settle();
            for (const auto& [id, instance] : wanted.instances) {
                if (instance.stage == Stage::kStopping) {
                    is(id, InstanceState::kExited);
                } else if (instance.stage == Stage::kRun) {
                    is(id, InstanceState::kReady);
                }
            }
        }
        settle();
    }
    uint64_t pin(uint64_t release) const {
        return web().find(release)->values.at({ValueKind::kSecret, "password"});
    }
    std::set<std::string> nodes;  // whose assignments the last change touched
};

TEST_CASE_METHOD(Secretive, "a_release_that_uses_a_missing_secret_is_refused_with_the_remedy") {
    const auto refused = deploy(OnChange::kRestart);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Code::kNotFound);
    CHECK(refused.error().message() ==
          "web uses what the space default does not have: the secret password; set it by candela "
          "ctl secrets set");
}

TEST_CASE_METHOD(Secretive, "a_new_version_restarts_what_uses_it_as_a_rollout_of_the_same") {
    REQUIRE(set());
    REQUIRE(deploy(OnChange::kRestart));
    all_ready();
    REQUIRE(web().find(1)->rollout == Rollout::kDone);
    REQUIRE(set());
    CHECK(web().target == 2);
    CHECK(web().find(2)->copy_of == 1);
    CHECK(web().find(2)->reason == "secret password");
    CHECK(web().find(2)->rollout == Rollout::kRolling);
    CHECK(pin(1) == 1);
    CHECK(pin(2) == 2);
    all_ready();
    CHECK(web().find(2)->rollout == Rollout::kDone);
}

TEST_CASE_METHOD(Secretive, "a_secret_that_breaks_its_service_is_taken_back_with_the_release") {
    REQUIRE(set());
    REQUIRE(deploy(OnChange::kRestart));
    all_ready();
    REQUIRE(set());
    for (int i = 0; i < 4; ++i) {
        settle();
        for (const auto& [id, instance] : wanted.instances) {
            if (instance.release == 2) is(id, InstanceState::kFailed);
        }
    }
    CHECK(web().find(2)->rollout == Rollout::kRolledBack);
    CHECK(web().target == 1);
    CHECK(pin(1) == 1);
}

TEST_CASE_METHOD(Secretive, "what_is_told_by_signal_keeps_its_release_and_its_host_hears_of_it") {
    REQUIRE(set());
    REQUIRE(deploy(OnChange::kSignal));
    all_ready();
    REQUIRE(set());
    CHECK(web().target == 1);
    CHECK(pin(1) == 2);
    CHECK(nodes == std::set<std::string>{"a", "b"});
    CHECK(effect_of(wanted, next()).told == std::vector<std::string>{"web"});
}

TEST_CASE_METHOD(Secretive, "a_change_without_a_restart_waits_for_the_next_release") {
    REQUIRE(set());
    REQUIRE(deploy(OnChange::kRestart));
    all_ready();
    NewValue quiet = next();
    quiet.restarts = false;
    REQUIRE(set(quiet));
    CHECK(web().target == 1);
    CHECK(pin(1) == 1);
    REQUIRE(deploy(OnChange::kRestart));
    CHECK(pin(2) == 2);
}

TEST_CASE_METHOD(Secretive, "a_job_is_not_run_again_for_a_new_secret") {
    kind = service::Kind::kJob;
    REQUIRE(set());
    REQUIRE(deploy(OnChange::kRestart));
    wanted.services.at(kWeb).releases.at(1).manifest.kind = service::Kind::kJob;
    REQUIRE(set());
    CHECK(web().target == 1);
    CHECK(pin(1) == 2);
    CHECK(effect_of(wanted, next()).restarted.empty());
}

TEST_CASE_METHOD(Secretive, "a_canary_stays_on_probation_when_its_secret_changes") {
    REQUIRE(set());
    REQUIRE(deploy(OnChange::kRestart));
    all_ready();
    REQUIRE(deploy(OnChange::kRestart, service::UpdateStrategy::kCanary));
    REQUIRE_FALSE(web().find(2)->promoted);
    REQUIRE(set());
    CHECK(web().target == 3);
    CHECK_FALSE(web().find(3)->promoted);
}

TEST_CASE_METHOD(Secretive, "a_paused_rollout_is_not_begun_anew_by_a_secret") {
    REQUIRE(set());
    REQUIRE(deploy(OnChange::kRestart));
    all_ready();
    REQUIRE(deploy(OnChange::kRestart));
    apply(set_paused(web(), true, now), wanted, seen);
    const auto refused = set();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Code::kConflict);
    CHECK(wanted.values.at(kPassword).size() == 1);
}

TEST_CASE_METHOD(Secretive, "a_secret_in_use_is_not_removed_and_an_unused_one_is") {
    REQUIRE(set());
    REQUIRE(deploy(OnChange::kRestart));
    const auto refused = remove_value(wanted, kPassword, "ada");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Code::kConflict);
    CHECK(refused.error().message() ==
          "the secret password is used by web; deploy without it first");
    wanted.services.clear();
    const auto removed = remove_value(wanted, kPassword, "ada");
    REQUIRE(removed);
    apply(*removed, wanted, seen);
    CHECK(wanted.values.empty());
}

TEST_CASE_METHOD(Secretive, "old_versions_go_but_for_those_in_use") {
    REQUIRE(set());
    REQUIRE(deploy(OnChange::kRestart));
    all_ready();
    NewValue quiet = next();
    quiet.restarts = false;
    for (size_t i = 0; i < 2 * kValueVersionsMax; ++i) REQUIRE(set(quiet));
    const ValueVersions& versions = wanted.values.at(kPassword);
    CHECK(versions.size() == kValueVersionsMax);
    CHECK(versions.contains(1));
    CHECK(versions.rbegin()->first == 2 * kValueVersionsMax + 1);
}

TEST_CASE_METHOD(Secretive, "number_and_sizes_of_values_are_bounded") {
    for (size_t i = 0; i < kValuesOfSpaceMax; ++i) {
        REQUIRE(set(next(ValueKey{"default", ValueKind::kConfig, fmt::format("c{}", i)})));
    }
    const auto refused = set(next(ValueKey{"default", ValueKind::kConfig, "more"}));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Code::kExhausted);
    CHECK(set(next(ValueKey{"other", ValueKind::kConfig, "more"})));

    const auto large = set(next(ValueKey{"default", ValueKind::kSecret, "l"}, 17 << 20));
    REQUIRE_FALSE(large);
    CHECK(large.error().message().find("at most 16.0 MiB") != std::string::npos);

    REQUIRE(set());
    REQUIRE(deploy(OnChange::kRestart));
    const auto too_much = set(next(kPassword, service::kValuesOfServiceBytesMax + 1));
    REQUIRE_FALSE(too_much);
    CHECK(too_much.error().message().find("the values that web uses") != std::string::npos);
}

TEST_CASE("pins_are_read_as_they_were_written") {
    ValuePins pins = {{{ValueKind::kSecret, "a.b"}, 3}, {{ValueKind::kConfig, "c"}, 1}};
    CHECK(parse_value_pins(to_text(pins)) == pins);
    CHECK(parse_value_pins("") == ValuePins());
}

}  // namespace
}  // namespace candela::lighthouse
