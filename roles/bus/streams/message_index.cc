#include "message_index.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace candela::bus_role {

namespace {

// A subject with more messages is looked for in the stream: the next one is not far.
constexpr uint64_t kStepsBackMax = 64;

template <class Bits>
bool has(const Bits& bits, uint64_t slot) {
    return (bits[slot / 64] >> slot % 64 & 1) != 0;
}
template <class Bits>
bool is_empty(const Bits& bits) {
    return (bits[0] | bits[1] | bits[2] | bits[3]) == 0;
}

void append(std::vector<SequenceRange>& ranges, uint64_t sequence) {
    if (!ranges.empty() && ranges.back().first + ranges.back().count == sequence) {
        ++ranges.back().count;
    } else {
        ranges.push_back({sequence, 1});
    }
}

template <class Bits, class Visit>
void for_each_bit(uint64_t key, const Bits& bits, Visit visit) {
    for (uint64_t word = 0; word < bits.size(); ++word) {
        for (uint64_t rest = bits[word]; rest != 0; rest &= rest - 1) {
            visit(key << kBlockBits | word * 64 | static_cast<uint64_t>(std::countr_zero(rest)));
        }
    }
}

}  // namespace

IndexCache::Place IndexCache::add(MessageIndex& index, uint64_t block, size_t bytes) {
    items_.push_front({&index, block, bytes});
    bytes_ += bytes;
    while (bytes_ > bytes_max_ && items_.size() > blocks_kept_) {
        const Item last = items_.back();
        bytes_ -= last.bytes;
        items_.pop_back();
        last.index->evict(last.block);
    }
    return items_.begin();
}

// --- Subjects
// -------------------------------------------------------------------------------------

const SubjectEntry* MessageIndex::find_subject(std::string_view name) const {
    const std::optional<uint32_t> number = subjects_.find(name);
    return number ? &subjects_[*number] : nullptr;
}

uint64_t MessageIndex::first_of(uint32_t number) {
    SubjectEntry& subject = subjects_[number];
    if (subject.count == 0) return 0;
    const IndexEntry* entry = find(subject.first_at_least);
    if (entry == nullptr || entry->subject != number) {
        subject.first_at_least = next_of(number, subject.first_at_least);
    }
    return subject.first_at_least;
}

uint64_t MessageIndex::next_of(uint32_t number, uint64_t sequence) {
    SubjectEntry& subject = subjects_[number];
    if (subject.count == 0 || subject.last < sequence) return 0;
    if (subject.count == 1) return subject.last;
    if (subject.count > kStepsBackMax) {
        const IndexEntry* entry = at_or_after(std::max(sequence, subject.first_at_least));
        while (entry != nullptr && entry->subject != number)
            entry = at_or_after(entry->sequence + 1);
        return entry == nullptr ? 0 : entry->sequence;
    }
    // Few messages, far apart: back from the last.
    uint64_t at = subject.last;
    for (uint64_t left = subject.count - 1; left != 0; --left) {
        const IndexEntry* entry = find(at);
        const uint64_t before = previous_of(number, at, entry == nullptr ? 0 : entry->previous);
        if (before < sequence || before == 0) break;
        at = before;
    }
    return at;
}

// The subject's last message before the sequence; 0: none. The hint may be stale.
uint64_t MessageIndex::previous_of(uint32_t number, uint64_t sequence, uint64_t hint) {
    if (hint != 0 && contains(hint)) {
        const IndexEntry* entry = find(hint);
        if (entry != nullptr && entry->subject == number) return hint;
    }
    const uint64_t least = subjects_[number].first_at_least;
    const IndexEntry* entry = sequence == 0 ? nullptr : at_or_before(sequence - 1);
    while (entry != nullptr && entry->sequence >= least && entry->subject != number) {
        entry = entry->sequence == 0 ? nullptr : at_or_before(entry->sequence - 1);
    }
    return entry == nullptr || entry->sequence < least ? 0 : entry->sequence;
}

