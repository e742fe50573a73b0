#include "store/sqlite.h"

#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "store/database.h"

namespace candela::store {
namespace {

class Folder {
public:
    Folder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "store-XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    std::string operator/(const char* name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

std::unique_ptr<Connection> open(const std::string& path) {
    auto connection = open_sqlite(path);
    REQUIRE(connection);
    return std::move(*connection);
}

TEST_CASE("sqlite_keeps_every_kind_of_value") {
    const Folder folder;
    auto db = open(folder / "a.db");
    REQUIRE(db->execute_script("CREATE TABLE t (i INTEGER, d REAL, s TEXT, b BLOB, n TEXT)"));
    const std::string bytes("\0\xff x", 4);
    REQUIRE(db->execute("INSERT INTO t VALUES ($1, $2, $3, $4, $5)",
                        {INT64_MIN, 0.5, std::string("ä'; DROP TABLE t"), Blob(bytes), Value()}) ==
            1U);
    const auto rows = db->query("SELECT i, d, s, b, n FROM t");
    REQUIRE(rows);
    REQUIRE(rows->size() == 1);
    const Row& row = rows->front();
    CHECK(row.integer(0) == INT64_MIN);
    CHECK(row.number(1) == 0.5);
    CHECK(row.text(2) == "ä'; DROP TABLE t");
    CHECK(row.blob(3) == bytes);
    CHECK(row.is_null(4));
    CHECK(row.is_null(77));
    CHECK(row.text(0).empty());
}

TEST_CASE("parameters_are_numbered_not_counted") {
    const Folder folder;
    auto db = open(folder / "a.db");
    const auto rows = db->query("SELECT $2, $1, $2", {int64_t{1}, int64_t{2}});
    REQUIRE(rows);
    CHECK((*rows)[0].integer(0) == 2);
    CHECK((*rows)[0].integer(1) == 1);
    CHECK((*rows)[0].integer(2) == 2);
}

TEST_CASE("a_transaction_happens_whole_or_not_at_all") {
    const Folder folder;
    auto db = open(folder / "a.db");
    REQUIRE(db->execute_script("CREATE TABLE t (k TEXT PRIMARY KEY)"));
    auto twice = [&]() -> Result<> {
        CANDELA_TRY(db->execute("INSERT INTO t VALUES ('a')"));
        CANDELA_TRY(db->execute("INSERT INTO t VALUES ('a')"));
        return {};
    };
    const auto failed = db->transaction(twice);
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code() == Code::kConflict);
    CHECK(db->query("SELECT COUNT(*) FROM t")->front().integer(0) == 0);
    auto once = [&]() -> Result<> {
        CANDELA_TRY(db->execute("INSERT INTO t VALUES ('a')"));
        return {};
    };
    REQUIRE(db->transaction(once));
    CHECK(db->query("SELECT COUNT(*) FROM t")->front().integer(0) == 1);
}

TEST_CASE("foreign_keys_hold") {
    const Folder folder;
    auto db = open(folder / "a.db");
    REQUIRE(
        db->execute_script("CREATE TABLE p (k TEXT PRIMARY KEY);"
                           "CREATE TABLE c (k TEXT REFERENCES p (k))"));
    CHECK(db->execute("INSERT INTO c VALUES ('x')").error().code() == Code::kConflict);
}

TEST_CASE("a_full_disk_is_an_error_that_passes") {
    const Folder folder;
    auto db = open(folder / "a.db");
    REQUIRE(db->execute_script("CREATE TABLE t (s TEXT)"));
    REQUIRE(db->query("PRAGMA max_page_count = 20"));
    auto fill = [&]() -> Result<> {
        CANDELA_TRY(db->execute("INSERT INTO t VALUES ($1)", {std::string(1 << 20, 'x')}));
        return {};
    };
    const auto full = db->transaction(fill);
    REQUIRE_FALSE(full);
    CHECK(full.error().code() == Code::kIo);
    CHECK(full.error().system_errno() == ENOSPC);
    REQUIRE(db->query("PRAGMA max_page_count = 100000"));
    CHECK(db->transaction(fill));
    CHECK(db->query("SELECT COUNT(*) FROM t")->front().integer(0) == 1);
}

TEST_CASE("what_is_committed_is_there_after_reopening") {
    const Folder folder;
    {
        auto db = open(folder / "a.db");
        REQUIRE(db->execute_script("CREATE TABLE t (s TEXT); INSERT INTO t VALUES ('kept')"));
        REQUIRE(db->maintain());
    }
    auto db = open(folder / "a.db");
    CHECK(db->query("SELECT s FROM t")->front().text(0) == "kept");
}

TEST_CASE("a_second_process_is_kept_out") {
    const Folder folder;
    auto db = open(folder / "a.db");
    const auto second = open_sqlite(folder / "a.db");
    REQUIRE_FALSE(second);
    CHECK(second.error().code() == Code::kConflict);
}

TEST_CASE("a_file_that_is_no_database_is_refused") {
    const Folder folder;
    std::ofstream(folder / "a.db") << std::string(8192, 'z');
    const auto opened = open_sqlite(folder / "a.db");
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code() == Code::kCorrupt);
}

TEST_CASE("a_damaged_table_is_noticed_at_start") {
    const Folder folder;
    {
        auto db = open(folder / "a.db");
        REQUIRE(db->execute_script("CREATE TABLE t (s TEXT)"));
        for (int i = 0; i < 200; ++i) {
            REQUIRE(db->execute("INSERT INTO t VALUES ($1)", {std::string(500, 'x')}));
        }
        REQUIRE(db->query("PRAGMA wal_checkpoint(TRUNCATE)"));
    }
    std::fstream file(folder / "a.db", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 * 4);
    file << std::string(4096, '\x5a');
    file.close();
    const auto opened = open_sqlite(folder / "a.db");
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code() == Code::kCorrupt);
}

TEST_CASE("migrations_run_once_in_order_and_a_newer_schema_is_refused") {
    const Folder folder;
    const Migration steps[] = {{1, "CREATE TABLE a (x INTEGER)"},
                               {2, "ALTER TABLE a ADD COLUMN y INTEGER"}};
    auto db = open(folder / "a.db");
    REQUIRE(migrate(*db, std::span(steps, 1)));
    REQUIRE(migrate(*db, steps));
    REQUIRE(migrate(*db, steps));
    REQUIRE(db->execute("INSERT INTO a (x, y) VALUES (1, 2)"));
    const auto older = migrate(*db, std::span(steps, 1));
    REQUIRE_FALSE(older);
    CHECK(older.error().code() == Code::kUnsupported);
}

TEST_CASE("a_migration_that_fails_leaves_nothing_behind") {
    const Folder folder;
    const Migration steps[] = {{1, "CREATE TABLE a (x INTEGER); CREATE TABLE a (x INTEGER)"}};
    auto db = open(folder / "a.db");
    REQUIRE_FALSE(migrate(*db, steps));
    CHECK(db->query("SELECT COUNT(*) FROM sqlite_master WHERE name = 'a'")->front().integer(0) ==
          0);
}

}  // namespace
}  // namespace candela::store
