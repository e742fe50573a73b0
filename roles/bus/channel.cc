#include "channel.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace candela::bus_role {

Block Channel::take_block(size_t bytes_min) {
    if (bytes_min <= kBlockBytes) {
        const std::lock_guard lock(mutex_);
        if (!spare_.empty()) {
            Block block = std::move(spare_.back());
            spare_.pop_back();
            return block;
        }
    }
    Block block;
    block.capacity = std::max(bytes_min, kBlockBytes);
    block.bytes.reset(new char[block.capacity]);
    return block;
}

bool Channel::send(Block& block) {
    sent_ += block.size;
    const std::lock_guard lock(mutex_);
    // Many small batches for a receiver that is busy share a block.
    if (!waiting_.empty() && waiting_.back().room() >= block.size) {
        Block& last = waiting_.back();
        std::memcpy(last.bytes.get() + last.size, block.bytes.get(), block.size);
        last.size += block.size;
        block.size = 0;
    } else {
        waiting_.push_back(std::move(block));
        block = Block();
    }
    return !std::exchange(is_woken_, true);
}

void Channel::take(std::vector<Block>& into) {
    const std::lock_guard lock(mutex_);
    is_woken_ = false;
    into.swap(waiting_);
}

void Channel::forget_wake() {
    const std::lock_guard lock(mutex_);
    is_woken_ = false;
}

bool Channel::finish(std::vector<Block>& blocks) {
    uint64_t bytes = 0;
    for (const Block& block : blocks) bytes += block.size;
    {
        const std::lock_guard lock(mutex_);
        for (Block& block : blocks) {
            if (spare_.size() >= kSpareBlocksMax || block.capacity != kBlockBytes) continue;
            block.size = 0;
            spare_.push_back(std::move(block));
        }
    }
    blocks.clear();
    consumed_.store(consumed_.load(std::memory_order_relaxed) + bytes);
    return wants_news_.exchange(false);
}

}  // namespace candela::bus_role
