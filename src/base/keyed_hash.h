#pragma once

// A hash of text for tables whose keys strangers choose: keyed by chance, so that nobody can pick
// keys that all fall into one slot. Quick on the few bytes of a subject's token. Not for secrets,
// nor for anything that is stored. Values; any thread.

#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/random.h"

namespace candela {

class KeyedHash {
public:
    using is_transparent = void;

    explicit KeyedHash(Random& random) : start_(random.next()), factor_(random.next() | 1) {}
    // With a key from the operating system.
    static KeyedHash from_system() {
        SeededRandom random = system_seeded_random();
        return KeyedHash(random);
    }

    size_t operator()(std::string_view text) const noexcept {
        const char* at = text.data();
        size_t left = text.size();
        uint64_t hash = start_ + left * factor_;
        for (; left > 8; at += 8, left -= 8) hash = fold(hash ^ load<uint64_t>(at));
        return fold(hash ^ load_last(at, left));
    }
    // Of two hashes in this order.
    size_t combine(size_t first, size_t second) const noexcept {
        return fold(fold(first) ^ second);
    }

private:
    template <class T>
    static uint64_t load(const char* at) {
        T value;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
    // At most eight bytes.
    static uint64_t load_last(const char* at, size_t count) {
        if (count >= 4) return load<uint32_t>(at) | load<uint32_t>(at + count - 4) << 32;
        if (count == 0) return 0;
        return load<uint8_t>(at) | load<uint8_t>(at + count / 2) << 8 |
               load<uint8_t>(at + count - 1) << 16;
    }
    uint64_t fold(uint64_t value) const {
        const auto product = static_cast<unsigned __int128>(value) * factor_;
        return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    }

    uint64_t start_;
    uint64_t factor_;
};

}  // namespace candela
