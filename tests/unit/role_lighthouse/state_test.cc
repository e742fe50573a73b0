#include "state.h"

#include <filesystem>

#include <catch2/catch_test_macros.hpp>

#include "loop/uv_loop.h"

namespace candela::lighthouse {
namespace {

using proto::InstanceState;

const ServiceKey kWeb("default", "web");

// A State over a real database, with one host whose heartbeats the test sends.
class World {
public:
    World() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "lighthouse-XXXXXX").string();
        folder = ::mkdtemp(pattern.data());
    }
    ~World() {
        state.reset();
        std::filesystem::remove_all(folder);
    }

    // Ends the state as a crash would, and opens it again.
    Result<> open() {
        state.reset();
        state = std::make_unique<State>(loop, Logger(), PlanLimits(), HoldLimits());
        const auto opened = finish(state->open("sqlite:" + (folder / "state.db").string()));
        if (!opened) return opened;
        state->listening(true);
        if (state->spaces().empty()) {
            State::Work work = [this] {
                return state->put_space(SpaceRecord("default", loop.wall()));
            };
            REQUIRE(finish(state->run(std::move(work))));
        }
        return {};
    }

    template <class T>
    T finish(Task<T> task) {
        std::optional<T> out;
        TaskGroup group;
        group.spawn(store_result(std::move(task), out));
        REQUIRE(loop.run_until([&] { return out.has_value(); }, 20s));
        return std::move(*out);
    }
    void until(const std::function<bool()>& condition) { REQUIRE(loop.run_until(condition, 20s)); }

    Result<> deploy(uint32_t instances) {
        Release release;
        release.manifest.name = "web";
        release.manifest.command = {"true"};
        release.instances = instances;
        release.bundle = std::string(64, 'a');
        State::MakeChange make = [this, release]() -> Result<Change> {
            return start_release(state->wanted(), kWeb, release, loop.now(), loop.wall());
        };
        return finish(state->change(std::move(make)));
    }

    // All instances of the host are in this state.
    void beat(InstanceState instances) {
        proto::NodeHeartbeat message;
        message.node = "a";
        message.boot_id = "1";
        message.sequence = ++sequence;
        message.roles = {"host"};
        message.instances_complete = true;
        message.assignments_version =
            state->assignments_for(proto::AssignmentsPull("a", 0, "1")).version;
        for (const auto& [id, instance] : state->wanted().instances) {
            proto::InstanceStatus status;
            status.instance = id;
            status.state = instance.stage == Stage::kStopping ? InstanceState::kExited : instances;
            status.port = 9000;
            message.instances.push_back(status);
        }
        state->hear(message);
    }
    const Release* release(uint64_t number) const {
        const auto service = state->wanted().services.find(kWeb);
        return service == state->wanted().services.end() ? nullptr : service->second.find(number);
    }
    Result<> pragma(const std::string& sql) {
        auto work = [sql](store::Connection& db) -> Result<> {
            CANDELA_TRY(db.query(sql));
            return {};
        };
        return finish(state->database().run(std::move(work)));
    }

    InProcessHub hub;
    UvLoop loop{hub};
    std::filesystem::path folder;
    std::unique_ptr<State> state;
    uint64_t sequence = 0;

private:
    template <class T>
    static Task<void> store_result(Task<T> task, std::optional<T>& out) {
        out.emplace(co_await task);
    }
};

TEST_CASE_METHOD(World, "a_rollout_goes_on_after_a_restart_at_any_point") {
    REQUIRE(open());
    beat(InstanceState::kReady);
    REQUIRE(deploy(2));
    until([&] { return state->wanted().instances.size() == 2; });
    const auto placed = state->wanted().instances;
    const uint64_t first_epoch = state->epoch();

    REQUIRE(open());
    CHECK(state->epoch() > first_epoch);
    REQUIRE(state->wanted().instances.size() == 2);
    for (const auto& [id, instance] : placed) {
        CHECK(state->wanted().instances.at(id).node == instance.node);
    }
    REQUIRE(release(1) != nullptr);
    CHECK(release(1)->rollout == Rollout::kRolling);
    CHECK(release(1)->manifest.command == std::vector<std::string>{"true"});
    beat(InstanceState::kReady);
    until([&] { return release(1)->rollout == Rollout::kDone; });

    REQUIRE(deploy(2));
    beat(InstanceState::kReady);
    until([&] { return state->wanted().instances.size() == 3; });
    const uint64_t second_epoch = state->epoch();
    REQUIRE(open());
    CHECK(state->epoch() > second_epoch);
    until([&] {
        beat(InstanceState::kReady);
        return release(2)->rollout == Rollout::kDone && state->wanted().instances.size() == 2;
    });
    for (const auto& [id, instance] : state->wanted().instances) CHECK(instance.release == 2);
}

