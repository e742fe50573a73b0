#pragma once

// How much instances and nodes have taken, at three resolutions: each second of the last five
// minutes and each ten seconds of the last hour in memory, each five minutes of the last week in
// SQL (usage_storage below). Bounded in each. Values; the book lives on the control loop.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/time.h"
#include "proto/messages.h"
#include "store/connection.h"

namespace candela::lighthouse {

// Averages over the time up to `time_ms`; rates are per second. What is not in `known` (proto
// kUsage…) means nothing.
struct UsageSample {
    uint64_t time_ms = 0;
    uint32_t known = 0;
    uint32_t cpu_millis = 0;  // 1/1000 of a core
    uint64_t memory_bytes = 0;
    uint64_t io_read = 0, io_write = 0, net_in = 0, net_out = 0;
    uint32_t processes = 0;
    uint32_t cpu_pressure = 0, memory_pressure = 0, io_pressure = 0;  // 1/10000

    bool operator==(const UsageSample&) const = default;
};
// Members are null where they are not known.
Json to_json(const UsageSample& sample);

// Samples of one thing at one resolution, the newest `count_max`.
class UsageSeries {
public:
    UsageSeries(uint64_t step_ms, size_t count_max) : step_ms_(step_ms), count_max_(count_max) {}
    // True where that has ended a step; then samples().back() is new.
    bool add(const UsageSample& sample);
    const std::vector<UsageSample> samples() const;
    const UsageSample* newest() const { return ring_.empty() ? nullptr : &ring_[last_]; }

private:
    struct Sum {
        uint64_t step = 0;
        uint32_t count = 0;
        UsageSample total;
        uint32_t counts[6] = {};  // by bit of `known`
    };
    UsageSample average() const;

    uint64_t step_ms_;
    size_t count_max_;
    Sum sum_;
    std::vector<UsageSample> ring_;
    size_t last_ = 0;
};

struct UsageRow {
    std::string key;
    UsageSample sample;
};

class UsageBook {
public:
    static constexpr uint64_t kFineMs = 1'000, kMiddleMs = 10'000, kCoarseMs = 300'000;
    static constexpr size_t kFineCount = 300, kMiddleCount = 360;
    // Instances and nodes in memory, some 45 KiB each; of more nothing is kept.
    static constexpr size_t kSeriesMax = 4096;
    static constexpr size_t kRowsWaitingMax = 20'000;
    static constexpr uint64_t kForgetMs = 3'600'000;  // after the last sample

    static std::string instance_key(std::string_view instance) {
        return "instance/" + std::string(instance);
    }
    static std::string node_key(std::string_view node) { return "node/" + std::string(node); }

    void note(const proto::NodeHeartbeat& beat, WallTime now);
    // Of the last seconds; null where nothing was heard lately.
    const UsageSample* latest(const std::string& key, WallTime now) const;
    // `step_ms`: kFineMs or kMiddleMs.
    std::vector<UsageSample> samples(const std::string& key, uint64_t step_ms) const;
    // Coarse ones that are to be written down.
    std::vector<UsageRow> take_rows() { return std::exchange(rows_, {}); }
    void forget_silent(WallTime now);
    size_t size() const { return all_.size(); }

private:
    struct One {
        proto::Usage last;
        uint64_t last_ms = 0;  // when `last` came
        UsageSeries fine{kFineMs, kFineCount};
        UsageSeries middle{kMiddleMs, kMiddleCount};
        UsageSeries coarse{kCoarseMs, 1};
    };
    void note_one(const std::string& key, const proto::Usage& usage, uint64_t now_ms);

    std::map<std::string, One, std::less<>> all_;
    std::vector<UsageRow> rows_;
};

// On the database's thread.
inline constexpr Duration kUsageKeep = std::chrono::hours(24 * 7);
inline constexpr uint64_t kUsageRowsMax = 500'000;
Result<> write_usage(store::Connection& db, const std::vector<UsageRow>& rows, WallTime now);
Result<std::vector<UsageSample>> read_usage(store::Connection& db, const std::string& key);

}  // namespace candela::lighthouse