// The entry is gone already.
void MessageIndex::forget(uint32_t number, const IndexEntry& entry) {
    SubjectEntry& subject = subjects_[number];
    if (--subject.count == 0) {
        subjects_.remove(number);
        return;
    }
    if (subject.count == 1 && entry.sequence != subject.last) {
        subject.first_at_least = subject.last;
        return;
    }
    if (entry.sequence == subject.first_at_least) ++subject.first_at_least;
    if (entry.sequence == subject.last)
        subject.last = previous_of(number, entry.sequence, entry.previous);
}

// --- Messages
// -------------------------------------------------------------------------------------

std::vector<IndexEntry>::iterator MessageIndex::place(Block& block, uint64_t sequence) {
    return std::lower_bound(block.entries.begin(), block.entries.end(), sequence,
                            [](const IndexEntry& e, uint64_t s) { return e.sequence < s; });
}

IndexEntry& MessageIndex::add(uint64_t sequence, std::string_view subject, int64_t timestamp,
                              uint32_t size) {
    CANDELA_CHECK(count_ == 0 || sequence > last());
    IndexEntry entry;
    entry.sequence = sequence;
    entry.timestamp = timestamp;
    entry.size = size;
    entry.subject = subjects_.add(subject);
    SubjectEntry& known = subjects_[entry.subject];
    entry.previous = known.last;
    if (known.count == 0) known.first_at_least = sequence;
    known.last = sequence;
    ++known.count;
    ++count_;
    bytes_ += size;
    const uint64_t key = sequence >> kBlockBits;
    const auto [found, is_new] = blocks_.try_emplace(key);
    Block& block = found->second;
    if (is_new) block.is_resident = true;
    resident(key, block);
    if (block.is_listed) unlist(block);
    const uint64_t slot = sequence & kBlockMask;
    block.live[slot / 64] |= uint64_t{1} << slot % 64;
    ++block.fresh;
    block.entries.push_back(entry);
    return block.entries.back();
}

bool MessageIndex::remove(uint64_t sequence) {
    const uint64_t key = sequence >> kBlockBits;
    const auto found = blocks_.find(key);
    if (found == blocks_.end() || !contains(sequence)) return false;
    Block& block = resident(key, found->second);
    const auto at = place(block, sequence);
    if (at == block.entries.end() || at->sequence != sequence) return false;
    const IndexEntry entry = *at;
    block.entries.erase(at);
    const uint64_t slot = sequence & kBlockMask;
    block.live[slot / 64] &= ~(uint64_t{1} << slot % 64);
    if (entry.segment == 0 && --block.fresh == 0) list(key, block);
    if (is_empty(block.live)) {
        if (block.is_listed) unlist(block);
        blocks_.erase(found);
    }
    --count_;
    bytes_ -= entry.size;
    forget(entry.subject, entry);
    return true;
}

void MessageIndex::clear() {
    for (auto& [key, block] : blocks_) {
        if (block.is_listed) unlist(block);
    }
    blocks_.clear();
    subjects_.clear();
    count_ = bytes_ = 0;
}

bool MessageIndex::contains(uint64_t sequence) const {
    const auto found = blocks_.find(sequence >> kBlockBits);
    return found != blocks_.end() && has(found->second.live, sequence & kBlockMask);
}

IndexEntry* MessageIndex::find(uint64_t sequence) {
    const uint64_t key = sequence >> kBlockBits;
    const auto found = blocks_.find(key);
    if (found == blocks_.end() || !has(found->second.live, sequence & kBlockMask)) return nullptr;
    Block& block = resident(key, found->second);
    const auto at = place(block, sequence);
    return at == block.entries.end() || at->sequence != sequence ? nullptr : &*at;
}

IndexEntry* MessageIndex::at_or_after(uint64_t sequence) {
    for (auto found = blocks_.lower_bound(sequence >> kBlockBits); found != blocks_.end();
         ++found) {
        Block& block = resident(found->first, found->second);
        const auto at = place(block, sequence);
        if (at != block.entries.end()) return &*at;
    }
    return nullptr;
}