TEST_CASE_METHOD(World, "what_people_said_of_nodes_and_rollouts_outlives_a_restart") {
    REQUIRE(open());
    beat(InstanceState::kReady);
    REQUIRE(deploy(1));
    until([&] { return state->wanted().instances.size() == 1; });
    beat(InstanceState::kReady);
    until([&] { return release(1)->rollout == Rollout::kDone; });
    const auto change = [&](auto make_one) {
        State::MakeChange make = [this, make_one]() -> Result<Change> { return make_one(); };
        REQUIRE(finish(state->change(std::move(make))));
    };
    change([&] {
        Release canary = *release(1);
        canary.manifest.update.strategy = service::UpdateStrategy::kCanary;
        canary.manifest.update.is_promoted_by_hand = true;
        canary.reason = "deploy";
        canary.idempotency_key = "k";
        return start_release(state->wanted(), kWeb, canary, loop.now(), loop.wall());
    });
    change([&] { return set_paused(state->wanted().services.at(kWeb), true, loop.now()); });
    const WallTime until_when = loop.wall() + 1h;
    change([&] {
        return set_lock(state->wanted().services.at(kWeb), Lock("ada", "why", until_when));
    });
    change([&] { return set_node_mode(state->seen().nodes.at("a"), NodeMode::kDraining); });

    REQUIRE(open());
    const Service& web = state->wanted().services.at(kWeb);
    CHECK(web.paused);
    CHECK(web.lock.holder == "ada");
    CHECK(web.lock.reason == "why");
    CHECK(web.lock.is_held(until_when - 1s));
    CHECK_FALSE(web.lock.is_held(until_when + 1s));
    CHECK_FALSE(release(2)->promoted);
    CHECK(release(2)->reason == "deploy");
    CHECK(release(2)->idempotency_key == "k");
    CHECK(release(1)->promoted);
    CHECK(state->seen().nodes.at("a").mode == NodeMode::kDraining);

    change([&] { return remove_node(state->seen().nodes.at("a")); });
    REQUIRE(open());
    CHECK_FALSE(state->seen().nodes.contains("a"));
}

TEST_CASE_METHOD(World, "versions_grow_over_restarts") {
    REQUIRE(open());
    const uint64_t routes = state->routes_for(proto::RoutesPull()).version;
    const uint64_t assignments = state->assignments_for(proto::AssignmentsPull("a", 0, "")).version;
    REQUIRE(open());
    CHECK(state->routes_for(proto::RoutesPull()).version > routes);
    CHECK(state->assignments_for(proto::AssignmentsPull("a", 0, "")).version > assignments);
}

// Nodes obey no smaller epoch than they have seen.
TEST_CASE_METHOD(World, "a_database_from_an_earlier_time_gets_an_epoch_of_now") {
    REQUIRE(open());
    auto back = [](store::Connection& db) {
        return db.execute("UPDATE settings SET value = 7 WHERE name = 'epoch'");
    };
    REQUIRE(finish(state->database().run(std::move(back))));
    const int64_t now = unix_seconds(loop.wall());
    REQUIRE(open());
    CHECK(static_cast<int64_t>(state->epoch()) >= now);
}

TEST_CASE_METHOD(World, "a_pull_with_the_version_there_is_gets_nothing_else") {
    REQUIRE(open());
    beat(InstanceState::kReady);
    REQUIRE(deploy(1));
    until([&] { return state->wanted().instances.size() == 1; });
    const auto all = state->assignments_for(proto::AssignmentsPull("a", 0, "1"));
    REQUIRE(all.instances.size() == 1);
    CHECK(all.instances[0].command == std::vector<std::string>{"true"});
    CHECK(all.epoch == state->epoch());
    const auto same = state->assignments_for(proto::AssignmentsPull("a", all.version, "1"));
    CHECK(same.version == all.version);
    CHECK(same.instances.empty());
}

