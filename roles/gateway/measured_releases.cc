#include "measured_releases.h"

#include <algorithm>

namespace candela::gateway {

MeasuredReleasesPtr MeasuredReleases::of(const proto::RouteTable& table,
                                         const MeasuredReleases* previous, size_t workers) {
    auto made = std::make_shared<MeasuredReleases>();
    for (const proto::RouteService& service : table.services) {
        if (service.measure == 0) continue;
        if (previous != nullptr) {
            // A release that has no instance for a moment is measured all the same.
            std::ranges::copy_if(previous->entries_, std::back_inserter(made->entries_),
                                 [&](const auto& entry) { return entry->is_of(service); });
        }
        for (const proto::Endpoint& endpoint : service.endpoints) {
            if (made->counts(service, endpoint.release, 0) != nullptr) continue;
            made->entries_.push_back(std::make_shared<Entry>(service, endpoint.release, workers));
        }
    }
    return made;
}

std::shared_ptr<http::AnswerCounts> MeasuredReleases::counts(const proto::RouteService& service,
                                                             uint64_t release,
                                                             size_t worker) const {
    if (service.measure == 0) return nullptr;
    for (const auto& entry : entries_) {
        if (entry->release != release || !entry->is_of(service)) continue;
        return std::shared_ptr<http::AnswerCounts>(entry, &entry->by_worker[worker]);
    }
    return nullptr;
}

std::vector<proto::AnswerReading> MeasuredReleases::readings(uint64_t turn) const {
    std::vector<proto::AnswerReading> out;
    const size_t count = std::min(entries_.size(), proto::kAnswerReadingsMax);
    for (size_t i = 0; i < count; ++i) {
        out.push_back(read(*entries_[(turn * proto::kAnswerReadingsMax + i) % entries_.size()]));
    }
    return out;
}

proto::AnswerReading MeasuredReleases::read(const Entry& entry) {
    proto::AnswerReading reading;
    reading.space = entry.space;
    reading.service = entry.name;
    reading.measure = entry.measure;
    reading.release = entry.release;
    std::array<uint64_t, kLatencyBuckets> latency{};
    for (const http::AnswerCounts& counts : entry.by_worker) {
        reading.answers += counts.answers.load(std::memory_order_relaxed);
        reading.failures += counts.failures.load(std::memory_order_relaxed);
        for (size_t i = 0; i < latency.size(); ++i) {
            latency[i] += counts.latency[i].load(std::memory_order_relaxed);
        }
    }
    for (uint32_t i = 0; i < latency.size(); ++i) {
        if (latency[i] != 0) reading.latency.push_back(proto::LatencyCount(i, latency[i]));
    }
    return reading;
}

}  // namespace candela::gateway
