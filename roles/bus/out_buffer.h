#pragma once

// What waits to be written to one connection: one growing block, appended to at its end and taken
// from at its front. Its limit is its user's to keep.

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace candela::bus_role {

class OutBuffer {
public:
    size_t size() const { return end_ - begin_; }
    bool empty() const { return begin_ == end_; }

    // Room for so many bytes; commit() says how many were written there.
    char* prepare(size_t count) {
        if (capacity_ - end_ < count) make_room(count);
        return block_.get() + end_;
    }
    void commit(const char* end) { end_ = static_cast<size_t>(end - block_.get()); }

    void append(std::string_view text) {
        char* to = prepare(text.size());
        std::memcpy(to, text.data(), text.size());
        end_ += text.size();
    }

    std::string_view front(size_t count_max) const {
        return {block_.get() + begin_, size() < count_max ? size() : count_max};
    }
    void consume(size_t count) {
        begin_ += count;
        if (begin_ != end_) return;
        begin_ = end_ = 0;
        // A connection that once fell behind does not keep what it needed then.
        if (capacity_ > kKeptBytes) {
            block_.reset();
            capacity_ = 0;
        }
    }

private:
    static constexpr size_t kFirstBytes = 4 * 1024;
    static constexpr size_t kKeptBytes = 256 * 1024;

    void make_room(size_t count) {
        const size_t held = size();
        // Moving to the front pays once half of the block is free there.
        if (begin_ >= capacity_ / 2 && capacity_ - held >= count && capacity_ != 0) {
            std::memmove(block_.get(), block_.get() + begin_, held);
        } else {
            size_t wanted = capacity_ == 0 ? kFirstBytes : capacity_ * 2;
            while (wanted < held + count) wanted *= 2;
            std::unique_ptr<char[]> block(new char[wanted]);
            if (held != 0) std::memcpy(block.get(), block_.get() + begin_, held);
            block_ = std::move(block);
            capacity_ = wanted;
        }
        begin_ = 0;
        end_ = held;
    }

    std::unique_ptr<char[]> block_;
    size_t capacity_ = 0;
    size_t begin_ = 0;
    size_t end_ = 0;
};

}  // namespace candela::bus_role
