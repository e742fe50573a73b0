#pragma once

// One record of a segment's index file: the messages of one block (256 sequences) that lie next to
// each other in the segment, and which of its bytes they cover. The file says what a segment holds
// without its being read; it is made again from the segment where it is missing or rotten. Values;
// any thread.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "record.h"

namespace candela::bus_role {

inline constexpr unsigned kBlockBits = 8;
inline constexpr uint64_t kBlockMask = (1U << kBlockBits) - 1;

struct ChunkEntry {
    uint64_t sequence = 0;
    int64_t timestamp = 0;
    uint32_t subject = 0;   // in the chunk's own list
    uint32_t size = 0;      // as limits count it
    uint32_t offset = 0;    // in the segment
    uint64_t previous = 0;  // message of the same subject, when it was appended; 0: none
};

struct IndexChunk {
    uint64_t block = 0;
    uint32_t segment = 0;
    uint32_t begin = 0;  // bytes of the segment that it speaks for
    uint32_t end = 0;
    RecordPtr text;  // what the subjects point into
    std::vector<std::string_view> subjects;
    std::vector<ChunkEntry> entries;
};

// Gathers the entries of one chunk.
class ChunkWriter {
public:
    void begin(uint64_t block, uint32_t segment, uint32_t offset);
    void add(const ChunkEntry& entry, std::string_view subject);
    bool is_empty() const { return entries_.empty(); }
    uint64_t block() const { return block_; }
    RecordPtr finish(uint64_t stream, uint32_t end);

private:
    uint64_t block_ = 0;
    uint32_t segment_ = 0;
    uint32_t begin_ = 0;
    std::vector<std::string> subjects_;
    std::vector<ChunkEntry> entries_;
};

// Nothing where the body makes no sense.
std::optional<IndexChunk> decode_chunk(RecordPtr record);

void put_varint(std::string& out, uint64_t value);
bool get_varint(std::string_view& from, uint64_t& value);

}  // namespace candela::bus_role
