#include "message_index.h"

#include <algorithm>

#include "base/check.h"

namespace candela::bus_role {

MessageIndex::Block::iterator MessageIndex::place(Block& block, uint64_t sequence) {
    return std::lower_bound(block.begin(), block.end(), sequence,
                            [](const IndexEntry& e, uint64_t s) { return e.sequence < s; });
}

uint32_t MessageIndex::number_of(std::string_view subject) {
    const auto found = by_name_.find(subject);
    if (found != by_name_.end()) return found->second;
    uint32_t number = 0;
    if (free_.empty()) {
        number = static_cast<uint32_t>(subjects_.size());
        subjects_.emplace_back();
    } else {
        number = free_.back();
        free_.pop_back();
        ++generation_;
    }
    subjects_[number].name = std::string(subject);
    by_name_.emplace(subjects_[number].name, number);
    return number;
}

IndexEntry& MessageIndex::add(uint64_t sequence, std::string_view subject, int64_t timestamp,
                              uint32_t size) {
    CANDELA_CHECK(count_ == 0 || sequence > last());
    IndexEntry entry;
    entry.sequence = sequence;
    entry.timestamp = timestamp;
    entry.size = size;
    entry.subject = number_of(subject);
    SubjectEntry& chain = subjects_[entry.subject];
    entry.previous = chain.last;
    if (IndexEntry* before = chain.last != 0 ? find(chain.last) : nullptr) before->next = sequence;
    if (chain.first == 0) chain.first = sequence;
    chain.last = sequence;
    ++chain.count;
    ++count_;
    bytes_ += size;
    Block& block = blocks_[sequence >> kBlockBits];
    block.push_back(entry);
    return block.back();
}

bool MessageIndex::remove(uint64_t sequence) {
    const auto found = blocks_.find(sequence >> kBlockBits);
    if (found == blocks_.end()) return false;
    const auto at = place(found->second, sequence);
    if (at == found->second.end() || at->sequence != sequence) return false;
    const IndexEntry entry = *at;
    found->second.erase(at);
    if (found->second.empty()) blocks_.erase(found);
    SubjectEntry& chain = subjects_[entry.subject];
    if (entry.previous != 0) {
        find(entry.previous)->next = entry.next;
    } else {
        chain.first = entry.next;
    }
    if (entry.next != 0) {
        find(entry.next)->previous = entry.previous;
    } else {
        chain.last = entry.previous;
    }
    --count_;
    bytes_ -= entry.size;
    if (--chain.count == 0) {
        by_name_.erase(chain.name);
        chain = SubjectEntry();
        free_.push_back(entry.subject);
    }
    return true;
}

void MessageIndex::clear() {
    blocks_.clear();
    by_name_.clear();
    subjects_.clear();
    free_.clear();
    count_ = bytes_ = 0;
    ++generation_;
}

IndexEntry* MessageIndex::find(uint64_t sequence) {
    const auto found = blocks_.find(sequence >> kBlockBits);
    if (found == blocks_.end()) return nullptr;
    const auto at = place(found->second, sequence);
    return at == found->second.end() || at->sequence != sequence ? nullptr : &*at;
}

IndexEntry* MessageIndex::at_or_after(uint64_t sequence) {
    for (auto block = blocks_.lower_bound(sequence >> kBlockBits); block != blocks_.end();
         ++block) {
        const auto at = place(block->second, sequence);
        if (at != block->second.end()) return &*at;
    }
    return nullptr;
}

IndexEntry* MessageIndex::at_or_before(uint64_t sequence) {
    auto block = blocks_.upper_bound(sequence >> kBlockBits);
    while (block != blocks_.begin()) {
        --block;
        auto at = std::upper_bound(block->second.begin(), block->second.end(), sequence,
                                   [](uint64_t s, const IndexEntry& e) { return s < e.sequence; });
        if (at != block->second.begin()) return &*--at;
    }
    return nullptr;
}

uint64_t MessageIndex::first() const {
    return blocks_.empty() ? 0 : blocks_.begin()->second.front().sequence;
}

uint64_t MessageIndex::last() const {
    return blocks_.empty() ? 0 : blocks_.rbegin()->second.back().sequence;
}

const SubjectEntry* MessageIndex::find_subject(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &subjects_[found->second];
}

std::vector<SequenceRange> MessageIndex::ranges() const {
    std::vector<SequenceRange> out;
    for (const auto& [key, block] : blocks_) {
        for (const IndexEntry& entry : block) {
            if (!out.empty() && out.back().first + out.back().count == entry.sequence) {
                ++out.back().count;
            } else {
                out.push_back({entry.sequence, 1});
            }
        }
    }
    return out;
}

}  // namespace candela::bus_role