TEST_CASE_METHOD(World, "a_full_disk_refuses_and_changes_nothing_and_passes") {
    REQUIRE(open());
    beat(InstanceState::kReady);
    REQUIRE(deploy(1));
    until([&] { return state->wanted().instances.size() == 1; });
    REQUIRE(pragma("PRAGMA max_page_count = 1"));
    Result<> refused;
    // The pages that are there have some room left.
    for (int i = 0; i < 200 && refused; ++i) refused = deploy(1);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Code::kIo);
    const uint64_t last = state->wanted().services.at(kWeb).last_number;
    CHECK_FALSE(deploy(1));
    CHECK(state->wanted().services.at(kWeb).last_number == last);
    REQUIRE(pragma("PRAGMA max_page_count = 100000"));
    REQUIRE(deploy(1));
    CHECK(state->wanted().services.at(kWeb).last_number == last + 1);
}

TEST_CASE_METHOD(World, "a_change_whose_asker_is_gone_is_made_whole") {
    REQUIRE(open());
    auto release = std::make_shared<Release>();
    release->manifest.name = "web";
    release->manifest.command = {"true"};
    auto ask = [](State* target, std::shared_ptr<Release> wanted) -> Task<void> {
        State::MakeChange make = [target, wanted]() -> Result<Change> {
            return start_release(target->wanted(), kWeb, *wanted, target->loop().now(),
                                 target->loop().wall());
        };
        const auto done = co_await target->change(std::move(make));
        static_cast<void>(done);
    };
    {
        TaskGroup gone;
        gone.spawn(ask(state.get(), release));
    }
    until([&] { return this->release(1) != nullptr; });
    REQUIRE(open());
    CHECK(this->release(1) != nullptr);
}

TEST_CASE_METHOD(World, "a_refused_change_leaves_no_trace") {
    REQUIRE(open());
    State::MakeChange make = []() -> Result<Change> { return fail(Code::kConflict, "no"); };
    const auto refused = finish(state->change(std::move(make)));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Code::kConflict);
    CHECK(state->wanted().services.empty());
}

TEST_CASE_METHOD(World, "events_are_numbered_kept_and_bounded") {
    REQUIRE(open());
    beat(InstanceState::kReady);
    for (size_t i = 0; i < 30; ++i) REQUIRE(deploy(0));
    const uint64_t last = state->last_event();
    CHECK(last > 30);
    CHECK(state->events().size() <= State::kEventsInMemory);
    REQUIRE(open());
    CHECK(state->last_event() >= last);
    uint64_t before = 0;
    for (const StoredEvent& event : state->events()) {
        CHECK(event.id > before);
        before = event.id;
    }
}

TEST_CASE_METHOD(World, "keys_and_spaces_are_kept") {
    REQUIRE(open());
    KeyRecord key;
    key.public_key = "UKEY";
    key.name = "ci";
    key.space = "default";
    key.expires_at = 77;
    State::Work work = [this, key] { return state->put_key(key); };
    REQUIRE(finish(state->run(std::move(work))));
    REQUIRE(open());
    REQUIRE(state->keys().contains("UKEY"));
    CHECK(state->keys().at("UKEY").name == "ci");
    CHECK(state->keys().at("UKEY").expires_at == 77);
    CHECK(state->spaces().contains("default"));
}

TEST_CASE_METHOD(World, "a_damaged_database_is_refused_with_its_name") {
    REQUIRE(open());
    state.reset();
    std::filesystem::resize_file(folder / "state.db", 0);
    std::filesystem::remove(folder / "state.db-wal");
    const std::string text(8192, 'x');
    FILE* file = std::fopen((folder / "state.db").c_str(), "w");
    REQUIRE(file != nullptr);
    std::fwrite(text.data(), 1, text.size(), file);
    std::fclose(file);
    const auto opened = open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code() == Code::kCorrupt);
    CHECK(opened.error().message().find("state.db") != std::string::npos);
}

}  // namespace
}  // namespace candela::lighthouse
