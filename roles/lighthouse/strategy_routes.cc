#include "strategy_routes.h"

#include <algorithm>
#include <functional>

namespace candela::lighthouse {

namespace {

constexpr uint32_t kWeightOfPercent = 1000;  // divided among a side's endpoints

// The old one until green takes over, then green as long as any of it serves.
void keep_one_colour(const Release& target, std::vector<proto::Endpoint>& endpoints) {
    const auto is_green = [&](const proto::Endpoint& endpoint) {
        return endpoint.release == target.number;
    };
    if (!target.promoted) {
        std::erase_if(endpoints, is_green);
    } else if (std::ranges::any_of(endpoints, is_green)) {
        std::erase_if(endpoints, std::not_fn(is_green));
    }
}

void share_by_weight(const Release& target, std::vector<proto::Endpoint>& endpoints) {
    const uint32_t percent = target.manifest.update.canary_weight;
    const auto canaries = static_cast<uint32_t>(std::ranges::count_if(
        endpoints, [&](const auto& endpoint) { return endpoint.release == target.number; }));
    const auto others = static_cast<uint32_t>(endpoints.size()) - canaries;
    // Where one side is missing the other takes all.
    if (canaries == 0 || others == 0) return;
    for (proto::Endpoint& endpoint : endpoints) {
        endpoint.is_weighted = true;
        endpoint.weight = endpoint.release == target.number
                              ? percent * kWeightOfPercent / canaries
                              : (100 - percent) * kWeightOfPercent / others;
        endpoint.weight = std::max<uint32_t>(endpoint.weight, 1);
    }
}

}  // namespace

void apply_strategy(const Service& service, std::vector<proto::Endpoint>& endpoints) {
    const Release* target = service.find(service.target);
    const bool is_changing = target != nullptr && target->rollout == Rollout::kRolling &&
                             service.stable != 0 && service.stable != target->number;
    if (!is_changing) return;
    switch (target->manifest.update.strategy) {
        case service::UpdateStrategy::kBlueGreen: keep_one_colour(*target, endpoints); break;
        case service::UpdateStrategy::kCanary:
            if (!target->promoted && target->manifest.update.canary_weight != 0)
                share_by_weight(*target, endpoints);
            break;
        case service::UpdateStrategy::kRolling: break;
    }
}

}  // namespace candela::lighthouse