IndexEntry* MessageIndex::at_or_before(uint64_t sequence) {
    auto found = blocks_.upper_bound(sequence >> kBlockBits);
    while (found != blocks_.begin()) {
        --found;
        Block& block = resident(found->first, found->second);
        auto at = std::upper_bound(block.entries.begin(), block.entries.end(), sequence,
                                   [](uint64_t s, const IndexEntry& e) { return s < e.sequence; });
        if (at != block.entries.begin()) return &*--at;
    }
    return nullptr;
}

IndexEntry* MessageIndex::at_time(int64_t timestamp) {
    if (count_ == 0) return nullptr;
    uint64_t low = first();
    uint64_t high = last() + 1;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        const IndexEntry* entry = at_or_after(middle);
        if (entry == nullptr || entry->timestamp >= timestamp) {
            high = middle;
        } else {
            low = entry->sequence + 1;
        }
    }
    return at_or_after(low);
}

uint64_t MessageIndex::first() const {
    for (const auto& [key, block] : blocks_) {
        for (uint64_t word = 0; word < block.live.size(); ++word) {
            if (block.live[word] == 0) continue;
            const auto bit = static_cast<uint64_t>(std::countr_zero(block.live[word]));
            return key << kBlockBits | word * 64 | bit;
        }
    }
    return 0;
}

uint64_t MessageIndex::last() const {
    for (auto item = blocks_.rbegin(); item != blocks_.rend(); ++item) {
        for (uint64_t word = item->second.live.size(); word-- != 0;) {
            if (item->second.live[word] == 0) continue;
            const auto bit = static_cast<uint64_t>(std::bit_width(item->second.live[word]) - 1);
            return item->first << kBlockBits | word * 64 | bit;
        }
    }
    return 0;
}

uint64_t MessageIndex::count_from(uint64_t sequence) const {
    if (sequence <= first()) return count_;
    uint64_t count = 0;
    for (auto item = blocks_.lower_bound(sequence >> kBlockBits); item != blocks_.end(); ++item) {
        for_each_bit(item->first, item->second.live,
                     [&](uint64_t found) { count += found >= sequence ? 1 : 0; });
    }
    return count;
}

std::vector<SequenceRange> MessageIndex::ranges() const {
    std::vector<SequenceRange> out;
    for (const auto& [key, block] : blocks_) {
        if ((block.live[0] & block.live[1] & block.live[2] & block.live[3]) == UINT64_MAX) {
            append(out, key << kBlockBits);
            out.back().count += kBlockMask;
        } else {
            for_each_bit(key, block.live, [&](uint64_t sequence) { append(out, sequence); });
        }
    }
    return out;
}

// --- Blocks that come and go
// ----------------------------------------------------------------------

MessageIndex::Block& MessageIndex::resident(uint64_t key, Block& block) {
    if (block.is_listed) cache_->touch(block.place);
    if (block.is_resident) return block;
    std::vector<uint64_t> lost;
    block.entries = read_block(key, block, lost);
    block.is_resident = true;
    // Neither the index file nor the segment knows them any more, and so their subjects can't be
    // told: they stay counted there.
    for (const uint64_t sequence : lost) {
        const uint64_t slot = sequence & kBlockMask;
        block.live[slot / 64] &= ~(uint64_t{1} << slot % 64);
        --count_;
        lost_.push_back(sequence);
    }
    list(key, block);
    return block;
}

std::vector<IndexEntry> MessageIndex::read_block(uint64_t key, const Block& block,
                                                 std::vector<uint64_t>& lost) const {
    std::vector<IndexEntry> out;
    Bits wanted = block.live;
    for (auto ref = block.chunks.rbegin(); ref != block.chunks.rend() && !is_empty(wanted); ++ref) {
        const IndexChunk chunk = source_->read_chunk(key, *ref);
        for (auto entry = chunk.entries.rbegin(); entry != chunk.entries.rend(); ++entry) {
            const uint64_t slot = entry->sequence & kBlockMask;
            if (entry->sequence >> kBlockBits != key || !has(wanted, slot)) continue;
            const auto number = subjects_.find(chunk.subjects[entry->subject]);
            if (!number) continue;
            wanted[slot / 64] &= ~(uint64_t{1} << slot % 64);
            IndexEntry made;
            made.sequence = entry->sequence;
            made.timestamp = entry->timestamp;
            made.subject = *number;
            made.size = entry->size;
            made.segment = chunk.segment;
            made.offset = entry->offset;
            made.previous = entry->previous;
            out.push_back(made);
        }
    }
    std::sort(out.begin(), out.end(),
              [](const IndexEntry& a, const IndexEntry& b) { return a.sequence < b.sequence; });
    for_each_bit(key, wanted, [&](uint64_t sequence) { lost.push_back(sequence); });
    return out;
}

