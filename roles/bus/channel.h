#pragma once

// Bytes from one loop to another, in order: records that the sender writes whole into blocks, and
// the receiver takes many at a time. Nothing is allocated once it is warm. Bounded by its sender,
// who looks at in_flight().

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

namespace candela::bus_role {

struct Block {
    std::unique_ptr<char[]> bytes;
    size_t capacity = 0;
    size_t size = 0;

    std::string_view view() const { return {bytes.get(), size}; }
    size_t room() const { return capacity - size; }
};

class Channel {
public:
    static constexpr size_t kBlockBytes = 64 * 1024;
    static constexpr size_t kSpareBlocksMax = 8;

    // --- The sender's thread.
    // A block with room for so many bytes.
    Block take_block(size_t bytes_min);
    // Hands the block's bytes over. What is left in `block` is empty, and may have no memory. True:
    // the receiver must be woken.
    bool send(Block& block);
    uint64_t sent() const { return sent_; }
    // How far the receiver has come, in bytes since the start.
    uint64_t consumed() const { return consumed_.load(); }
    size_t in_flight() const { return static_cast<size_t>(sent_ - consumed()); }
    // Has the receiver tell when it has come further; whoever asks looks at consumed() afterwards.
    void ask_for_news() { wants_news_.store(true); }

    // --- The receiver's thread.
    // All that waits, in order. Called once for each time that send() said to.
    void take(std::vector<Block>& into);
    // Nobody was there to take: send() will say again that somebody must be woken.
    void forget_wake();
    // Gives the blocks back, their bytes being done with. True: the sender wants to know.
    bool finish(std::vector<Block>& blocks);

private:
    std::mutex mutex_;
    std::vector<Block> waiting_;  // under mutex_
    std::vector<Block> spare_;    // under mutex_
    bool is_woken_ = false;       // under mutex_: the receiver will come
    uint64_t sent_ = 0;
    // Both are set and read in one order by both sides (the default): either the receiver sees that
    // news are wanted, or the sender sees that there are some.
    alignas(64) std::atomic<uint64_t> consumed_{0};
    std::atomic<bool> wants_news_{false};
};

}  // namespace candela::bus_role
