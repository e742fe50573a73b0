#include "node/doctor.h"

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "loop/uv_loop.h"

namespace candela {
namespace {

using Level = Finding::Level;

constexpr uint64_t kGiB = 1024ULL * 1024 * 1024;

TEST_CASE("a_disk_is_judged_by_what_is_left") {
    CHECK(judge_disk("/x", DiskSpace(100 * kGiB, 200 * kGiB, 900, 1000)).level == Level::kOk);
    CHECK(judge_disk("/x", DiskSpace(kGiB / 2, 5 * kGiB, 900, 1000)).level == Level::kWarning);
    CHECK(judge_disk("/x", DiskSpace(5 * kGiB, 500 * kGiB, 900, 1000)).level == Level::kWarning);
    CHECK(judge_disk("/x", DiskSpace(kGiB / 8, 5 * kGiB, 900, 1000)).level == Level::kWrong);
    CHECK(judge_disk("/x", DiskSpace(100 * kGiB, 200 * kGiB, 9, 1000)).level == Level::kWrong);
    CHECK(judge_disk("/x", DiskSpace(100 * kGiB, 200 * kGiB, 0, 0)).level == Level::kOk);
}

TEST_CASE("a_credential_is_judged_by_its_end") {
    constexpr int64_t kNow = 1'800'000'000;
    CHECK(judge_credential("f", 0, kNow).level == Level::kOk);
    CHECK(judge_credential("f", kNow + 30 * 86'400, kNow).level == Level::kOk);
    CHECK(judge_credential("f", kNow + 86'400, kNow).level == Level::kWarning);
    const Finding ended = judge_credential("f", kNow, kNow);
    CHECK(ended.level == Level::kWrong);
    CHECK(ended.text == "f ended at 2027-01-15T08:00:00.000Z");
}

TEST_CASE("who_listens_on_a_port_is_found") {
    InProcessHub hub;
    UvLoop loop(hub);
    auto listener = loop.listen(Address::tcp("127.0.0.1", 0), ListenOptions(), [](StreamPtr) {});
    REQUIRE(listener);
    const uint16_t port = (*listener)->address().port;
    CHECK(listener_of(port) == fmt::format("unit-node (pid {})", ::getpid()));
    listener->reset();
    loop.run_until([] { return false; }, 10ms);
    CHECK(listener_of(port).empty());
}

}  // namespace
}  // namespace candela
