#pragma once

// What waits to be written to one connection: one growing block, appended to at its end and taken
// from at its front. While nothing waits it holds no memory. Its limit is its user's to keep.

#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

#include "block_pool.h"

namespace candela::bus_role {

class OutBuffer {
public:
    explicit OutBuffer(BlockPool& pool) : pool_(pool) {}
    ~OutBuffer() { pool_.give(std::move(block_)); }
    OutBuffer(const OutBuffer&) = delete;
    OutBuffer& operator=(const OutBuffer&) = delete;

    size_t size() const { return end_ - begin_; }
    bool empty() const { return begin_ == end_; }
    size_t held_bytes() const { return block_.size; }

    // Room for so many bytes; commit() says how many were written there.
    char* prepare(size_t count) {
        if (block_.size - end_ < count) make_room(count);
        return block_.bytes.get() + end_;
    }
    void commit(const char* end) { end_ = static_cast<size_t>(end - block_.bytes.get()); }

    void append(std::string_view text) {
        if (text.empty()) return;  // there may be no block to copy to
        char* to = prepare(text.size());
        std::memcpy(to, text.data(), text.size());
        end_ += text.size();
    }

    std::string_view front(size_t count_max) const {
        return {block_.bytes.get() + begin_, size() < count_max ? size() : count_max};
    }
    void consume(size_t count) {
        begin_ += count;
        if (begin_ != end_) return;
        begin_ = end_ = 0;
        pool_.give(std::exchange(block_, BlockPool::Block()));
    }

private:
    void make_room(size_t count) {
        const size_t held = size();
        // Moving to the front pays once half of the block is free there.
        if (begin_ >= block_.size / 2 && block_.size - held >= count && block_.size != 0) {
            std::memmove(block_.bytes.get(), block_.bytes.get() + begin_, held);
        } else {
            BlockPool::Block larger =
                pool_.take(held + count > block_.size * 2 ? held + count : block_.size * 2);
            if (held != 0) std::memcpy(larger.bytes.get(), block_.bytes.get() + begin_, held);
            pool_.give(std::exchange(block_, std::move(larger)));
        }
        begin_ = 0;
        end_ = held;
    }

    BlockPool& pool_;
    BlockPool::Block block_;
    size_t begin_ = 0;
    size_t end_ = 0;
};

}  // namespace candela::bus_role
