#pragma once

// What a stream knows of its messages without reading them: per message its sequence, subject,
// time, size and place, and per subject the first, the last and the count, chained through the
// messages. About 48 bytes a message, plus each subject once. Loop thread (or start-up).

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "record.h"

namespace candela::bus_role {

struct IndexEntry {
    uint64_t sequence = 0;
    int64_t timestamp = 0;  // nanoseconds since 1970
    uint32_t subject = 0;   // number in the index
    uint32_t size = 0;      // as limits count it
    uint32_t segment = 0;   // 0: not in a segment yet, the record is in memory
    uint32_t offset = 0;    // in the segment
    uint64_t next = 0;      // message of the same subject; 0: none
    uint64_t previous = 0;
};

struct SubjectEntry {
    std::string name;
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t count = 0;  // 0: the number is free
};

class MessageIndex {
public:
    // The sequence must be above every one that is there.
    IndexEntry& add(uint64_t sequence, std::string_view subject, int64_t timestamp, uint32_t size);
    // False where it is not there.
    bool remove(uint64_t sequence);
    void clear();

    IndexEntry* find(uint64_t sequence);
    // The message with the sequence, or the next one that is there.
    IndexEntry* at_or_after(uint64_t sequence);
    // The last one that is not above the sequence.
    IndexEntry* at_or_before(uint64_t sequence);

    uint64_t count() const { return count_; }
    uint64_t bytes() const { return bytes_; }
    uint64_t first() const;  // 0 where it is empty
    uint64_t last() const;

    const SubjectEntry& subject(uint32_t number) const { return subjects_[number]; }
    const SubjectEntry* find_subject(std::string_view name) const;
    size_t subject_count() const { return by_name_.size(); }
    // Numbers are below this; entries with count 0 are free.
    size_t subject_numbers() const { return subjects_.size(); }
    // Changes when a number gets a new meaning.
    uint64_t subject_generation() const { return generation_; }

    std::vector<SequenceRange> ranges() const;
    template <class Visit>
    void for_each(Visit visit) const {
        for (const auto& [key, block] : blocks_) {
            for (const IndexEntry& entry : block) visit(entry);
        }
    }

private:
    using Block = std::vector<IndexEntry>;  // 256 consecutive sequences, those that are there
    static constexpr unsigned kBlockBits = 8;

    uint32_t number_of(std::string_view subject);
    static Block::iterator place(Block& block, uint64_t sequence);

    std::map<uint64_t, Block> blocks_;
    std::deque<SubjectEntry> subjects_;
    std::unordered_map<std::string_view, uint32_t> by_name_;
    std::vector<uint32_t> free_;
    uint64_t count_ = 0;
    uint64_t bytes_ = 0;
    uint64_t generation_ = 0;
};

}  // namespace candela::bus_role
