#include "base/keyed_hash.h"

#include <catch2/catch_test_macros.hpp>
#include <set>
#include <string>

using namespace candela;

TEST_CASE("texts_that_differ_hash_differently_and_keys_matter") {
    SeededRandom random(3);
    const KeyedHash one(random), two(random);
    std::set<size_t> seen;
    std::string text;
    // Of every length, of zeros and of others, and those that differ in one place only.
    for (size_t length = 0; length < 40; ++length) {
        seen.insert(one(std::string(length, '\0')));
        seen.insert(one(std::string(length + 1, 'x')));
        for (size_t at = 0; at < length; ++at) {
            text.assign(length, '\0');
            text[at] = 'y';
            seen.insert(one(text));
        }
    }
    CHECK(seen.size() == 40 + 40 + 39 * 40 / 2);
    CHECK(one("a") == one(std::string("a")));
    CHECK(one("a") != two("a"));
    CHECK(one.combine(one("a"), one("b")) != one.combine(one("b"), one("a")));
}

TEST_CASE("hashes_fill_a_table_evenly") {
    const KeyedHash hash = KeyedHash::from_system();
    constexpr size_t kSlots = 256;
    size_t slots[kSlots] = {};
    for (int i = 0; i < 256 * 100; ++i) ++slots[hash("subject." + std::to_string(i)) % kSlots];
    for (const size_t count : slots) {
        CHECK(count > 30);
        CHECK(count < 200);
    }
}
