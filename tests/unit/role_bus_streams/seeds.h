#pragma once

// Which runs a randomised test goes through: the same ones each time, CANDELA_SIM_RUNS=N new ones
// (./dev sim), or CANDELA_SIM_SEED=S that one again.

#include <catch2/catch_get_random_seed.hpp>

#include <cstdint>
#include <cstdlib>
#include <vector>

namespace candela::bus_role {

inline std::vector<uint64_t> seeds(uint64_t count) {
    if (const char* one = std::getenv("CANDELA_SIM_SEED")) return {std::strtoull(one, nullptr, 10)};
    uint64_t first = 1;
    if (const char* runs = std::getenv("CANDELA_SIM_RUNS")) {
        count = std::strtoull(runs, nullptr, 10);
        first = uint64_t{Catch::getSeed()} * 1000;
    }
    std::vector<uint64_t> out;
    for (uint64_t i = 0; i < count; ++i) out.push_back(first + i);
    return out;
}

}  // namespace candela::bus_role
