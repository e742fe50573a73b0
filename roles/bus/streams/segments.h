#pragma once

// A stream's folder, "streams/<id>": its state at the last checkpoint, and segments, files to which
// a checkpoint moves what has piled up in memory and in the log. Segments are only appended to;
// which of their messages are still alive is in the state. Blocking: the pool's threads and
// start-up.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "disk.h"
#include "record.h"

namespace candela::bus_role {

inline constexpr uint64_t kSegmentBytesMax = 16 * 1024 * 1024;

struct SegmentPlace {
    uint32_t segment = 0;
    uint32_t offset = 0;
};

struct SegmentInfo {
    uint64_t file_bytes = 0;
    uint64_t message_bytes = 0;  // of every message ever put there, as limits count
    uint64_t live_bytes = 0;
    uint64_t live_count = 0;
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
    struct Move {
        uint64_t sequence;
        SegmentPlace from;
    };
    uint64_t stream = 0;
    uint32_t segment = 0;     // the one to append to, and
    uint64_t file_bytes = 0;  // its size; 0: it is to be begun. Both are brought up to date.
    uint64_t seed = 0;        // of new files' salts
    std::vector<std::pair<uint64_t, RecordPtr>> records;
    std::vector<Move> moves;  // out of segments that hold little else
    // What came of it: a place for each of the records, then each of the moves (segment 0:
    // unreadable).
    std::vector<SegmentPlace> places;
    std::map<uint32_t, uint64_t> sizes;  // of the files touched
};

std::string stream_folder(uint64_t stream);
std::string segment_path(uint64_t stream, uint32_t segment);

Result<> flush(Disk& disk, FlushJob& job, uint64_t segment_bytes_max);
Result<> write_image(Disk& disk, const StreamImage& image, uint64_t seed);
Result<> remove_stream(Disk& disk, uint64_t stream);

// What a stream's folder holds.
struct FoundMessage {
    uint64_t sequence = 0;
    int64_t timestamp = 0;
    std::string subject;
    uint32_t header_bytes = 0;
    uint32_t payload_bytes = 0;
    SegmentPlace place;
};
struct FoundStream {
    StreamImage image;
    std::vector<FoundMessage> messages;        // the live ones, by sequence
    std::map<uint32_t, SegmentInfo> segments;  // file_bytes only
    std::vector<SequenceRange> lost;           // should be there, but no record verifies
};
// kCorrupt where no copy of the state verifies; kNotFound where there is none.
Result<FoundStream> read_stream(Disk& disk, uint64_t stream);

// Reads the record at the place, and those behind it that come with the same read.
Result<std::vector<std::pair<uint64_t, RecordPtr>>> read_messages(Disk& disk, uint64_t stream,
                                                                  SegmentPlace place,
                                                                  size_t record_bytes);

}  // namespace candela::bus_role
