#include "access_shipper.h"

#include <catch2/catch_test_macros.hpp>

namespace candela::gateway {
namespace {

constexpr std::string_view kAsked = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr std::string_view kNotAsked = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

TEST_CASE("so_many_lines_a_second_are_taken_and_the_others_counted") {
    AccessSampler sampler;
    CHECK(sampler.is_off());
    CHECK_FALSE(sampler.takes(500, kAsked, MonoTime(1s)));
    sampler.set_rate(100);
    MonoTime now(10s);
    int taken = 0;
    for (int i = 0; i < 10'000; ++i) {
        now += 1ms;
        taken += sampler.takes(200, kNotAsked, now) ? 1 : 0;
    }
    CHECK(taken >= 1000);
    CHECK(taken <= 1100);
    CHECK(sampler.left_out() == static_cast<uint64_t>(10'000 - taken));
}

TEST_CASE("errors_and_requests_that_ask_for_a_record_are_never_left_out") {
    AccessSampler sampler;
    sampler.set_rate(1);
    const MonoTime now(10s);
    static_cast<void>(sampler.takes(200, "", now));
    CHECK_FALSE(sampler.takes(200, "", now));
    for (int i = 0; i < 1000; ++i) {
        CHECK(sampler.takes(500, "", now));
        CHECK(sampler.takes(404, "", now));
        CHECK(sampler.takes(0, "", now));
        CHECK(sampler.takes(200, kAsked, now));
    }
    CHECK_FALSE(sampler.takes(200, kNotAsked, now));
    CHECK_FALSE(sampler.takes(200, "nonsense-01", now));
}

}  // namespace
}  // namespace candela::gateway
