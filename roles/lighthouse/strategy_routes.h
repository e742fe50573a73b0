#pragma once

// How a strategy shows in the route table while its release rolls out: which endpoints of the
// service are in it, and how much each gets. Pure.

#include <vector>

#include "model.h"

namespace candela::lighthouse {

// Blue and green: one of them only. A canary with a weight: that share of the requests.
void apply_strategy(const Service& service, std::vector<proto::Endpoint>& endpoints);

}  // namespace candela::lighthouse
