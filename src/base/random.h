#pragma once

// Where chance enters. Components take a Random& so that a simulation can replay a seed. Keys never
// come from here: crypto/ draws its own from the operating system.

#include <cstdint>
#include <span>

namespace candela {

class Random {
public:
    virtual ~Random() = default;
    virtual uint64_t next() = 0;

    // Uniform in [0, bound); bound > 0.
    uint64_t below(uint64_t bound) {
        return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
    }
    void fill(std::span<uint8_t> bytes);
};

// xoshiro-style generator: fast, not for secrets. The same seed gives the same numbers.
class SeededRandom final : public Random {
public:
    explicit SeededRandom(uint64_t seed);
    uint64_t next() override;

private:
    uint64_t state_[4];
};

// A SeededRandom whose seed comes from the operating system.
SeededRandom system_seeded_random();

}  // namespace candela
