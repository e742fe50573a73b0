#pragma once

// How much of the streams' indexes is in memory: the blocks that were looked at last, of all
// streams together. What is not there is read again from the segments' index files. The last few
// are always kept, so that an entry stays where it is for some further lookups. Loop thread (or
// start-up).

#include <cstddef>
#include <cstdint>
#include <list>

namespace candela::bus_role {

class MessageIndex;

class IndexCache {
public:
    struct Item {
        MessageIndex* index;
        uint64_t block;
        size_t bytes;
    };
    using Place = std::list<Item>::iterator;
    static constexpr size_t kBlocksKept = 16;

    explicit IndexCache(size_t bytes_max, size_t blocks_kept = kBlocksKept)
        : bytes_max_(bytes_max), blocks_kept_(blocks_kept) {}

    // May give up other blocks.
    Place add(MessageIndex& index, uint64_t block, size_t bytes);
    void touch(Place place) { items_.splice(items_.begin(), items_, place); }
    void remove(Place place) {
        bytes_ -= place->bytes;
        items_.erase(place);
    }
    size_t bytes() const { return bytes_; }

private:
    const size_t bytes_max_;
    const size_t blocks_kept_;
    size_t bytes_ = 0;
    std::list<Item> items_;
};

}  // namespace candela::bus_role
