#pragma once

// The node's numbers, rendered as OpenMetrics text at the node's endpoint. Getting a series takes a
// lock and a look-up: do it once and keep the reference, which lives as long as Metrics. Using a
// series is for any thread and wait-free: each thread adds to a slot of its own cache line, slots
// are summed at a scrape.
//
//     Counter& requests = metrics.counter("candela_gateway_requests", "Requests answered.",
//                                         {{"service", "hello"}, {"code", "2xx"}});
//     requests.add();
//
// Names follow OpenMetrics: base units (seconds, bytes), and counters without "_total", which is
// added.

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

namespace candela {

constexpr size_t kMetricSlots = 8;  // more threads than that share; the sum stays right

// This thread's slot.
size_t metric_slot();

class Counter {
public:
    void add(uint64_t count = 1) {
        slots_[metric_slot()].value.fetch_add(count, std::memory_order_relaxed);
    }
    uint64_t value() const;

private:
    struct alignas(64) Slot {
        std::atomic<uint64_t> value{0};
    };
    std::array<Slot, kMetricSlots> slots_;
};

class Gauge {
public:
    void set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
    void add(int64_t delta) { value_.fetch_add(delta, std::memory_order_relaxed); }
    int64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<int64_t> value_{0};
};

// Durations in seconds, in fixed buckets from 100 µs to 60 s.
class Histogram {
public:
    static constexpr std::array<double, 18> kBoundsSeconds{
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
        0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30,    60};

    void observe(Duration duration);

    struct Snapshot {
        std::array<uint64_t, kBoundsSeconds.size() + 1> counts{};  // the last: above every bound
        uint64_t count = 0;
        double sum_seconds = 0;
    };
    Snapshot snapshot() const;

private:
    struct alignas(64) Slot {
        std::array<std::atomic<uint64_t>, kBoundsSeconds.size() + 1> counts{};
        std::atomic<uint64_t> sum_nanoseconds{0};
    };
    std::array<Slot, kMetricSlots> slots_;
};

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

class Metrics {
public:
    // Series of one family beyond this share one, labelled overflow="true": a label that outsiders
    // choose must not eat the memory.
    static constexpr size_t kSeriesMax = 4096;

    Metrics() = default;
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;

    // The series of that name and those labels, made at the first call. One name has one type.
    Counter& counter(std::string_view name, std::string_view help, MetricLabels labels = {});
    Gauge& gauge(std::string_view name, std::string_view help, MetricLabels labels = {});
    Histogram& histogram(std::string_view name, std::string_view help, MetricLabels labels = {});

    // A gauge whose value is asked for at each scrape, on the control loop. Destroying the handle
    // ends it.
    class Sampled {
    public:
        Sampled() = default;
        Sampled(Metrics* metrics, uint64_t id) : metrics_(metrics), id_(id) {}
        Sampled(Sampled&& other) noexcept
            : metrics_(std::exchange(other.metrics_, nullptr)), id_(other.id_) {}
        Sampled& operator=(Sampled&& other) noexcept;
        ~Sampled();

    private:
        Metrics* metrics_ = nullptr;
        uint64_t id_ = 0;
    };
    [[nodiscard]] Sampled sampled_gauge(std::string_view name, std::string_view help,
                                        MetricLabels labels, std::function<double()> sample);

    enum class Format : uint8_t {
        kOpenMetrics,  // 1.0: counters' families lack the "_total" of their samples; ends with #
                       // EOF
        kPrometheus,   // text 0.0.4, which older scrapers and `promtool check metrics` read
    };
    std::string render(Format format = Format::kOpenMetrics) const;

private:
    enum class Kind : uint8_t { kCounter, kGauge, kHistogram, kSampled };
    struct Series {
        MetricLabels labels;
        std::unique_ptr<Counter> counter;
        std::unique_ptr<Gauge> gauge;
        std::unique_ptr<Histogram> histogram;
        std::function<double()> sample;
        uint64_t sample_id = 0;
    };
    struct Family {
        Kind kind;
        std::string help;
        std::map<std::string, Series, std::less<>> series;  // by the rendered labels
    };
    Series& series(std::string_view name, std::string_view help, Kind kind, MetricLabels labels);
    void remove_sampled(uint64_t id);

    mutable std::mutex mutex_;  // guards the maps, never the values
    std::map<std::string, Family, std::less<>> families_;
    uint64_t last_sample_id_ = 0;
};

}  // namespace candela