// A block all of which can be read again may leave.
void MessageIndex::list(uint64_t key, Block& block) {
    if (source_ == nullptr || block.fresh != 0 || block.chunks.empty() || block.is_listed) return;
    block.entries.shrink_to_fit();
    block.is_listed = true;
    block.place = cache_->add(*this, key, block.entries.size() * sizeof(IndexEntry));
}

void MessageIndex::unlist(Block& block) {
    cache_->remove(block.place);
    block.is_listed = false;
}

void MessageIndex::evict(uint64_t key) {
    Block& block = blocks_.at(key);
    block.is_listed = false;
    block.is_resident = false;
    std::vector<IndexEntry>().swap(block.entries);
}

// --- Segments
// -------------------------------------------------------------------------------------

void MessageIndex::set_place(uint64_t sequence, uint32_t segment, uint32_t offset) {
    IndexEntry* entry = find(sequence);
    if (entry == nullptr) return;
    const uint64_t key = sequence >> kBlockBits;
    Block& block = blocks_.at(key);
    if (entry->segment == 0) --block.fresh;
    entry->segment = segment;
    entry->offset = offset;
    list(key, block);
}

void MessageIndex::add_chunk(uint64_t key, const ChunkRef& ref) {
    const auto found = blocks_.find(key);
    if (found == blocks_.end()) return;  // all of it is gone meanwhile
    found->second.chunks.push_back(ref);
    list(key, found->second);
}

void MessageIndex::forget_segments(const std::vector<uint32_t>& segments) {
    for (auto& [key, block] : blocks_) {
        std::erase_if(block.chunks, [&](const ChunkRef& ref) {
            return std::find(segments.begin(), segments.end(), ref.segment) != segments.end();
        });
    }
}

std::vector<IndexEntry> MessageIndex::entries_in(const std::vector<uint32_t>& segments) {
    const auto is_one = [&](uint32_t segment) {
        return std::find(segments.begin(), segments.end(), segment) != segments.end();
    };
    std::vector<IndexEntry> out;
    for (auto& [key, block] : blocks_) {
        const bool may_have = std::any_of(block.chunks.begin(), block.chunks.end(),
                                          [&](const ChunkRef& ref) { return is_one(ref.segment); });
        if (!may_have) continue;
        for (const IndexEntry& entry : resident(key, block).entries) {
            if (is_one(entry.segment)) out.push_back(entry);
        }
    }
    return out;
}

// --- Recovery
// -------------------------------------------------------------------------------------

void MessageIndex::expect(const std::vector<SequenceRange>& ranges) {
    for (const SequenceRange& range : ranges) {
        for (uint64_t left = range.count, at = range.first; left != 0;) {
            const uint64_t slot = at & kBlockMask;
            const uint64_t count = std::min(left, 64 - slot % 64);
            const uint64_t ones = count == 64 ? UINT64_MAX : (uint64_t{1} << count) - 1;
            missing_[at >> kBlockBits][slot / 64] |= ones << slot % 64;
            at += count;
            left -= count;
        }
    }
}

std::vector<SequenceRange> MessageIndex::finish_recovery() {
    std::vector<SequenceRange> lost;
    for (const auto& [key, bits] : missing_) {
        for_each_bit(key, bits, [&](uint64_t sequence) { append(lost, sequence); });
    }
    missing_.clear();
    std::erase_if(blocks_, [](const auto& item) { return is_empty(item.second.live); });
    return lost;
}

}  // namespace candela::bus_role
