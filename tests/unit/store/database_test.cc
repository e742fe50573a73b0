#include "store/database.h"

#include <filesystem>

#include <catch2/catch_test_macros.hpp>

#include "loop/uv_loop.h"

namespace candela::store {
namespace {

const Migration kSteps[] = {{1, "CREATE TABLE t (n INTEGER)"}};

class World {
public:
    World() {
        std::string pattern = (std::filesystem::temp_directory_path() / "store-XXXXXX").string();
        path = ::mkdtemp(pattern.data());
    }
    ~World() { std::filesystem::remove_all(path); }

    std::unique_ptr<Database> open(const std::string& dsn) {
        std::optional<Result<std::unique_ptr<Database>>> opened;
        flows.spawn(open_into(dsn, opened));
        REQUIRE(loop.run_until([&] { return opened.has_value(); }, 10s));
        if (!*opened) {
            last_error = opened->error();
            return nullptr;
        }
        return std::move(**opened);
    }

    InProcessHub hub;
    UvLoop loop{hub};
    TaskGroup flows;
    std::filesystem::path path;
    std::optional<Error> last_error;

private:
    Task<void> open_into(std::string dsn, std::optional<Result<std::unique_ptr<Database>>>& out) {
        out.emplace(co_await Database::open(loop, dsn, kSteps));
    }
};

Task<void> insert(Database& db, int64_t n, int& done) {
    auto work = [n](Connection& connection) {
        return connection.execute("INSERT INTO t VALUES ($1)", {n});
    };
    const auto result = co_await db.run(std::move(work));
    if (result) ++done;
}

Task<void> sum(Database& db, int64_t& out) {
    auto work = [](Connection& connection) {
        return connection.query("SELECT COALESCE(SUM(n), 0) FROM t");
    };
    const auto rows = co_await db.run(std::move(work));
    if (rows) out = rows->front().integer(0);
}

TEST_CASE_METHOD(World, "work_runs_in_order_and_answers_on_the_loop") {
    auto db = open("sqlite:" + (path / "s.db").string());
    REQUIRE(db);
    int done = 0;
    int64_t total = -1;
    for (int i = 1; i <= 100; ++i) flows.spawn(insert(*db, i, done));
    flows.spawn(sum(*db, total));
    REQUIRE(loop.run_until([&] { return flows.size() == 0; }, 10s));
    CHECK(done == 100);
    CHECK(total == 5050);
}

TEST_CASE_METHOD(World, "work_of_a_cancelled_flow_still_ends_and_touches_nothing_of_it") {
    auto db = open((path / "s.db").string());
    REQUIRE(db);
    int done = 0;
    {
        TaskGroup cancelled;
        cancelled.spawn(insert(*db, 7, done));
    }
    int64_t total = -1;
    flows.spawn(sum(*db, total));
    REQUIRE(loop.run_until([&] { return flows.size() == 0; }, 10s));
    CHECK(done == 0);
    CHECK(total == 7);
}

TEST_CASE_METHOD(World, "a_queue_that_is_full_refuses") {
    auto db = open((path / "s.db").string());
    REQUIRE(db);
    auto gate = std::make_shared<std::mutex>();
    gate->lock();
    size_t refused = 0;
    auto wait = [](Database& database, std::shared_ptr<std::mutex> held,
                   size_t& count) -> Task<void> {
        auto work = [held](Connection&) -> Result<> {
            const std::lock_guard lock(*held);
            return {};
        };
        const auto result = co_await database.run(std::move(work));
        if (!result && result.error().code() == Code::kExhausted) ++count;
    };
    for (size_t i = 0; i < Database::kQueueMax + 10; ++i) flows.spawn(wait(*db, gate, refused));
    CHECK(refused >= 9);
    gate->unlock();
    REQUIRE(loop.run_until([&] { return flows.size() == 0; }, 10s));
}

TEST_CASE_METHOD(World, "a_kind_of_database_that_is_not_built_in_is_named") {
    CHECK(open("postgresql://localhost/x") == nullptr);
    REQUIRE(last_error);
    CHECK(last_error->code() == Code::kUnsupported);
    CHECK(last_error->message().find("postgresql") != std::string::npos);
}

}  // namespace
}  // namespace candela::store
