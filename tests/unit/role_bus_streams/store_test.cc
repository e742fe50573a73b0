#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "loop/uv_loop.h"
#include "store_fixture.h"

namespace candela::bus_role {
namespace {

using Fixture = StoreFixture;

TEST_CASE("a message is not visible before it is durable", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    log.append("a", {}, "one", Rollup::kNone, 1, {});
    CHECK(log.last_given() == 1);
    CHECK(log.last_given_of("a") == 1);
    CHECK(log.index().count() == 0);
    f.run();
    CHECK(log.index().count() == 1);
    CHECK(log.last_sequence() == 1);
}

TEST_CASE("many appends of one round share one sync", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    f.run();
    const uint64_t before = f.store->counters().commits;
    for (int i = 0; i < 100; ++i) log.append("a", {}, "x", Rollup::kNone, 1, {});
    f.run();
    CHECK(f.store->counters().commits == before + 1);
    CHECK(log.index().count() == 100);
}

TEST_CASE("a full disk refuses appends, keeps what is there, and takes appends again",
          "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    REQUIRE(f.append(log, "one").has_value());
    f.disk->set_capacity(f.disk->bytes() + 100);
    const Result<> full = f.append(log, std::string(5000, 'x'), "b");
    REQUIRE_FALSE(full.has_value());
    CHECK(full.error().code() == Code::kExhausted);
    CHECK(log.last_given() == 1);
    CHECK(log.last_given_of("b") == 0);
    f.disk->set_capacity(UINT64_MAX);
    REQUIRE(f.append(log, "two").has_value());
    f.disk = f.disk->after_kill();
    f.open();
    StreamLog* found = f.store->find(1);
    REQUIRE(found != nullptr);
    CHECK(found->index().count() == 2);
    CHECK(f.read(*found, 2) == "two");
}

TEST_CASE("a checkpoint that meets a full disk is tried again", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    REQUIRE(f.append(log, std::string(2000, 'x')).has_value());
    f.disk->set_capacity(f.disk->bytes() + 200);
    f.store->checkpoint();
    f.world->run_for(100ms);
    CHECK(f.store->counters().checkpoints == 0);
    CHECK(f.read(log, 1) == std::string(2000, 'x'));
    f.disk->set_capacity(UINT64_MAX);
    f.world->run_for(5s);
    CHECK(f.store->counters().checkpoints == 1);
    CHECK(f.read(log, 1) == std::string(2000, 'x'));
}

TEST_CASE("after a failed sync nothing is acknowledged any more", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    REQUIRE(f.append(log, "one").has_value());
    f.disk->set_sync_fails(true);
    CHECK_FALSE(f.append(log, "two").has_value());
    f.disk->set_sync_fails(false);
    CHECK_FALSE(f.append(log, "three").has_value());
    CHECK(f.store->refusal().has_value());
    CHECK(f.read(log, 1) == "one");
}

TEST_CASE("a start on a full disk serves what is there, and takes appends again later",
          "[streams]") {
    Fixture f;
    f.options.log_chunk_bytes = 0;
    f.open();
    StreamLog& log = f.store->create("blob", true, {});
    REQUIRE(f.append(log, "one").has_value());
    f.disk = f.disk->after_kill();
    f.disk->set_capacity(f.disk->bytes());
    f.open();
    StreamLog* found = f.store->find(1);
    REQUIRE(found != nullptr);
    CHECK(f.read(*found, 1) == "one");
    const Result<> full = f.append(*found, "two");
    REQUIRE_FALSE(full.has_value());
    CHECK(full.error().code() == Code::kExhausted);
    f.disk->set_capacity(UINT64_MAX);
    REQUIRE(f.append(*found, "two").has_value());
    f.disk = f.disk->after_kill();
    f.open();
    CHECK(f.read(*f.store->find(1), 2) == "two");
}

TEST_CASE("a stream that is synced at an interval", "[streams]") {
    Fixture f;
    f.options.log_chunk_bytes = 0;
    f.options.sync_interval = 500ms;
    f.open();
    StreamLog& log = f.store->create("blob", true, {});
    f.run();
    log.set_synced(false);
    const auto first = [](SimDisk& disk) {
        SeededRandom random(3);
        return disk.after_power_cut(random);
    };
    REQUIRE(f.append(log, "one").has_value());
    SECTION("keeps what it acknowledged when the process ends") {
        f.disk = f.disk->after_kill();
        f.open();
        CHECK(f.store->find(1)->index().count() == 1);
    }
    SECTION("keeps it after a power cut once the interval is over") {
        f.world->run_for(501ms);
        for (int i = 0; i < 20; ++i) {
            f.disk = first(*f.disk);
            f.open();
            CHECK(f.store->find(1)->index().count() == 1);
        }
    }
    SECTION("is synced with the next that is always synced") {
        StreamLog& other = f.store->create("other", true, {});
        REQUIRE(f.append(other, "x").has_value());
        f.disk = first(*f.disk);
        f.open();
        CHECK(f.store->find(1)->index().count() == 1);
    }
    SECTION("stops acknowledging when a sync fails") {
        f.disk->set_sync_fails(true);
        f.world->run_for(501ms);
        f.disk->set_sync_fails(false);
        CHECK_FALSE(f.append(log, "two").has_value());
    }
}

TEST_CASE("a flipped bit in a segment loses one message, which is reported", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    for (int i = 1; i <= 3; ++i) REQUIRE(f.append(log, "payload " + std::to_string(i)).has_value());
    f.checkpoint();
    const std::string segment = f.segment();
    REQUIRE_FALSE(segment.empty());
    const uint64_t record = (f.disk->size_of(segment) - kFileHeaderBytes) / 3;
    f.disk->flip_bit(segment, kFileHeaderBytes + record + kRecordHeaderBytes + 10, 3);
    SECTION("found when it is read") {
        CHECK(f.read(log, 1) == "payload 1");
        CHECK(f.read(log, 2) == "unreadable");
        CHECK(f.read(log, 3) == "payload 3");
        REQUIRE(log.lost().size() == 1);
        CHECK(log.lost()[0] == SequenceRange{2, 1});
    }
    SECTION("found after a start, which reads the index only") {
        f.disk = f.disk->after_kill();
        f.open();
        StreamLog* found = f.store->find(1);
        REQUIRE(found != nullptr);
        CHECK(found->lost().empty());
        CHECK(f.read(*found, 2) == "unreadable");
        REQUIRE(found->lost().size() == 1);
        CHECK(found->lost()[0] == SequenceRange{2, 1});
        CHECK(found->index().count() == 2);
        CHECK(f.read(*found, 3) == "payload 3");
        CHECK(found->last_sequence() == 3);
        CHECK(f.store->counters().damaged_places == 1);
    }
}

TEST_CASE("any flipped bit of an index file loses nothing", "[streams]") {
    Fixture f;
    f.options.index_bytes_max = 0;
    f.open();
    StreamLog& log = f.store->create("blob", true, {});
    for (int i = 1; i <= 3; ++i) {
        for (int j = 0; j < 40; ++j) log.append("a", {}, std::to_string(i), Rollup::kNone, 1, {});
        f.run();
        f.checkpoint();
    }
    const std::string index = f.path_that_ends(".idx");
    REQUIRE_FALSE(index.empty());
    const uint64_t size = f.disk->size_of(index);
    for (uint64_t at = 0; at < size; ++at) {
        INFO("byte " << at);
        std::unique_ptr<SimDisk> before = f.disk->after_kill();
        std::swap(before, f.disk);
        f.disk->flip_bit(index, at, static_cast<unsigned>(at % 8));
        f.open();
        StreamLog* found = f.store->find(1);
        REQUIRE(found != nullptr);
        CHECK(found->lost().empty());
        REQUIRE(found->index().count() == 120);
        CHECK(found->index().find_subject("a")->count == 120);
        CHECK(f.read(*found, 1) == "1");
        CHECK(f.read(*found, 120) == "3");
        f.store.reset();
        std::swap(before, f.disk);
    }
}

TEST_CASE("an index file that rots while its segment is served is made up for", "[streams]") {
    Fixture f;
    f.options.index_bytes_max = 0;
    f.open();
    StreamLog& log = f.store->create("blob", true, {});
    // Blocks beyond those that always stay in memory.
    constexpr uint64_t kCount = uint64_t{256} * 2 * IndexCache::kBlocksKept;
    for (uint64_t i = 1; i <= kCount; ++i) log.append("a", {}, "x", Rollup::kNone, 1, {});
    f.run();
    f.checkpoint();
    f.disk->flip_bit(f.path_that_ends(".idx"), kFileHeaderBytes + 40, 1);
    CHECK(f.read(log, kCount) == "x");
    CHECK(f.read(log, 3) == "x");
    CHECK(log.lost().empty());
    CHECK(f.store->counters().damaged_places == 1);
}

TEST_CASE("a missing index file is made again", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    for (int i = 1; i <= 9; ++i) {
        REQUIRE(f.append(log, std::to_string(i), "s." + std::to_string(i % 2)).has_value());
    }
    f.checkpoint();
    const std::string index = f.path_that_ends(".idx");
    REQUIRE(f.disk->remove(index).has_value());
    SECTION("where there is room for it") {}
    SECTION("and done without where the disk is full") { f.disk->set_capacity(f.disk->bytes()); }
    f.disk = f.disk->after_kill();
    f.open();
    StreamLog* found = f.store->find(1);
    REQUIRE(found != nullptr);
    CHECK(found->index().count() == 9);
    CHECK(found->lost().empty());
    CHECK(f.read(*found, 5) == "5");
    CHECK(found->index().find_subject("s.1")->count == 5);
}

TEST_CASE("a compressed stream takes less room and reads the same", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    log.set_packed(true);
    std::string text;
    for (int i = 0; i < 40; ++i) text += "the same words again ";
    for (int i = 1; i <= 300; ++i) {
        log.append("a", {}, text + std::to_string(i), Rollup::kNone, 1, {});
    }
    f.run();
    f.checkpoint();
    CHECK(f.disk->size_of(f.segment()) < 300 * text.size() / 4);
    f.disk = f.disk->after_kill();
    f.open();
    StreamLog* found = f.store->find(1);
    REQUIRE(found != nullptr);
    REQUIRE(found->index().count() == 300);
    for (const uint64_t i : {1, 77, 256, 300}) CHECK(f.read(*found, i) == text + std::to_string(i));
    SECTION("a flipped bit loses its pack, and no other") {
        f.disk->flip_bit(f.segment(), kFileHeaderBytes + 60, 1);
        f.open();
        found = f.store->find(1);
        CHECK(f.read(*found, 1) == "unreadable");
        CHECK(f.read(*found, 300) == text + "300");
    }
    SECTION("its index is made again, too") {
        REQUIRE(f.disk->remove(f.path_that_ends(".idx")).has_value());
        f.open();
        found = f.store->find(1);
        CHECK(found->index().count() == 300);
        CHECK(f.read(*found, 200) == text + "200");
    }
}

TEST_CASE("limits turn out the oldest", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    LogLimits limits;
    limits.messages_per_subject_max = 2;
    log.set_limits(limits);
    for (int i = 0; i < 4; ++i) REQUIRE(f.append(log, "x", "a").has_value());
    REQUIRE(f.append(log, "x", "b").has_value());
    CHECK(log.index().count() == 3);
    CHECK(log.first_sequence() == 3);
    limits.messages_max = 1;
    log.set_limits(limits);
    CHECK(log.index().count() == 1);
    CHECK(log.first_sequence() == 5);
    limits.age_max = 1s;
    log.set_limits(limits);
    CHECK(log.expire(500'000'000) == 1'000'000'001);
    CHECK(log.expire(2'000'000'000) == 0);
    CHECK(log.index().count() == 0);
    CHECK(log.first_sequence() == 6);
}

TEST_CASE("a rollup takes the place of what was before, also after a crash", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    REQUIRE(f.append(log, "1", "a").has_value());
    REQUIRE(f.append(log, "2", "b").has_value());
    REQUIRE(f.append(log, "3", "a", Rollup::kSubject).has_value());
    CHECK(log.find(1) == nullptr);
    CHECK(log.find(2) != nullptr);
    f.disk = f.disk->after_kill();
    f.open();
    StreamLog* found = f.store->find(1);
    REQUIRE(found != nullptr);
    CHECK(found->index().count() == 2);
    REQUIRE(f.append(*found, "4", "c", Rollup::kAll).has_value());
    CHECK(found->index().count() == 1);
    CHECK(found->first_sequence() == 4);
}

TEST_CASE("what old limits turned out does not come back when they are raised", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    LogLimits limits;
    limits.messages_max = 2;
    log.set_limits(limits);
    for (int i = 0; i < 5; ++i) REQUIRE(f.append(log, "x").has_value());
    f.store->update(log, "blob 2", {});
    log.set_limits(LogLimits());
    f.run();
    f.disk = f.disk->after_kill();
    f.open();
    StreamLog* found = f.store->find(1);
    REQUIRE(found != nullptr);
    CHECK(found->blob() == "blob 2");
    CHECK(found->index().count() == 2);
    CHECK(found->first_sequence() == 4);
}

TEST_CASE("a log file is used again, and what it held is never read again", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    REQUIRE(f.append(log, std::string(500, 'x')).has_value());
    const auto has_spare = [&] {
        const std::vector<std::string> paths = f.disk->paths();
        return std::find(paths.begin(), paths.end(), "wal/spare") != paths.end();
    };
    CHECK_FALSE(has_spare());
    f.checkpoint();
    CHECK(has_spare());
    f.store->drop(log, {});
    f.run();
    f.checkpoint();  // begins a log in the spare file, in which the stream still is
    f.disk = f.disk->after_kill();
    f.open();
    CHECK(f.store->logs().empty());
    CHECK(f.store->counters().damaged_places == 0);
    SECTION("also where its new header never reached the disk") {
        REQUIRE(f.append(f.store->create("blob", true, {}), "y").has_value());
        f.checkpoint();
        REQUIRE(has_spare());
        f.store.reset();
        REQUIRE(f.disk->rename("wal/spare", "wal/000000000099.wal").has_value());
        f.disk = f.disk->after_kill();
        f.open();
        CHECK(f.store->logs().size() == 1);
        CHECK(f.store->counters().damaged_places == 0);
    }
}

TEST_CASE("a dropped stream leaves nothing behind", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    REQUIRE(f.append(log, "x").has_value());
    f.checkpoint();
    REQUIRE_FALSE(f.segment().empty());
    f.store->drop(log, {});
    f.run();
    f.disk = f.disk->after_kill();
    f.open();
    CHECK(f.store->logs().empty());
    f.checkpoint();
    CHECK(f.segment().empty());
    f.open();
    CHECK(f.store->logs().empty());
}

TEST_CASE("segments in which little lives are cleared out", "[streams]") {
    Fixture f;
    f.options.segment_bytes_max = 2000;
    f.open();
    StreamLog& log = f.store->create("blob", true, {});
    LogLimits limits;
    limits.messages_per_subject_max = 1;
    log.set_limits(limits);
    REQUIRE(f.append(log, "kept", "kept").has_value());
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 20; ++i) REQUIRE(f.append(log, std::string(50, 'x'), "a").has_value());
        // Only what is alive goes to a segment: two checkpoints a round, so that some die there.
        f.checkpoint();
    }
    f.checkpoint();
    CHECK(log.index().count() == 2);
    CHECK(f.read(log, 1) == "kept");
    CHECK(f.disk->bytes() < 12000);
    const auto id = log.id();  // opening again ends the store that the log is of
    f.open();
    StreamLog* found = f.store->find(id);
    REQUIRE(found != nullptr);
    CHECK(f.read(*found, 1) == "kept");
}

TEST_CASE("consumers come back with their state and what changed since", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", true, {});
    f.store->put_consumer(log, 5, "config", {});
    f.store->put_consumer(log, 6, "other", {});
    f.run();
    f.checkpoint();
    f.store->change_consumer(log, 5, "change 1", {});
    f.store->change_consumer(log, 5, "change 2", {});
    f.store->drop_consumer(log, 6, {});
    f.run();
    f.disk = f.disk->after_kill();
    f.open();
    StreamLog* found = f.store->find(1);
    REQUIRE(found != nullptr);
    REQUIRE(found->consumers().size() == 1);
    const ConsumerImage& consumer = found->consumers().at(5);
    CHECK(consumer.blob == "config");
    CHECK(consumer.state == "state");
    CHECK(consumer.changes == std::vector<std::string>{"change 1", "change 2"});
}

TEST_CASE("a stream in memory needs no disk and is gone afterwards", "[streams]") {
    Fixture f;
    StreamLog& log = f.store->create("blob", false, {});
    const uint64_t changes = f.disk->changes();
    REQUIRE(f.append(log, "x").has_value());
    CHECK(f.read(log, 1) == "x");
    CHECK(f.disk->changes() == changes);
    f.open();
    CHECK(f.store->logs().empty());
}

TEST_CASE("a real disk and the log's own thread keep what was acknowledged", "[streams]") {
    char folder[] = "/tmp/candela-store-XXXXXX";
    REQUIRE(mkdtemp(folder) != nullptr);
    PosixDisk disk{std::filesystem::path(folder)};
    FixedStates states;
    StoreOptions options;
    options.log_bytes_max = 64 * 1024;
    constexpr uint64_t kCount = 3000;
    for (const uint64_t already : {uint64_t{0}, kCount}) {
        InProcessHub hub;
        UvLoop loop(hub);
        auto store = Store::open(loop, disk, options, 7, Logger());
        REQUIRE(store.has_value());
        (*store)->start(states);
        StreamLog* log = (*store)->find(1);
        if (already == 0) log = &(*store)->create("blob", true, {});
        REQUIRE(log != nullptr);
        REQUIRE(log->index().count() == already);
        uint64_t done = 0;
        for (uint64_t i = 0; i < kCount; ++i) {
            log->append("subject", "NATS/1.0\r\n\r\n", std::string(100, 'x'), Rollup::kNone, 1,
                        [&](const Result<>& result) { done += result ? 1 : 0; });
        }
        REQUIRE(loop.run_until([&] { return done == kCount; }, 30s));
        CHECK(log->index().count() == already + kCount);
        REQUIRE(loop.run_until([&] { return !(*store)->is_checkpointing(); }, 30s));
        CHECK((*store)->counters().checkpoints > 0);
    }
    std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace candela::bus_role
