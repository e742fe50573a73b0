#include "vault.h"

#include <optional>

#include <catch2/catch_test_macros.hpp>

#include "base/encoding.h"
#include "loop/file.h"
#include "loop/uv_loop.h"
#include "sealing.h"
#include "temp_folder.h"
#include "value_delivery.h"
#include "value_storage.h"

namespace candela::lighthouse {
namespace {

class Vaulted {
public:
    template <class T>
    T finish(Task<T> task) {
        std::optional<T> out;
        TaskGroup group;
        group.spawn(store_result(std::move(task), out));
        REQUIRE(loop.run_until([&] { return out.has_value(); }, 20s));
        return std::move(*out);
    }
    std::unique_ptr<Vault> open() {
        auto vault = std::make_unique<Vault>(loop, folder.path());
        REQUIRE(finish(vault->open()));
        return vault;
    }

    test::TempFolder folder;
    InProcessHub hub;
    UvLoop loop{hub};

private:
    template <class T>
    static Task<void> store_result(Task<T> task, std::optional<T>& out) {
        out.emplace(co_await task);
    }
};

TEST_CASE_METHOD(Vaulted, "what_was_sealed_before_a_rotation_opens_after_it_and_a_restart") {
    auto vault = open();
    const auto old = vault->seal(Secret(std::string("old")));
    const Secret purpose = vault->derive_key("audit log");
    REQUIRE(finish(vault->rotate()));
    const auto fresh = vault->seal(Secret(std::string("new")));
    CHECK(vault->is_stale(*old));
    CHECK_FALSE(vault->is_stale(*fresh));
    vault = open();
    CHECK(vault->unseal(*old)->reveal() == "old");
    CHECK(vault->unseal(*fresh)->reveal() == "new");
    CHECK(vault->derive_key("audit log").reveal() == purpose.reveal());
}

TEST_CASE_METHOD(Vaulted, "a_bounded_number_of_keys_is_kept_and_derived_ones_never_change") {
    auto vault = open();
    const Secret purpose = vault->derive_key("audit log");
    const auto old = vault->seal(Secret(std::string("old")));
    for (size_t i = 0; i < Vault::kKeysMax; ++i) REQUIRE(finish(vault->rotate()));
    CHECK_FALSE(vault->unseal(*old));
    vault = open();
    CHECK_FALSE(vault->unseal(*old));
    CHECK(vault->derive_key("audit log").reveal() == purpose.reveal());
}

TEST_CASE_METHOD(Vaulted, "a_file_that_is_no_key_is_refused") {
    REQUIRE(write_file(folder / "sealing.key", "not a key\n", 0600));
    Vault vault(loop, folder.path());
    const auto opened = finish(vault.open());
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code() == Code::kCorrupt);
}

TEST_CASE_METHOD(Vaulted, "a_rotation_seals_anew_what_sql_keeps") {
    auto vault = open();
    State state(loop, Logger(), PlanLimits(), HoldLimits());
    REQUIRE(finish(state.open("sqlite:" + (folder / "state.db").string())));
    const ValueKey key{"default", service::ValueKind::kSecret, "password"};
    for (int i = 0; i < 3; ++i) {
        NewValue value;
        value.key = key;
        value.content = *vault->seal(Secret(std::string("hunter") + std::to_string(i)));
        State::MakeChange make = [&]() -> Result<Change> {
            return change_value(state.wanted(), value, loop.now(), loop.wall());
        };
        REQUIRE(finish(state.change(std::move(make))));
    }
    const auto contents = [&] {
        auto work = [key](store::Connection& db) {
            return read_values(db, {ValueAt(key, 1), ValueAt(key, 2), ValueAt(key, 3)});
        };
        return *finish(state.database().run(std::move(work)));
    };
    const auto before = contents();
    const auto count = std::make_shared<size_t>(0);
    REQUIRE(finish(rotate_and_reseal(state, *vault, count)));
    CHECK(*count == 3);
    const auto after = contents();
    for (size_t i = 0; i < 3; ++i) {
        CHECK(vault->is_stale(before[i]));
        CHECK_FALSE(vault->is_stale(after[i]));
        CHECK(vault->unseal(after[i])->reveal() == "hunter" + std::to_string(i));
    }
    // As the next start does: there is nothing left to do.
    REQUIRE(finish(reseal(state, *vault, count)));
    CHECK(*count == 3);
}

TEST_CASE_METHOD(Vaulted, "values_go_to_the_host_of_an_instance_that_shall_run_and_to_no_other") {
    auto vault = open();
    State state(loop, Logger(), PlanLimits(), HoldLimits());
    REQUIRE(finish(state.open("sqlite:" + (folder / "state.db").string())));
    const auto commit = [&](Change change) {
        State::MakeChange make = [&]() -> Result<Change> { return change; };
        REQUIRE(finish(state.change(std::move(make))));
    };
    State::Work make_space = [&] { return state.put_space(SpaceRecord("default", loop.wall())); };
    REQUIRE(finish(state.run(std::move(make_space))));
    NewValue value;
    value.key = ValueKey{"default", service::ValueKind::kSecret, "password"};
    value.content = *vault->seal(Secret(std::string("hunter")));
    commit(*change_value(state.wanted(), value, loop.now(), loop.wall()));
    Release release;
    release.manifest.name = "web";
    release.manifest.command = {"true"};
    release.manifest.values.push_back(service::ValueUse());
    release.manifest.values.back().name = "password";
    release.manifest.values.back().env = "PASSWORD";
    release.values = *pin_values(state.wanted().values, "default", release.manifest);
    release.bundle = std::string(64, 'a');
    const ServiceKey key("default", "web");
    commit(start_release(state.wanted(), key, release, loop.now(), loop.wall()));
    Change placed;
    Instance instance;
    instance.id = "web-1";
    instance.service = key;
    instance.release = 1;
    instance.node = "a";
    placed.instances.push_back(instance);
    commit(placed);

    ValueDelivery delivery(state, *vault);
    const crypto::BoxKey box = crypto::BoxKey::generate();
    proto::ValuesPull pull("a", "web-1", std::string(as_text(box.public_key())));
    const auto given = finish(delivery.answer(pull));
    REQUIRE_FALSE(given.failure);
    REQUIRE(given.values.size() == 1);
    CHECK(given.values[0].version == 1);
    CHECK(box.open(as_bytes(given.values[0].sealed))->reveal() == "hunter");

    pull.node = "b";
    CHECK(finish(delivery.answer(pull)).failure.code == "denied");
    pull.node = "a";
    pull.instance = "web-2";
    CHECK(finish(delivery.answer(pull)).failure.code == "denied");
    pull.instance = "web-1";
    pull.box_key = "short";
    CHECK(finish(delivery.answer(pull)).failure.code == "invalid");
    pull.box_key = as_text(box.public_key());
    placed.instances[0].stage = Stage::kStopping;
    commit(placed);
    CHECK(finish(delivery.answer(pull)).failure.code == "denied");
}

}  // namespace
}  // namespace candela::lighthouse
