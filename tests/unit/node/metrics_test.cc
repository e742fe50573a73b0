#include "node/metrics.h"

#include <thread>

#include <catch2/catch_test_macros.hpp>

using namespace candela;

TEST_CASE("series_render_as_openmetrics_text") {
    Metrics metrics;
    metrics.counter("requests", "Requests.", {{"code", "200"}}).add(3);
    metrics.counter("requests", "Requests.", {{"code", "503"}}).add();
    metrics.gauge("connections", "Open connections.").set(-2);
    auto sampled = metrics.sampled_gauge("memory_bytes", "Memory.", {}, [] { return 1.5; });
    CHECK(metrics.render() ==
          "# TYPE connections gauge\n# HELP connections Open connections.\nconnections -2\n"
          "# TYPE memory_bytes gauge\n# HELP memory_bytes Memory.\nmemory_bytes 1.5\n"
          "# TYPE requests counter\n# HELP requests Requests.\n"
          "requests_total{code=\"200\"} 3\nrequests_total{code=\"503\"} 1\n"
          "# EOF\n");
    CHECK(metrics.render(Metrics::Format::kPrometheus) ==
          "# TYPE connections gauge\n# HELP connections Open connections.\nconnections -2\n"
          "# TYPE memory_bytes gauge\n# HELP memory_bytes Memory.\nmemory_bytes 1.5\n"
          "# TYPE requests_total counter\n# HELP requests_total Requests.\n"
          "requests_total{code=\"200\"} 3\nrequests_total{code=\"503\"} 1\n");
}

TEST_CASE("histogram_buckets_are_cumulative") {
    Metrics metrics;
    Histogram& histogram = metrics.histogram("latency_seconds", "Latency.", {{"s", "a"}});
    histogram.observe(1ms);
    histogram.observe(2ms);
    histogram.observe(100s);
    const std::string text = metrics.render();
    CHECK(text.find("latency_seconds_bucket{s=\"a\",le=\"0.001\"} 1\n") != std::string::npos);
    CHECK(text.find("latency_seconds_bucket{s=\"a\",le=\"0.0025\"} 2\n") != std::string::npos);
    CHECK(text.find("latency_seconds_bucket{s=\"a\",le=\"60.0\"} 2\n") != std::string::npos);
    CHECK(text.find("latency_seconds_bucket{s=\"a\",le=\"+Inf\"} 3\n") != std::string::npos);
    CHECK(text.find("latency_seconds_sum{s=\"a\"} 100.003\n") != std::string::npos);
    CHECK(text.find("latency_seconds_count{s=\"a\"} 3\n") != std::string::npos);
}

TEST_CASE("a_series_asked_for_again_is_the_same") {
    Metrics metrics;
    CHECK(&metrics.counter("a", "A.", {{"x", "1"}}) == &metrics.counter("a", "A.", {{"x", "1"}}));
    CHECK(&metrics.counter("a", "A.", {{"x", "1"}}) != &metrics.counter("a", "A.", {{"x", "2"}}));
}

TEST_CASE("a_sampled_gauge_ends_with_its_handle") {
    Metrics metrics;
    {
        auto handle = metrics.sampled_gauge("g", "G.", {}, [] { return 1.0; });
    }
    CHECK(metrics.render() == "# EOF\n");
}

TEST_CASE("label_values_are_escaped") {
    Metrics metrics;
    metrics.counter("a", "A.", {{"x", "q\"b\\n\n"}}).add();
    CHECK(metrics.render().find("a_total{x=\"q\\\"b\\\\n\\n\"} 1\n") != std::string::npos);
}

TEST_CASE("series_beyond_the_limit_share_one") {
    Metrics metrics;
    for (size_t i = 0; i < Metrics::kSeriesMax + 10; ++i) {
        metrics.counter("a", "A.", {{"x", std::to_string(i)}}).add();
    }
    CHECK(metrics.counter("a", "A.", {{"overflow", "true"}}).value() == 10);
}

TEST_CASE("threads_add_without_losing_counts") {
    Metrics metrics;
    Counter& counter = metrics.counter("a", "A.");
    std::vector<std::thread> threads;
    for (int i = 0; i < 12; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < 1000; ++n) counter.add();
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(counter.value() == 12'000);
}
