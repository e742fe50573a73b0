#pragma once

// Gathers what goes to one stream during one event, so that a head and the body's first piece leave
// in one system call. One per direction and loop, shared by all connections: whoever adds to it
// flushes it before the event ends. Borrowed bytes must stay where they are until then.

#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "base/check.h"
#include "loop/stream.h"

namespace candela::http {

class Cork {
public:
    // An empty text to write one head into; add_head() puts it in line.
    std::string& begin_head(Stream& stream) {
        if (head_used_) flush(stream);
        head_.clear();
        return head_;
    }
    void add_head(Stream& stream) {
        head_used_ = true;
        borrow(stream, head_);
    }
    void borrow(Stream& stream, std::string_view bytes) {
        if (bytes.empty()) return;
        if (count_ == parts_.size()) flush(stream);
        parts_[count_++] = bytes;
        size_bytes_ += bytes.size();
    }
    // For a few bytes, such as a chunk's line.
    void copy(Stream& stream, std::string_view bytes) {
        CANDELA_CHECK(bytes.size() <= space_.size());
        const bool is_full = count_ == parts_.size() || space_used_ + bytes.size() > space_.size();
        if (is_full) flush(stream);
        char* const at = space_.data() + space_used_;
        std::memcpy(at, bytes.data(), bytes.size());
        space_used_ += bytes.size();
        borrow(stream, std::string_view(at, bytes.size()));
    }
    // Returns how many bytes went out since the last call.
    size_t flush(Stream& stream) {
        const size_t flushed = size_bytes_;
        if (count_ > 0) stream.write(std::span<const std::string_view>(parts_.data(), count_));
        clear();
        return flushed;
    }
    void clear() {
        count_ = 0;
        size_bytes_ = 0;
        space_used_ = 0;
        head_used_ = false;
    }
    bool empty() const { return count_ == 0; }
    size_t size_bytes() const { return size_bytes_; }

private:
    std::array<std::string_view, 16> parts_;
    size_t count_ = 0;
    size_t size_bytes_ = 0;
    std::array<char, 512> space_;
    size_t space_used_ = 0;
    std::string head_;
    bool head_used_ = false;
};

}  // namespace candela::http
