#pragma once

// Blocks for what waits to be sent, shared by the connections of one loop: one that has nothing to
// send holds none, and a busy one gets back the block that it gave a moment ago. Sizes are powers
// of two. What is kept for later is bounded. Larger blocks, of readers that have fallen behind, are
// pages of their own: they go back to the system at once, and what was never written takes none.

#include <sys/mman.h>

#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"

namespace candela::bus_role {

inline constexpr size_t kLargestHeapBlock = 1024 * 1024;

struct FreeBlock {
    size_t size = 0;
    void operator()(char* bytes) const {
        if (size <= kLargestHeapBlock)
            delete[] bytes;
        else
            ::munmap(bytes, size);
    }
};

class BlockPool {
public:
    static constexpr size_t kSmallestBytes = 4 * 1024;
    static constexpr size_t kLargestKeptBytes = kLargestHeapBlock;
    static constexpr size_t kKeptBytesMax = 4 * 1024 * 1024;  // of all that wait to be used again

    struct Block {
        std::unique_ptr<char[], FreeBlock> bytes;
        size_t size = 0;
    };

    BlockPool() = default;
    BlockPool(const BlockPool&) = delete;
    BlockPool& operator=(const BlockPool&) = delete;

    // At least so large.
    Block take(size_t size_bytes) {
        const size_t size =
            std::bit_ceil(size_bytes < kSmallestBytes ? kSmallestBytes : size_bytes);
        if (size <= kLargestKeptBytes) {
            std::vector<Block>& blocks = blocks_of(size);
            if (!blocks.empty()) {
                Block block = std::move(blocks.back());
                blocks.pop_back();
                kept_bytes_ -= size;
                return block;
            }
        }
        return make(size);
    }
    void give(Block block) {
        if (block.size == 0 || block.size > kLargestKeptBytes) return;
        if (kept_bytes_ + block.size > kKeptBytesMax) return;
        kept_bytes_ += block.size;
        blocks_of(block.size).push_back(std::move(block));
    }
    size_t kept_bytes() const { return kept_bytes_; }

private:
    static constexpr size_t kSizes =
        std::countr_zero(kLargestKeptBytes) - std::countr_zero(kSmallestBytes) + 1;

    static Block make(size_t size) {
        if (size <= kLargestKeptBytes) return Block{{new char[size], FreeBlock{size}}, size};
        void* pages =
            ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CANDELA_CHECK(pages != MAP_FAILED);  // as where new finds nothing
        return Block{{static_cast<char*>(pages), FreeBlock{size}}, size};
    }
    std::vector<Block>& blocks_of(size_t size) {
        return blocks_[static_cast<size_t>(std::countr_zero(size) -
                                           std::countr_zero(kSmallestBytes))];
    }

    std::array<std::vector<Block>, kSizes> blocks_;
    size_t kept_bytes_ = 0;
};

}  // namespace candela::bus_role
