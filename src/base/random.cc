#include "base/random.h"

#include <sys/random.h>

#include <bit>

#include "base/check.h"

namespace candela {

void Random::fill(std::span<uint8_t> bytes) {
    uint64_t word = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
        if (i % 8 == 0) word = next();
        bytes[i] = static_cast<uint8_t>(word >> (i % 8 * 8));
    }
}

// SplitMix64 spreads one seed over the whole state (Steele, Lea, Flood 2014).
SeededRandom::SeededRandom(uint64_t seed) {
    for (uint64_t& word : state_) {
        seed += 0x9E3779B97F4A7C15;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        word = z ^ (z >> 31);
    }
}

// xoshiro256** (Blackman, Vigna 2018).
uint64_t SeededRandom::next() {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
}

SeededRandom system_seeded_random() {
    uint64_t seed = 0;
    CANDELA_CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    return SeededRandom(seed);
}

}  // namespace candela
