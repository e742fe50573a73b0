// Segments that rot, vanish, or can't be read: what is lost is no more than that, it is told, and
// everything else is served.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "store_fixture.h"

namespace candela::bus_role {
namespace {

// Stream 1 with twelve messages in three segments, and stream 2 beside it.
struct RotFixture : StoreFixture {
    RotFixture() {
        options.segment_bytes_max = 1000;  // full with the fourth message
        open();
        StreamLog& log = store->create("blob", true, {});
        StreamLog& other = store->create("other", true, {});
        for (int segment = 0; segment < 3; ++segment) {
            for (int i = 1; i <= 4; ++i) {
                REQUIRE(append(log, text_of(static_cast<uint64_t>(segment * 4 + i))).has_value());
            }
            REQUIRE(append(other, "other").has_value());
            checkpoint();
        }
        REQUIRE(names(".seg").size() == 3);
    }
    static std::string text_of(uint64_t sequence) {
        return std::to_string(sequence) + std::string(200, '.');
    }
    std::vector<std::string> names(std::string_view end) const {
        std::vector<std::string> out;
        for (const std::string& path : disk->paths()) {
            if (path.starts_with("streams/1/") && path.ends_with(end)) out.push_back(path);
        }
        return out;
    }
    // Both copies.
    void rot_header(const std::string& path) {
        for (size_t at = 0; at < kFileHeaderBytes; at += kFileHeaderBytes / 2) {
            disk->flip_bit(path, at + 9, 5);
        }
    }
    StreamLog& restart() {
        std::unique_ptr<SimDisk> after = disk->after_kill();
        store.reset();
        disk = std::move(after);
        open();
        StreamLog* found = store->find(1);
        REQUIRE(found != nullptr);
        // The neighbour never notices.
        REQUIRE(store->find(2) != nullptr);
        CHECK(store->find(2)->index().count() == 3);
        CHECK(store->find(2)->lost().empty());
        CHECK(read(*store->find(2), 2) == "other");
        return *found;
    }
    // Whether the message is as it was; false: it is lost, and counted so.
    bool is_served(StreamLog& log, uint64_t sequence) {
        if (log.contains(sequence)) {
            const std::string found = read(log, sequence);
            if (found != "unreadable") {
                CHECK(found == text_of(sequence));
                return true;
            }
        }
        CHECK_FALSE(log.contains(sequence));
        CHECK(std::any_of(log.lost().begin(), log.lost().end(), [&](const SequenceRange& range) {
            return sequence >= range.first && sequence - range.first < range.count;
        }));
        return false;
    }
    std::vector<uint64_t> lost_of(StreamLog& log) {
        std::vector<uint64_t> out;
        for (uint64_t sequence = 1; sequence <= 12; ++sequence) {
            if (!is_served(log, sequence)) out.push_back(sequence);
        }
        return out;
    }
    // Goes on as a stream does.
    void expect_alive(StreamLog& log) {
        const uint64_t next = log.last_sequence() + 1;
        REQUIRE(append(log, text_of(next)).has_value());
        checkpoint();
        CHECK(log.last_sequence() == next);
        CHECK(is_served(log, next));
    }
};

const std::vector<uint64_t> kNone;
const std::vector<uint64_t> kSecond{5, 6, 7, 8};

TEST_CASE("a segment whose header has rotted is served by its index's", "[streams]") {
    RotFixture f;
    const std::string segment = f.names(".seg")[1];
    f.rot_header(segment);
    StreamLog& log = f.restart();
    CHECK(f.lost_of(log) == kNone);
    f.expect_alive(log);
    // It has been mended: the index may go.
    REQUIRE(f.disk->remove(f.names(".idx")[1]).has_value());
    CHECK(f.lost_of(f.restart()) == kNone);
}

TEST_CASE("a header that rots while its segment is served costs nothing", "[streams]") {
    RotFixture f;
    for (const std::string& segment : f.names(".seg")) f.rot_header(segment);
    CHECK(f.lost_of(*f.store->find(1)) == kNone);
    f.expect_alive(*f.store->find(1));
}

TEST_CASE("a segment that nothing can be read of is set aside", "[streams]") {
    RotFixture f;
    const std::string segment = f.names(".seg")[1];
    const std::string index = f.names(".idx")[1];
    SECTION("its header and its index's have rotted") {
        f.rot_header(segment);
        f.rot_header(index);
    }
    SECTION("its header has rotted, and the index is gone") {
        f.rot_header(segment);
        REQUIRE(f.disk->remove(index).has_value());
    }
    SECTION("the medium fails") {
        f.disk->set_unreadable(segment);
        f.disk->set_unreadable(index);
    }
    StreamLog* log = &f.restart();
    CHECK(f.lost_of(*log) == kSecond);
    CHECK(f.store->counters().damaged_places == 5);
    CHECK(f.names(".seg.damaged") == std::vector<std::string>{segment + ".damaged"});
    // It is there as long as the stream is, and nothing else comes of it.
    f.expect_alive(*log);
    log = &f.restart();
    CHECK(log->lost().empty());
    CHECK(log->index().count() == 9);
    CHECK(f.store->counters().damaged_places == 0);
    CHECK(f.names(".seg.damaged").size() == 1);
    f.expect_alive(*log);
    f.store->drop(*log, {});
    f.run();
    f.checkpoint();
    CHECK(f.names("").empty());
}

TEST_CASE("the newest segment may be the one that is set aside", "[streams]") {
    RotFixture f;
    f.options.segment_bytes_max = 1024 * 1024;
    f.rot_header(f.names(".seg")[2]);
    f.rot_header(f.names(".idx")[2]);
    StreamLog* log = &f.restart();
    CHECK(f.lost_of(*log) == std::vector<uint64_t>{9, 10, 11, 12});
    CHECK(log->last_sequence() == 12);
    for (int i = 0; i < 3; ++i) f.expect_alive(*log);
    log = &f.restart();
    CHECK(log->index().count() == 11);
    CHECK(f.is_served(*log, 13));
}

TEST_CASE("a segment of which only the index can be read is served as far as it goes",
          "[streams]") {
    RotFixture f;
    f.disk->set_unreadable(f.names(".seg")[1]);
    StreamLog& log = f.restart();
    CHECK(f.lost_of(log) == kSecond);
    f.expect_alive(log);
    CHECK(f.restart().index().count() == 9);
}

TEST_CASE("a segment that is missing costs what it held", "[streams]") {
    RotFixture f;
    SECTION("with its index") { REQUIRE(f.disk->remove(f.names(".idx")[1]).has_value()); }
    SECTION("without it") {}
    REQUIRE(f.disk->remove(f.names(".seg")[1]).has_value());
    StreamLog& log = f.restart();
    CHECK(f.lost_of(log) == kSecond);
    f.expect_alive(log);
}

TEST_CASE("all segments may be unreadable, and the stream goes on", "[streams]") {
    RotFixture f;
    for (const std::string& path : f.names(".seg")) f.disk->set_unreadable(path);
    for (const std::string& path : f.names(".idx")) f.disk->set_unreadable(path);
    StreamLog& log = f.restart();
    CHECK(f.lost_of(log).size() == 12);
    CHECK(log.last_sequence() == 12);
    f.expect_alive(log);
    CHECK(f.restart().index().count() == 1);
}

TEST_CASE("a state that can't be read costs its stream, and no other", "[streams]") {
    RotFixture f;
    f.disk->set_unreadable("streams/1/state");
    std::unique_ptr<SimDisk> after = f.disk->after_kill();
    f.store.reset();
    f.disk = std::move(after);
    f.open();
    CHECK(f.store->find(1) == nullptr);
    REQUIRE(f.store->find(2) != nullptr);
    CHECK(f.read(*f.store->find(2), 3) == "other");
    CHECK(f.store->counters().damaged_places == 1);
    // It is left as it is, and its id is not given to another.
    CHECK(f.store->create("new", true, {}).id() == 3);
    f.run();
    f.checkpoint();
    CHECK(f.names(".seg").size() == 3);
}

TEST_CASE("any flipped bit of a segment loses at most its message", "[streams]") {
    RotFixture f;
    const std::string segment = f.names(".seg")[1];
    const uint64_t size = f.disk->size_of(segment);
    const bool has_index = GENERATE(true, false);
    if (!has_index) REQUIRE(f.disk->remove(f.names(".idx")[1]).has_value());
    const std::unique_ptr<SimDisk> before = f.disk->after_kill();
    for (uint64_t at = 0; at < size; ++at) {
        INFO("byte " << at);
        f.store.reset();
        f.disk = before->after_kill();
        f.disk->flip_bit(segment, at, static_cast<unsigned>(at % 8));
        StreamLog& log = f.restart();
        const size_t lost = f.lost_of(log).size();
        CHECK(lost <= 1);
        if (at < kFileHeaderBytes) CHECK(lost == 0);
        CHECK(f.names(".seg.damaged").empty());
    }
}

}  // namespace
}  // namespace candela::bus_role
