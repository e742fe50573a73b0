#pragma once

// What a stream knows of its messages without reading them: of each its sequence, subject, time,
// size and place, and of each subject the last and the count. Blocks of 256 consecutive sequences
// whose messages are all in segments need not stay in memory: their entries are then read again
// from the segments' index files, and what stays is a few bytes a message (which of them are alive,
// where to read). Subjects stay. Loop thread (or start-up).

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "index_cache.h"
#include "index_chunk.h"
#include "record.h"
#include "subject_table.h"

namespace candela::bus_role {

struct IndexEntry {
    uint64_t sequence = 0;
    int64_t timestamp = 0;  // nanoseconds since 1970
    uint32_t subject = 0;   // number in the index
    uint32_t size = 0;      // as limits count it
    uint32_t segment = 0;   // 0: not in a segment yet, the record is in memory
    uint32_t offset = 0;    // in the segment
    uint64_t previous = 0;  // message of the same subject when this one came; may be gone; 0: none
};

// Where a chunk of a segment's index lies.
struct ChunkRef {
    uint32_t segment = 0;
    uint32_t offset = 0;  // in the index file
    uint32_t size = 0;    // with header
    friend auto operator<=>(const ChunkRef&, const ChunkRef&) = default;
};

class BlockSource {
public:
    // The entries that the chunk lists; where it can't be read, what the segment itself says.
    virtual IndexChunk read_chunk(uint64_t block, const ChunkRef& ref) = 0;

protected:
    ~BlockSource() = default;
};

class MessageIndex {
public:
    MessageIndex() = default;
    // With a source blocks may leave memory. Both outlive the index.
    MessageIndex(BlockSource& source, IndexCache& cache) : source_(&source), cache_(&cache) {}
    ~MessageIndex() { clear(); }
    MessageIndex(const MessageIndex&) = delete;
    MessageIndex& operator=(const MessageIndex&) = delete;

    // The sequence must be above every one that is there.
    IndexEntry& add(uint64_t sequence, std::string_view subject, int64_t timestamp, uint32_t size);
    // False where it is not there.
    bool remove(uint64_t sequence);
    void clear();

    bool contains(uint64_t sequence) const;
    // Entries stay where they are until the index changes, and for IndexCache::kBlocksKept - 1
    // further lookups.
    IndexEntry* find(uint64_t sequence);
    // The message with the sequence, or the next one that is there.
    IndexEntry* at_or_after(uint64_t sequence);
    // The last one that is not above the sequence.
    IndexEntry* at_or_before(uint64_t sequence);
    // The first message of that time or later, where times only grow.
    IndexEntry* at_time(int64_t timestamp);

    uint64_t count() const { return count_; }
    uint64_t bytes() const { return bytes_; }
    uint64_t first() const;  // 0 where it is empty
    uint64_t last() const;
    // How many are at or behind the sequence.
    uint64_t count_from(uint64_t sequence) const;

    const SubjectEntry& subject(uint32_t number) const { return subjects_[number]; }
    const SubjectEntry* find_subject(std::string_view name) const;
    size_t subject_count() const { return subjects_.size(); }
    // Numbers are below this; entries with count 0 are free.
    size_t subject_numbers() const { return subjects_.numbers(); }
    // Changes when a number gets a new meaning.
    uint64_t subject_generation() const { return subjects_.generation(); }
    // Messages that turned out to be in no segment since this was asked last.
    std::vector<uint64_t> take_lost() { return std::exchange(lost_, {}); }
    // The first message of the subject, and its first at or after a sequence; 0: none.
    uint64_t first_of(uint32_t number);
    uint64_t next_of(uint32_t number, uint64_t sequence);
    std::optional<uint32_t> subject_number(std::string_view name) const {
        return subjects_.find(name);
    }

