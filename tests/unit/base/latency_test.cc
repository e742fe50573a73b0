#include <catch2/catch_test_macros.hpp>

#include "base/latency.h"

namespace candela {
namespace {

TEST_CASE("each_bucket_ends_where_the_next_begins") {
    for (size_t i = 0; i + 1 < kLatencyBuckets; ++i) {
        INFO(i);
        const Duration next = latency_bucket_begin(i + 1);
        CHECK(latency_bucket_begin(i) < next);
        CHECK(latency_bucket(latency_bucket_begin(i)) == i);
        CHECK(latency_bucket(next - 1us) == i);
        CHECK(latency_bucket(next) == i + 1);
        // No wider than a quarter of where it begins.
        if (i > 0) CHECK((next - latency_bucket_begin(i)) * 4 <= latency_bucket_begin(i));
    }
}

TEST_CASE("what_is_beyond_the_range_is_in_the_outermost_buckets") {
    CHECK(latency_bucket(Duration(-1s)) == 0);
    CHECK(latency_bucket(Duration(0)) == 0);
    CHECK(latency_bucket(255us) == 0);
    CHECK(latency_bucket(24h) == kLatencyBuckets - 1);
    CHECK(latency_bucket(Duration::max()) == kLatencyBuckets - 1);
    CHECK(latency_bucket_begin(kLatencyBuckets - 1) > 60s);
}

}  // namespace
}  // namespace candela
