// The audit log's chain: whatever is done to the database behind the lighthouse's back shows.

#include <catch2/catch_test_macros.hpp>

#include "audit_storage.h"
#include "storage.h"
#include "store/database.h"
#include "store/sqlite.h"
#include "temp_folder.h"

namespace candela::lighthouse {
namespace {

constexpr WallTime kNow{1'800'000'000s};

class Log {
public:
    Log() {
        auto opened = store::open_sqlite((folder_.path() / "state.db").string());
        REQUIRE(opened);
        db = std::move(*opened);
        REQUIRE(store::migrate(*db, migrations()));
    }
    AuditHead add(std::string action, uint64_t request = 0, WallTime keep_from = WallTime()) {
        AuditRecord record;
        record.request = request;
        record.time = kNow + 1s * static_cast<int64_t>(++count_);
        record.who = "ada";
        record.action = std::move(action);
        record.space = count_ % 2 == 0 ? "even" : "odd";
        if (request != 0) record.outcome = "done";
        const auto head = append_audit(*db, key_, std::move(record), keep_from);
        REQUIRE(head);
        return *head;
    }
    std::string fault(std::optional<AuditHead> known = std::nullopt) {
        const auto verdict = verify_audit(*db, key_, known);
        REQUIRE(verdict);
        return verdict->fault;
    }
    void tamper(std::string_view sql) { REQUIRE(db->execute(sql)); }

    std::unique_ptr<store::Connection> db;

private:
    test::TempFolder folder_;
    const Secret key_{std::string(32, 'k')};
    size_t count_ = 0;
};

TEST_CASE_METHOD(Log, "an_empty_log_is_whole") {
    CHECK(fault().empty());
    CHECK(read_audit(*db, AuditQuery())->empty());
}

TEST_CASE_METHOD(Log, "requests_come_back_with_their_ends_the_newest_first") {
    const AuditHead one = add("one");
    add("two");
    add("one", one.id);
    const auto entries = read_audit(*db, AuditQuery());
    REQUIRE(entries);
    REQUIRE(entries->size() == 2);
    CHECK(entries->at(0).request.action == "two");
    CHECK_FALSE(entries->at(0).end);
    CHECK(entries->at(1).request.action == "one");
    CHECK(entries->at(1).end->outcome == "done");
    CHECK(fault().empty());
}

TEST_CASE_METHOD(Log, "pages_and_filters") {
    for (int i = 0; i < 10; ++i) add(fmt::format("action {}", i + 1));
    AuditQuery query;
    query.limit = 2;
    query.before = 6;
    query.space = "odd";
    const auto entries = read_audit(*db, query);
    REQUIRE(entries->size() == 2);
    CHECK(entries->at(0).request.id == 5);
    CHECK(entries->at(1).request.id == 3);
    query.who = "bob";
    CHECK(read_audit(*db, query)->empty());
}

TEST_CASE_METHOD(Log, "every_kind_of_tampering_shows") {
    for (int i = 0; i < 5; ++i) add("something");
    REQUIRE(fault().empty());
    SECTION("a changed field") {
        tamper("UPDATE audit SET who = 'eve' WHERE id = 3");
        CHECK(fault() == "record 3 has been changed");
    }
    SECTION("text moved from one field to the next") {
        tamper("UPDATE audit SET who = 'ad', key = 'a' || key WHERE id = 2");
        CHECK(fault() == "record 2 has been changed");
    }
    SECTION("a record taken out") {
        tamper("DELETE FROM audit WHERE id = 4");
        CHECK(fault() == "record 4 is missing");
    }
    SECTION("a record taken out, the others moved up") {
        tamper("DELETE FROM audit WHERE id = 4");
        tamper("UPDATE audit SET id = 4 WHERE id = 5");
        CHECK(fault() == "record 4 has been changed");
    }
    SECTION("the newest taken away") {
        tamper("DELETE FROM audit WHERE id = 5");
        CHECK(fault() == "the records after 4 are missing");
    }
    SECTION("the newest taken away, and the head set back") {
        tamper("DELETE FROM audit WHERE id = 5");
        tamper(
            "UPDATE audit_ends SET id = 4, record_seal = (SELECT seal FROM audit WHERE id = 4) "
            "WHERE name = 'head'");
        CHECK(fault() == "the head of the log has been changed");
    }
    SECTION("the oldest taken away") {
        tamper("DELETE FROM audit WHERE id = 1");
        CHECK(fault() == "record 1 is missing");
    }
    SECTION("the oldest taken away, as if they were too old") {
        tamper("DELETE FROM audit WHERE id = 1");
        tamper(
            "INSERT INTO audit_ends (name, id, record_seal, seal) SELECT 'floor', 1, seal, seal "
            "FROM audit_ends");
        CHECK(fault() == "the floor of the log has been changed");
    }
    SECTION("a record put behind the newest") {
        tamper(
            "INSERT INTO audit SELECT 6, request, time, who, key, source, action, space, detail, "
            "outcome, seal FROM audit WHERE id = 5");
        CHECK(fault() == "record 6 has been changed");
    }
    SECTION("all of it taken away") {
        tamper("DELETE FROM audit");
        CHECK(fault() == "the records after 0 are missing");
    }
}

TEST_CASE_METHOD(Log, "an_older_copy_of_the_database_shows_against_a_head_that_was_noted") {
    add("one");
    const AuditHead two = add("two");
    CHECK(fault(two).empty());
    CHECK(fault(AuditHead(3, two.seal)) ==
          "record 3, which was noted, is missing: the log ends with 2");
    CHECK(fault(AuditHead(1, two.seal)) == "record 1 is not the one that was noted");
}

TEST_CASE_METHOD(Log, "what_is_too_old_goes_and_the_rest_stays_whole") {
    for (int i = 0; i < 4; ++i) add("old");
    const AuditHead noted = add("last of the old");
    add("new", 0, kNow + 4s);  // records 1 to 3 are older
    const auto verdict = verify_audit(*db, Secret(std::string(32, 'k')), noted);
    REQUIRE(verdict);
    CHECK(verdict->fault.empty());
    CHECK(verdict->first == 4);
    CHECK(verdict->records == 3);
    // One that is no longer kept can't be asked about; that is not a fault.
    CHECK(fault(AuditHead(1, "gone")).empty());
}

TEST_CASE_METHOD(Log, "a_clock_that_jumps_ahead_leaves_the_newest") {
    for (int i = 0; i < 3; ++i) add("something");
    add("after the jump", 0, kNow + 1h);
    CHECK(fault().empty());
    CHECK(read_audit(*db, AuditQuery())->size() == 1);
    CHECK(fault().empty());
}

TEST_CASE_METHOD(Log, "another_key_vouches_for_nothing") {
    add("one");
    const auto verdict = verify_audit(*db, Secret(std::string(32, 'x')), std::nullopt);
    CHECK(verdict->fault == "the head of the log has been changed");
}

}  // namespace
}  // namespace candela::lighthouse