    std::vector<SequenceRange> ranges() const;
    // Those that were not in memory are not kept there.
    template <class Visit>
    void for_each(Visit visit) const {
        for (const auto& [key, block] : blocks_) {
            if (block.is_resident) {
                for (const IndexEntry& entry : block.entries) visit(entry);
            } else {
                std::vector<uint64_t> lost;
                for (const IndexEntry& entry : read_block(key, block, lost)) visit(entry);
            }
        }
    }

    // --- Segments ---

    // Where a message that is there lies from now on.
    void set_place(uint64_t sequence, uint32_t segment, uint32_t offset);
    void add_chunk(uint64_t block, const ChunkRef& ref);
    // Segments that are gone: nothing alive is in them.
    void forget_segments(const std::vector<uint32_t>& segments);
    // The messages that lie in one of the segments.
    std::vector<IndexEntry> entries_in(const std::vector<uint32_t>& segments);

    // --- Recovery: first what should be there, then chunks, those of the newest segment first ---

    void expect(const std::vector<SequenceRange>& ranges);
    // `visit` is called with each message that was still missing.
    template <class Visit>
    void recover_chunk(const IndexChunk& chunk, const ChunkRef& ref, Visit visit);
    // What no chunk had; it is not expected any more.
    std::vector<SequenceRange> finish_recovery();

private:
    using Bits = std::array<uint64_t, 4>;
    struct Block {
        std::vector<IndexEntry> entries;  // those alive, while it is resident
        std::vector<ChunkRef> chunks;
        Bits live{};
        IndexCache::Place place;  // where it is listed
        uint32_t fresh = 0;       // entries that are in no segment
        bool is_resident = false;
        bool is_listed = false;
    };
    friend class IndexCache;

    Block& resident(uint64_t key, Block& block);
    std::vector<IndexEntry> read_block(uint64_t key, const Block& block,
                                       std::vector<uint64_t>& lost) const;
    void list(uint64_t key, Block& block);
    void unlist(Block& block);
    void evict(uint64_t key);
    void forget(uint32_t number, const IndexEntry& entry);
    uint64_t previous_of(uint32_t number, uint64_t sequence, uint64_t hint);
    static std::vector<IndexEntry>::iterator place(Block& block, uint64_t sequence);

    BlockSource* source_ = nullptr;
    IndexCache* cache_ = nullptr;
    std::map<uint64_t, Block> blocks_;
    std::map<uint64_t, Bits> missing_;  // recovery
    SubjectTable subjects_;
    std::vector<uint64_t> lost_;
    uint64_t count_ = 0;
    uint64_t bytes_ = 0;
};

template <class Visit>
void MessageIndex::recover_chunk(const IndexChunk& chunk, const ChunkRef& ref, Visit visit) {
    const auto missing = missing_.find(chunk.block);
    if (missing == missing_.end()) return;
    Block& block = blocks_[chunk.block];
    block.chunks.insert(block.chunks.begin(), ref);
    std::vector<uint32_t> numbers(chunk.subjects.size(), UINT32_MAX);
    // A message that was moved is listed twice, until its first segment is removed; the later copy
    // counts.
    for (auto entry = chunk.entries.rbegin(); entry != chunk.entries.rend(); ++entry) {
        const uint64_t slot = entry->sequence & kBlockMask;
        uint64_t& word = missing->second[slot / 64];
        const uint64_t bit = uint64_t{1} << slot % 64;
        if ((word & bit) == 0) continue;
        word &= ~bit;
        block.live[slot / 64] |= bit;
        uint32_t& number = numbers[entry->subject];
        if (number == UINT32_MAX) number = subjects_.add(chunk.subjects[entry->subject]);
        SubjectEntry& subject = subjects_[number];
        if (subject.count == 0 || entry->sequence < subject.first_at_least)
            subject.first_at_least = entry->sequence;
        subject.last = std::max(subject.last, entry->sequence);
        ++subject.count;
        ++count_;
        bytes_ += entry->size;
        visit(*entry);
    }
}

}  // namespace candela::bus_role
