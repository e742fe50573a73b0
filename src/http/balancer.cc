#include "http/balancer.h"

#include <algorithm>

namespace candela::http {

void Balancer::remove(Load& load) { std::erase(loads_, &load); }

void Balancer::note_weights() {
    is_weighted_ = std::ranges::any_of(
        loads_, [&](const Load* load) { return load->weight != loads_.front()->weight; });
}

int Balancer::rank(const Load& load, MonoTime now, std::span<Load* const> avoid) {
    if (load.draining || load.weight == 0 || !load.healthy || load.unreachable_until > now)
        return kNever;
    for (const Load* tried : avoid) {
        if (tried == &load) return kTried;
    }
    return load.suspect || load.suspect_until > now ? 1 : 0;
}

Load* Balancer::pick(MonoTime now, std::span<Load* const> avoid) {
    const size_t count = loads_.size();
    if (count == 0) return nullptr;
    if (count == 1) return rank(*loads_[0], now, {}) == kNever ? nullptr : loads_[0];

    if (is_weighted_) return pick_weighted(now, avoid);

    // Two different ones by chance. Where both are fit, which is nearly always, that is the choice.
    const size_t first = random_.below(count);
    size_t second = random_.below(count - 1);
    if (second >= first) ++second;
    Load* a = loads_[first];
    Load* b = loads_[second];
    const int rank_a = rank(*a, now, avoid);
    const int rank_b = rank(*b, now, avoid);
    if (rank_a == 0 && rank_b == 0) return b->in_flight < a->in_flight ? b : a;

    // Otherwise the best of all, the scan starting at a place of chance so that equals share.
    Load* best = nullptr;
    int best_rank = kNever;
    for (size_t i = 0; i < count; ++i) {
        Load* load = loads_[(first + i) % count];
        const int load_rank = rank(*load, now, avoid);
        if (load_rank == kNever) continue;
        const bool is_better =
            load_rank < best_rank || (load_rank == best_rank && load->in_flight < best->in_flight);
        if (!is_better) continue;
        best = load;
        best_rank = load_rank;
    }
    return best;
}

// Shares are kept whatever is in flight: a few requests to a new release are what was asked for. Of
// the weight that was drawn, the less busy of two.
Load* Balancer::pick_weighted(MonoTime now, std::span<Load* const> avoid) {
    int best_rank = kNever;
    for (const Load* load : loads_) best_rank = std::min(best_rank, rank(*load, now, avoid));
    if (best_rank == kNever) return nullptr;
    const auto is_fit = [&](const Load* load) { return rank(*load, now, avoid) == best_rank; };
    uint64_t total = 0;
    for (const Load* load : loads_) {
        if (is_fit(load)) total += load->weight;
    }
    Load* drawn = nullptr;
    uint64_t place = random_.below(total);
    for (Load* load : loads_) {
        if (!is_fit(load)) continue;
        drawn = load;
        if (place < load->weight) break;
        place -= load->weight;
    }
    Load* other = loads_[random_.below(loads_.size())];
    const bool is_better =
        other->weight == drawn->weight && other->in_flight < drawn->in_flight && is_fit(other);
    return is_better ? other : drawn;
}

bool Balancer::has_other(MonoTime now, std::span<Load* const> tried) const {
    return std::ranges::any_of(loads_,
                               [&](const Load* load) { return rank(*load, now, tried) < kTried; });
}

MonoTime Balancer::next_retry(MonoTime now) const {
    MonoTime earliest = MonoTime::max();
    for (const Load* load : loads_) {
        if (load->draining || !load->healthy || load->unreachable_until <= now) continue;
        earliest = std::min(earliest, load->unreachable_until);
    }
    return earliest;
}

void Balancer::on_success(Load& load) {
    load.connect_failures = 0;
    load.failures = 0;
    load.suspect_until = {};
}

void Balancer::on_failure(Load& load, EndpointFailure failure, MonoTime now) {
    // Many requests meet one dead endpoint at the same moment: that is one failure, not many.
    if (failure == EndpointFailure::kConnect && load.unreachable_until > now) return;
    uint32_t& count = failure == EndpointFailure::kConnect ? load.connect_failures : load.failures;
    ++count;
    const uint32_t threshold = failure == EndpointFailure::kConnect ? 1 : kFailuresUntilSuspect;
    if (count < threshold) return;
    const uint32_t doublings = std::min<uint32_t>(count - threshold, 6);
    const Duration pause = std::min<Duration>(kPauseMin * (1 << doublings), kPauseMax);
    if (failure == EndpointFailure::kConnect) {
        load.unreachable_until = now + pause;
    } else {
        load.suspect_until = now + pause;
    }
}

}  // namespace candela::http
