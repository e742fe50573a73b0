#include "keeper/spool.h"

#include <unistd.h>

#include "keeper/wire.h"

namespace candela::keeper {

namespace {
constexpr uint64_t kCapacity = kSpoolSizeMax;
// A file that grew beyond this is given back when it is empty.
constexpr uint64_t kKeptSizeMax = 256 << 10;
}  // namespace

bool Spool::has_room() const { return end_ - begin_ + sizeof(Head) + kRecordMax <= kCapacity; }

bool Spool::add(uint8_t stream, const char* bytes, size_t size) {
    while (end_ - begin_ + sizeof(Head) + size > kCapacity) drop_oldest();
    const Head head{static_cast<uint32_t>(size), stream};
    if (!write_at(end_, &head, sizeof(head)) || !write_at(end_ + sizeof(head), bytes, size)) {
        dropped_ += size;
        return false;
    }
    end_ += sizeof(head) + size;
    return true;
}

bool Spool::take(uint8_t& stream, char* out, size_t& size) {
    if (!has_untaken()) return false;
    Head head{};
    if (!read_at(taken_, &head, sizeof(head)) || head.size > kRecordMax ||
        !read_at(taken_ + sizeof(head), out, head.size)) {
        // The disk lost what it took.
        dropped_ += end_ - taken_;
        taken_ = begin_ = end_;
        return false;
    }
    stream = static_cast<uint8_t>(head.stream);
    size = head.size;
    taken_ += sizeof(head) + size;
    return true;
}

void Spool::acknowledge(uint64_t position) {
    if (position > taken_ || position <= begin_) return;
    begin_ = position;
    rest();
}

void Spool::drop_oldest() {
    Head head{};
    if (!read_at(begin_, &head, sizeof(head)) || head.size > kRecordMax) {
        dropped_ += end_ - begin_;
        begin_ = end_;
    } else {
        // What was sent already, and only not acknowledged, is not known to be lost.
        if (begin_ >= taken_) dropped_ += head.size;
        begin_ += sizeof(head) + head.size;
    }
    if (taken_ < begin_) taken_ = begin_;
}

void Spool::rest() {
    if (begin_ != end_) return;
    base_ = begin_;
    if (reached_ > kKeptSizeMax && ftruncate(fd_, 0) == 0) reached_ = 0;
}

uint64_t Spool::collect_dropped() {
    const uint64_t dropped = dropped_;
    dropped_ = 0;
    return dropped;
}

bool Spool::write_at(uint64_t position, const void* bytes, size_t size) {
    const char* from = static_cast<const char*>(bytes);
    while (size > 0) {
        const uint64_t at = (position - base_) % kCapacity;
        const size_t part = size < kCapacity - at ? size : kCapacity - at;
        const ssize_t done = pwrite(fd_, from, part, static_cast<off_t>(at));
        if (done <= 0) return false;
        if (at + static_cast<uint64_t>(done) > reached_)
            reached_ = at + static_cast<uint64_t>(done);
        from += done;
        position += static_cast<uint64_t>(done);
        size -= static_cast<size_t>(done);
    }
    return true;
}

bool Spool::read_at(uint64_t position, void* bytes, size_t size) {
    char* to = static_cast<char*>(bytes);
    while (size > 0) {
        const uint64_t at = (position - base_) % kCapacity;
        const size_t part = size < kCapacity - at ? size : kCapacity - at;
        const ssize_t done = pread(fd_, to, part, static_cast<off_t>(at));
        if (done <= 0) return false;
        to += done;
        position += static_cast<uint64_t>(done);
        size -= static_cast<size_t>(done);
    }
    return true;
}

}  // namespace candela::keeper
