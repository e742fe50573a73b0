#pragma once

// A stream's folder, "streams/<id>": its state at the last checkpoint, and segments, files to which
// a checkpoint moves what has piled up in memory and in the log. A segment is only appended to, and
// an index file beside it says what it holds; which of its messages are still alive is in the
// state. Blocking: the pool's threads and start-up; read_chunk() also on the loop, a few kilobytes
// at a time.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "disk.h"
#include "message_index.h"
#include "record.h"

namespace candela::bus_role {

inline constexpr uint64_t kSegmentBytesMax = 16 * 1024 * 1024;
// Messages that are compressed together, before compression.
inline constexpr size_t kPackBytesMax = 64 * 1024;

struct SegmentPlace {
    uint32_t segment = 0;
    uint32_t offset = 0;
};

struct SegmentInfo {
    uint64_t file_bytes = 0;
    uint64_t index_bytes = 0;
    uint64_t message_bytes = 0;  // of every message ever put there, as limits count
    uint64_t live_bytes = 0;
    uint64_t live_count = 0;
    bool is_kept = false;  // for a person to look at; its file is not removed
};

// What a stream's consumer was at a checkpoint, in the words of the layer above.
struct ConsumerImage {
    std::string blob;  // configuration
    std::string state;
    std::vector<std::string> changes;  // since the checkpoint, in order
};

struct StreamImage {
    uint64_t stream = 0;
    uint64_t last_sequence = 0;
    uint64_t flushed_to = 0;  // what is up to here is in segments, what is above is in the log
    std::string blob;
    std::map<uint64_t, ConsumerImage> consumers;
    std::vector<SequenceRange> live;
};

// Moves messages of one stream to its segments.
struct FlushJob {
    struct Item {
        uint64_t sequence = 0;
        uint64_t previous = 0;  // of the index's entry, as is the size
        uint32_t size = 0;
        RecordPtr record;
        SegmentPlace from;  // where there is no record: it is read from here
    };
    uint64_t stream = 0;
    bool is_packed = false;    // compressed
    uint32_t segment = 0;      // the one to append to, and
    uint64_t file_bytes = 0;   // its size; 0: it is to be begun. All are brought up to date.
    uint64_t index_bytes = 0;  // its index's
    uint64_t seed = 0;         // of new files' salts
    std::vector<Item> items;   // first those with a record, by sequence, then those to be moved
    // What came of it: a place for each item (segment 0: unreadable), and the index's new chunks.
    std::vector<SegmentPlace> places;
    std::vector<std::pair<uint64_t, ChunkRef>> chunks;  // by block
    std::map<uint32_t, SegmentInfo> files;              // touched: their sizes
};

std::string stream_folder(uint64_t stream);
std::string segment_path(uint64_t stream, uint32_t segment);
std::string index_path(uint64_t stream, uint32_t segment);
// From its own header, or its index's, which has the same; kCorrupt where neither is legible.
Result<FileSalt> segment_salt(Disk& disk, uint64_t stream, DiskFile& file, uint32_t segment);

Result<> flush(Disk& disk, FlushJob& job, uint64_t segment_bytes_max);
Result<> write_image(Disk& disk, const StreamImage& image, uint64_t seed);
Result<> remove_stream(Disk& disk, uint64_t stream);

// kCorrupt where no copy of the state verifies; kNotFound where there is none.
Result<StreamImage> read_image(Disk& disk, uint64_t stream);
Result<std::vector<uint32_t>> list_segments(Disk& disk, uint64_t stream);

// What a segment holds, as its index file says; where that is missing, rotten, or behind, it is
// made again from the segment.
struct FoundSegment {
    uint64_t file_bytes = 0;  // it goes on from here
    uint64_t index_bytes = 0;
    std::vector<std::pair<IndexChunk, ChunkRef>> chunks;
    bool is_made_again = false;
    bool is_header_made = false;   // it was rotten, and its index had what it said
    std::optional<Error> problem;  // why nothing in it, or not all, can be read
};
// An error only where the disk may do better another time.
Result<FoundSegment> read_segment(Disk& disk, uint64_t stream, uint32_t segment);
// Puts a segment that can't be read, and its index, where nobody reads or removes them but a
// person.
Result<> set_segment_aside(Disk& disk, uint64_t stream, uint32_t segment);

// A chunk of a segment's index; where it can't be read, what the segment holds of the block, and
// `is_damaged` is set.
IndexChunk read_chunk(Disk& disk, uint64_t stream, uint64_t block, const ChunkRef& ref,
                      bool& is_damaged);

// Reads the message at the place, and those behind it that come with the same read. It is the
// first; kCorrupt where it is not there.
Result<std::vector<std::pair<uint64_t, RecordPtr>>> read_messages(Disk& disk, uint64_t stream,
                                                                  SegmentPlace place,
                                                                  uint64_t sequence,
                                                                  size_t record_bytes);

}  // namespace candela::bus_role
