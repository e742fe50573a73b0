#include "usage_book.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace candela::lighthouse {

namespace {

using proto::kUsageCpu;
using proto::kUsageIo;
using proto::kUsageMemory;
using proto::kUsageNetwork;
using proto::kUsagePressure;
using proto::kUsageProcesses;

constexpr uint32_t kBits[] = {kUsageCpu,     kUsageMemory,    kUsageIo,
                              kUsageNetwork, kUsageProcesses, kUsagePressure};

// The same measurement may come with several heartbeats; after so long it is a new one.
constexpr uint64_t kSameMs = 2'500;
constexpr uint64_t kGapMs = 30'000;  // beyond it a rate says nothing
constexpr uint64_t kLatestMs = 15'000;

uint64_t rate(uint64_t before, uint64_t now, uint64_t millis) {
    return (now - before) * 1000 / millis;
}

int64_t i64(uint64_t number) { return static_cast<int64_t>(number); }

}  // namespace

Json to_json(const UsageSample& sample) {
    const auto if_known = [&](uint32_t bit, auto value) {
        return (sample.known & bit) != 0 ? Json(value) : Json(nullptr);
    };
    const auto share = [&](uint32_t value) {
        return if_known(kUsagePressure, static_cast<double>(value) / 10'000);
    };
    return Json{{"time", format_rfc3339(from_unix_millis(static_cast<int64_t>(sample.time_ms)))},
                {"cpu_millis", if_known(kUsageCpu, sample.cpu_millis)},
                {"memory_bytes", if_known(kUsageMemory, sample.memory_bytes)},
                {"io_read_bytes_per_second", if_known(kUsageIo, sample.io_read)},
                {"io_write_bytes_per_second", if_known(kUsageIo, sample.io_write)},
                {"net_in_bytes_per_second", if_known(kUsageNetwork, sample.net_in)},
                {"net_out_bytes_per_second", if_known(kUsageNetwork, sample.net_out)},
                {"processes", if_known(kUsageProcesses, sample.processes)},
                {"cpu_pressure", share(sample.cpu_pressure)},
                {"memory_pressure", share(sample.memory_pressure)},
                {"io_pressure", share(sample.io_pressure)}};
}

// ---- one series

bool UsageSeries::add(const UsageSample& sample) {
    const uint64_t step = sample.time_ms / step_ms_;
    bool has_ended = false;
    if (sum_.count > 0 && step != sum_.step) {
        const UsageSample ended = average();
        if (ring_.size() < count_max_) {
            ring_.push_back(ended);
            last_ = ring_.size() - 1;
        } else {
            last_ = (last_ + 1) % count_max_;
            ring_[last_] = ended;
        }
        sum_ = Sum();
        has_ended = true;
    }
    sum_.step = step;
    ++sum_.count;
    UsageSample& total = sum_.total;
    for (size_t i = 0; i < std::size(kBits); ++i) {
        if ((sample.known & kBits[i]) != 0) ++sum_.counts[i];
    }
    total.known |= sample.known;
    const auto add = [&](uint32_t bit, auto field) {
        if ((sample.known & bit) != 0) total.*field += sample.*field;
    };
    add(kUsageCpu, &UsageSample::cpu_millis);
    add(kUsageMemory, &UsageSample::memory_bytes);
    for (const auto field : {&UsageSample::io_read, &UsageSample::io_write}) add(kUsageIo, field);
    for (const auto field : {&UsageSample::net_in, &UsageSample::net_out})
        add(kUsageNetwork, field);
    add(kUsageProcesses, &UsageSample::processes);
    for (const auto field :
         {&UsageSample::cpu_pressure, &UsageSample::memory_pressure, &UsageSample::io_pressure}) {
        add(kUsagePressure, field);
    }
    return has_ended;
}

UsageSample UsageSeries::average() const {
    UsageSample out = sum_.total;
    out.time_ms = (sum_.step + 1) * step_ms_;
    const auto by = [&](size_t index, auto... fields) {
        const uint32_t count = std::max(sum_.counts[index], 1U);
        ((out.*fields /= count), ...);
    };
    by(0, &UsageSample::cpu_millis);
    by(1, &UsageSample::memory_bytes);
    by(2, &UsageSample::io_read, &UsageSample::io_write);
    by(3, &UsageSample::net_in, &UsageSample::net_out);
    by(4, &UsageSample::processes);
    by(5, &UsageSample::cpu_pressure, &UsageSample::memory_pressure, &UsageSample::io_pressure);
    return out;
}

const std::vector<UsageSample> UsageSeries::samples() const {
    std::vector<UsageSample> out;
    out.reserve(ring_.size());
    for (size_t i = 1; i <= ring_.size(); ++i) out.push_back(ring_[(last_ + i) % ring_.size()]);
    return out;
}

// ---- all of them

void UsageBook::note(const proto::NodeHeartbeat& beat, WallTime now) {
    const auto now_ms = static_cast<uint64_t>(unix_millis(now));
    note_one(node_key(beat.node), beat.usage, now_ms);
    for (const proto::InstanceStatus& status : beat.instances)
        note_one(instance_key(status.instance), status.usage, now_ms);
}

void UsageBook::note_one(const std::string& key, const proto::Usage& usage, uint64_t now_ms) {
    if (usage.known == 0) return;
    auto place = all_.find(key);
    if (place == all_.end()) {
        if (all_.size() >= kSeriesMax) return;
        place = all_.try_emplace(key).first;
    }
    One& one = place->second;
    const uint64_t millis = now_ms - one.last_ms;
    if (usage == one.last && millis < kSameMs) return;
    const proto::Usage before = std::exchange(one.last, usage);
    const bool is_first = std::exchange(one.last_ms, now_ms) == 0;
    UsageSample sample;
    sample.time_ms = now_ms;
    sample.known = usage.known & (kUsageMemory | kUsageProcesses | kUsagePressure);
    sample.memory_bytes = usage.memory_bytes;
    sample.processes = usage.processes;
    sample.cpu_pressure = usage.cpu_pressure;
    sample.memory_pressure = usage.memory_pressure;
    sample.io_pressure = usage.io_pressure;
    // A count that went back has begun anew; the clock may have jumped, too.
    const bool has_span = !is_first && millis > 0 && millis < kGapMs;
    const uint32_t both = has_span ? usage.known & before.known : 0;
    if ((both & kUsageCpu) != 0 && usage.cpu_micros >= before.cpu_micros) {
        sample.known |= kUsageCpu;
        sample.cpu_millis = static_cast<uint32_t>((usage.cpu_micros - before.cpu_micros) / millis);
    }
    if ((both & kUsageIo) != 0 && usage.io_read_bytes >= before.io_read_bytes &&
        usage.io_write_bytes >= before.io_write_bytes) {
        sample.known |= kUsageIo;
        sample.io_read = rate(before.io_read_bytes, usage.io_read_bytes, millis);
        sample.io_write = rate(before.io_write_bytes, usage.io_write_bytes, millis);
    }
    if ((both & kUsageNetwork) != 0 && usage.net_in_bytes >= before.net_in_bytes &&
        usage.net_out_bytes >= before.net_out_bytes) {
        sample.known |= kUsageNetwork;
        sample.net_in = rate(before.net_in_bytes, usage.net_in_bytes, millis);
        sample.net_out = rate(before.net_out_bytes, usage.net_out_bytes, millis);
    }
    one.fine.add(sample);
    one.middle.add(sample);
    if (one.coarse.add(sample) && rows_.size() < kRowsWaitingMax)
        rows_.push_back(UsageRow(key, *one.coarse.newest()));
}

const UsageSample* UsageBook::latest(const std::string& key, WallTime now) const {
    const auto place = all_.find(key);
    if (place == all_.end()) return nullptr;
    const auto now_ms = static_cast<uint64_t>(unix_millis(now));
    const UsageSample* newest = place->second.fine.newest();
    return newest == nullptr || newest->time_ms + kLatestMs < now_ms ? nullptr : newest;
}

std::vector<UsageSample> UsageBook::samples(const std::string& key, uint64_t step_ms) const {
    const auto place = all_.find(key);
    if (place == all_.end()) return {};
    return step_ms == kFineMs ? place->second.fine.samples() : place->second.middle.samples();
}

void UsageBook::forget_silent(WallTime now) {
    const auto now_ms = static_cast<uint64_t>(unix_millis(now));
    std::erase_if(all_,
                  [now_ms](const auto& each) { return each.second.last_ms + kForgetMs < now_ms; });
}

// ---- SQL

Result<> write_usage(store::Connection& db, const std::vector<UsageRow>& rows, WallTime now) {
    return db.transaction([&]() -> Result<> {
        for (const UsageRow& row : rows) {
            const UsageSample& s = row.sample;
            CANDELA_TRY(db.execute(
                "INSERT INTO usage_samples (subject, time, known, cpu_millis, memory_bytes, "
                "io_read, io_write, net_in, net_out, processes, cpu_pressure, memory_pressure, "
                "io_pressure) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "
                "ON CONFLICT (subject, time) DO NOTHING",
                {row.key, i64(s.time_ms), int64_t{s.known}, int64_t{s.cpu_millis},
                 i64(s.memory_bytes), i64(s.io_read), i64(s.io_write), i64(s.net_in),
                 i64(s.net_out), int64_t{s.processes}, int64_t{s.cpu_pressure},
                 int64_t{s.memory_pressure}, int64_t{s.io_pressure}}));
        }
        CANDELA_TRY(db.execute("DELETE FROM usage_samples WHERE time < $1",
                               {unix_millis(now - kUsageKeep)}));
        CANDELA_TRY(
            db.execute("DELETE FROM usage_samples WHERE time < (SELECT time FROM "
                       "usage_samples ORDER BY time DESC LIMIT 1 OFFSET $1)",
                       {i64(kUsageRowsMax)}));
        return {};
    });
}

Result<std::vector<UsageSample>> read_usage(store::Connection& db, const std::string& key) {
    CANDELA_TRY_ASSIGN(
        const auto rows,
        db.query("SELECT time, known, cpu_millis, memory_bytes, io_read, io_write, net_in, "
                 "net_out, processes, cpu_pressure, memory_pressure, io_pressure "
                 "FROM usage_samples WHERE subject = $1 ORDER BY time",
                 {key}));
    std::vector<UsageSample> out;
    for (const store::Row& row : rows) {
        const auto u64 = [&](size_t column) { return static_cast<uint64_t>(row.integer(column)); };
        const auto u32 = [&](size_t column) { return static_cast<uint32_t>(row.integer(column)); };
        UsageSample& sample = out.emplace_back();
        sample.time_ms = u64(0);
        sample.known = u32(1);
        sample.cpu_millis = u32(2);
        sample.memory_bytes = u64(3);
        sample.io_read = u64(4);
        sample.io_write = u64(5);
        sample.net_in = u64(6);
        sample.net_out = u64(7);
        sample.processes = u32(8);
        sample.cpu_pressure = u32(9);
        sample.memory_pressure = u32(10);
        sample.io_pressure = u32(11);
    }
    return out;
}

}  // namespace candela::lighthouse
