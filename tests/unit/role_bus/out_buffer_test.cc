#include "out_buffer.h"

#include <catch2/catch_test_macros.hpp>
#include <string>

#include "base/random.h"

using namespace candela;
using namespace candela::bus_role;

TEST_CASE("what_goes_into_a_buffer_comes_out_in_order") {
    SeededRandom random(5);
    BlockPool pool;
    OutBuffer buffer(pool);
    std::string in, out;
    for (int i = 0; i < 3000; ++i) {
        const std::string part(random.below(i % 100 == 0 ? 100'000 : 500),
                               static_cast<char>('a' + i % 26));
        buffer.append(part);
        in += part;
        for (uint64_t n = random.below(4); n > 0 && !buffer.empty(); --n) {
            const std::string_view front = buffer.front(random.below(1500) + 1);
            out += front;
            buffer.consume(front.size());
        }
        REQUIRE(in.size() - out.size() == buffer.size());
    }
    out += buffer.front(SIZE_MAX);
    buffer.consume(buffer.size());
    CHECK((in == out));
}

TEST_CASE("an_empty_buffer_holds_nothing_and_the_next_one_gets_its_block") {
    BlockPool pool;
    OutBuffer one(pool), two(pool);
    one.append("x");
    const char* block = one.front(1).data();
    CHECK(one.held_bytes() == BlockPool::kSmallestBytes);
    one.consume(1);
    CHECK(one.held_bytes() == 0);
    CHECK(pool.kept_bytes() == BlockPool::kSmallestBytes);
    two.append("y");
    CHECK(two.front(1).data() == block);
    CHECK(pool.kept_bytes() == 0);
}

TEST_CASE("a_pool_keeps_no_more_than_its_limit_and_no_huge_blocks") {
    BlockPool pool;
    pool.give(pool.take(BlockPool::kLargestKeptBytes * 2));
    CHECK(pool.kept_bytes() == 0);
    std::vector<BlockPool::Block> blocks;
    for (int i = 0; i < 100; ++i) blocks.push_back(pool.take(BlockPool::kLargestKeptBytes - 1));
    for (BlockPool::Block& block : blocks) {
        CHECK(block.size == BlockPool::kLargestKeptBytes);
        pool.give(std::move(block));
    }
    CHECK(pool.kept_bytes() == BlockPool::kKeptBytesMax);
}
