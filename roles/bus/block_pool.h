#pragma once

// Blocks for what waits to be sent, shared by the connections of one loop: one that has nothing to
// send holds none, and a busy one gets back the block that it gave a moment ago. Sizes are powers
// of two. What is kept for later is bounded; larger blocks go back to the system at once.

#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace candela::bus_role {

class BlockPool {
public:
    static constexpr size_t kSmallestBytes = 4 * 1024;
    static constexpr size_t kLargestKeptBytes = 256 * 1024;
    static constexpr size_t kKeptBytesMax = 4 * 1024 * 1024;  // of all that wait to be used again

    struct Block {
        std::unique_ptr<char[]> bytes;
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
        return Block{std::unique_ptr<char[]>(new char[size]), size};
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

    std::vector<Block>& blocks_of(size_t size) {
        return blocks_[static_cast<size_t>(std::countr_zero(size) -
                                           std::countr_zero(kSmallestBytes))];
    }

    std::array<std::vector<Block>, kSizes> blocks_;
    size_t kept_bytes_ = 0;
};

}  // namespace candela::bus_role
