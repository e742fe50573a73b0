#include "http/traffic_split.h"

#include <cmath>
#include <map>

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>

using namespace candela;
using namespace candela::http;

namespace {

constexpr int kRequests = 20'000;

// How many of so many requests each service gets; "" is the route's own.
std::map<std::string, int> counts_of(const TrafficSplit& split, std::string_view field) {
    SeededRandom random{11};
    std::map<std::string, int> counts;
    for (int i = 0; i < kRequests; ++i) {
        Headers headers;
        if (!field.empty()) headers.add(field, fmt::format("user={}", i));
        const TrafficSplit::Share* const share = split.choose(headers, random);
        ++counts[share == nullptr ? "" : share->service];
    }
    return counts;
}

// Five standard deviations of a binomial distribution.
bool is_about(int count, double share) {
    const double expected = kRequests * share;
    const double deviation = std::sqrt(expected * (1 - share));
    return std::abs(count - expected) <= 5 * deviation;
}

}  // namespace

TEST_CASE("a split gives each service its share, whatever it goes by") {
    using By = TrafficSplit::By;
    for (const auto& [by, name, field] :
         {std::tuple(By::kChance, "", ""), std::tuple(By::kHeader, "x-user", "X-User"),
          std::tuple(By::kCookie, "user", "Cookie"),
          std::tuple(By::kHeader, "x-user", "")}) {  // by chance where the header is missing
        const TrafficSplit split({{"a/next", 10}, {"a/other", 25}}, by, name);
        auto counts = counts_of(split, field);
        CAPTURE(name, field, counts["a/next"], counts["a/other"]);
        CHECK(is_about(counts["a/next"], 0.10));
        CHECK(is_about(counts["a/other"], 0.25));
        CHECK(is_about(counts[""], 0.65));
    }
    const TrafficSplit none({{"a/next", 0}}, By::kChance, "");
    CHECK(counts_of(none, "")[""] == kRequests);
    const TrafficSplit all({{"a/next", 100}}, By::kChance, "");
    CHECK(counts_of(all, "")["a/next"] == kRequests);
}

TEST_CASE("who goes by a header or cookie stays, and a larger share only adds to a smaller one") {
    SeededRandom random{5};
    const TrafficSplit small({{"a/next", 10}}, TrafficSplit::By::kCookie, "uid");
    const TrafficSplit large({{"a/next", 30}}, TrafficSplit::By::kCookie, "uid");
    for (int i = 0; i < 2000; ++i) {
        const Headers headers{{"Cookie", fmt::format("a=b; uid={}; c=d", i)}};
        const bool is_in = small.choose(headers, random) != nullptr;
        CHECK((small.choose(headers, random) != nullptr) == is_in);
        if (is_in) CHECK(large.choose(headers, random) != nullptr);
    }
}

TEST_CASE("cookies are found by their whole name") {
    const Headers headers{{"Cookie", "auid=1;uid=2; uid=3"}, {"Cookie", "x=4; =5; y"}};
    CHECK(cookie_of(headers, "uid") == "2");
    CHECK(cookie_of(headers, "x") == "4");
    CHECK_FALSE(cookie_of(headers, "y"));
    CHECK_FALSE(cookie_of(headers, "id"));
}
