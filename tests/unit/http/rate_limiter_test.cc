#include "http/rate_limiter.h"

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>

using namespace candela;
using http::RateLimiter;

namespace {

KeyedHash hash() {
    SeededRandom random(7);
    return KeyedHash(random);
}
const MonoTime kStart = MonoTime(1h);

}  // namespace

TEST_CASE("a key has its burst at once and then one each interval") {
    RateLimiter limiter(10, 1s, 3, hash());
    for (int i = 0; i < 3; ++i) CHECK(limiter.take("a", kStart) == Duration(0));
    CHECK(limiter.take("a", kStart) == 100ms);
    CHECK(limiter.take("a", kStart + 40ms) == 60ms);
    CHECK(limiter.take("a", kStart + 100ms) == Duration(0));
    CHECK(limiter.take("a", kStart + 100ms) == 100ms);
    // A long pause brings the burst back, and no more.
    for (int i = 0; i < 3; ++i) CHECK(limiter.take("a", kStart + 1h) == Duration(0));
    CHECK(limiter.take("a", kStart + 1h) > Duration(0));
}

TEST_CASE("keys are counted apart") {
    RateLimiter limiter(1, 1min, 1, hash());
    for (int i = 0; i < 100; ++i) {
        const std::string key = fmt::format("10.0.0.{}", i);
        CHECK(limiter.take(key, kStart) == Duration(0));
        CHECK(limiter.take(key, kStart) > Duration(0));
    }
}

TEST_CASE("more keys than the table holds cost no memory, and forget the least busy") {
    RateLimiter limiter(1, 1min, 5, hash(), 64);
    for (int i = 0; i < 5; ++i) CHECK(limiter.take("busy", kStart) == Duration(0));
    CHECK(limiter.take("busy", kStart) > Duration(0));
    for (int i = 0; i < 10'000; ++i) limiter.take(fmt::format("key {}", i), kStart);
    // Each of those took one of five; the one that used up all of them is still known.
    CHECK(limiter.take("busy", kStart) > Duration(0));
}
