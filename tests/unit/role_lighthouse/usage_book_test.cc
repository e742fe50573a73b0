#include "usage_book.h"

#include <catch2/catch_test_macros.hpp>

#include <nlohmann/json.hpp>

#include "storage.h"
#include "store/database.h"
#include "store/sqlite.h"
#include "temp_folder.h"

namespace candela::lighthouse {
namespace {

using namespace proto;

WallTime at(int64_t millis) { return from_unix_millis(1'700'000'000'000 + millis); }

NodeHeartbeat beat(uint64_t cpu_micros, uint64_t memory,
                   uint32_t known = kUsageCpu | kUsageMemory) {
    NodeHeartbeat out;
    out.node = "n";
    InstanceStatus& status = out.instances.emplace_back();
    status.instance = "web-1";
    status.usage.known = known;
    status.usage.cpu_micros = cpu_micros;
    status.usage.memory_bytes = memory;
    return out;
}

const std::string kKey = UsageBook::instance_key("web-1");

TEST_CASE("rates_are_of_the_time_between_measurements") {
    UsageBook book;
    for (int i = 0; i < 10; ++i) {
        book.note(beat(static_cast<uint64_t>(i) * 250'000, 100), at(i * 1000));
        // A heartbeat in between has the same measurement.
        book.note(beat(static_cast<uint64_t>(i) * 250'000, 100), at(i * 1000 + 300));
    }
    const auto samples = book.samples(kKey, UsageBook::kFineMs);
    REQUIRE(samples.size() == 9);
    CHECK((samples[0].known & kUsageCpu) == 0);  // there was nothing before it
    for (size_t i = 1; i < samples.size(); ++i) {
        CHECK(samples[i].cpu_millis == 250);
        CHECK(samples[i].memory_bytes == 100);
    }
    CHECK(book.latest(kKey, at(10'000)) != nullptr);
    CHECK(book.latest(kKey, at(60'000)) == nullptr);
}

TEST_CASE("a_count_that_goes_back_is_unknown_for_once") {
    UsageBook book;
    book.note(beat(1'000'000, 1), at(0));
    book.note(beat(2'000'000, 1), at(1000));
    book.note(beat(10'000, 1), at(2000));  // a new process
    book.note(beat(20'000, 1), at(3000));
    book.note(beat(30'000, 1), at(4000));
    const auto samples = book.samples(kKey, UsageBook::kFineMs);
    REQUIRE(samples.size() == 4);
    CHECK(samples[1].cpu_millis == 1000);
    CHECK((samples[2].known & kUsageCpu) == 0);
    CHECK(samples[3].cpu_millis == 10);
}

TEST_CASE("what_is_not_known_is_null_and_not_zero") {
    UsageBook book;
    book.note(beat(0, 5, kUsageMemory), at(0));
    book.note(beat(0, 6, kUsageMemory), at(1000));
    const UsageSample* latest = book.latest(kKey, at(1000));
    REQUIRE(latest != nullptr);
    const Json json = to_json(*latest);
    CHECK(json["memory_bytes"] == 5);
    CHECK(json["cpu_millis"].is_null());
    CHECK(json["net_in_bytes_per_second"].is_null());
    CHECK(json["io_pressure"].is_null());
    // A node that says nothing has no samples.
    CHECK(book.samples(UsageBook::node_key("n"), UsageBook::kFineMs).empty());
}

TEST_CASE("each_resolution_is_bounded_and_coarser_ones_are_averages") {
    UsageBook book;
    uint64_t cpu = 0;
    for (int i = 0; i < 2 * 3600; ++i) {
        cpu += i % 2 == 0 ? 100'000 : 300'000;
        book.note(beat(cpu, static_cast<uint64_t>(i)), at(i * 1000));
    }
    CHECK(book.samples(kKey, UsageBook::kFineMs).size() == UsageBook::kFineCount);
    const auto middle = book.samples(kKey, UsageBook::kMiddleMs);
    CHECK(middle.size() == UsageBook::kMiddleCount);
    CHECK(middle.back().cpu_millis == 200);
    CHECK(middle.back().time_ms > middle.front().time_ms);
    const auto rows = book.take_rows();
    CHECK(rows.size() == 2 * 12 - 1 + (rows.size() == 24 ? 1 : 0));
    CHECK(rows.back().sample.cpu_millis >= 199);
    CHECK(book.take_rows().empty());
    book.forget_silent(at(4 * 3600 * 1000));
    CHECK(book.size() == 0);
}

TEST_CASE("coarse_samples_are_kept_in_sql_for_a_week") {
    const test::TempFolder folder;
    auto db = store::open_sqlite((folder / "state.db").string());
    REQUIRE(db);
    REQUIRE(store::migrate(**db, migrations()));
    UsageSample old;
    old.time_ms = static_cast<uint64_t>(unix_millis(at(0)));
    old.known = kUsageCpu;
    old.cpu_millis = 7;
    UsageSample young = old;
    young.time_ms += 600'000;
    young.net_out = 9;
    REQUIRE(write_usage(**db, {UsageRow(kKey, old), UsageRow(kKey, young)}, at(600'000)));
    CHECK(read_usage(**db, kKey) == std::vector{old, young});
    CHECK(read_usage(**db, "node/x")->empty());
    REQUIRE(write_usage(**db, {}, at(0) + kUsageKeep + 5min));
    CHECK(read_usage(**db, kKey) == std::vector{young});
}

}  // namespace
}  // namespace candela::lighthouse
