#include "http/trace.h"

#include <string>

#include <catch2/catch_test_macros.hpp>

#include "http/proxy_headers.h"

using namespace candela;
using namespace candela::http;

TEST_CASE("a traceparent is one by the letter of the specification") {
    const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    CHECK(is_traceparent(good));
    CHECK(trace_id_of(good) == "4bf92f3577b34da6a3ce929d0e0e4736");
    CHECK(is_traceparent("01" + good.substr(2) + "-what.the.future.brings"));
    const std::string bad_ones[] = {
        std::string(),
        good.substr(0, 54),
        good + "-more",
        "01" + good.substr(2) + "more",
        "ff" + good.substr(2),
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
    };
    for (const std::string& bad : bad_ones) {
        INFO(bad);
        CHECK_FALSE(is_traceparent(bad));
    }
}

TEST_CASE("traces that are made are well formed and differ") {
    SeededRandom random(1);
    const TraceParent one = make_traceparent(random);
    const TraceParent two = make_traceparent(random);
    CHECK(is_traceparent(std::string_view(one.data(), one.size())));
    CHECK(one != two);
}

TEST_CASE("who asked is the last address that is no trusted proxy") {
    TrustedPeers trusted;
    REQUIRE(trusted.add("10.0.0.0/8"));
    Headers headers{{"X-Forwarded-For", "6.6.6.6, 1.2.3.4"},
                    {"x-forwarded-for", "10.0.0.9,10.1.1.1"}};
    CHECK(client_ip_of(headers, "9.9.9.9", trusted) == "9.9.9.9");
    CHECK(client_ip_of(headers, "10.0.0.1", trusted) == "1.2.3.4");
    CHECK(client_ip_of(headers, "", trusted) == "1.2.3.4");
    CHECK(client_ip_of(Headers(), "10.0.0.1", trusted) == "10.0.0.1");
    const Headers own{{"X-Forwarded-For", "10.0.0.7, 10.0.0.8"}};
    CHECK(client_ip_of(own, "10.0.0.1", trusted) == "10.0.0.7");
}
