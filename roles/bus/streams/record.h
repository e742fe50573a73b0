#pragma once

// Records: what the write-ahead log and the segments consist of. A file begins with its name for
// itself (a salt, twice, so that a flipped bit spoils one at most); each record is a header of 24
// bytes and a body, padded to 8. The header is sealed with the file's salt: a payload that contains
// the bytes of a record, or what an earlier use of the disk left there, never passes for one. Where
// a record does not verify, reading goes on behind it: one bad record hides no other. Numbers are
// little-endian. Values; any thread.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela::bus_role {

enum class RecordType : uint8_t {
    kMessage = 1,    // a message of a stream
    kRemove = 2,     // messages taken out of a stream
    kStreamPut = 3,  // a stream made, or its configuration changed
    kStreamDrop = 4,
    kConsumerPut = 5,  // likewise for a consumer
    kConsumerDrop = 6,
    kConsumerChange = 7,  // what a consumer delivered or had acknowledged
    kStreamState = 8,     // a stream at a checkpoint, as it was written before kStreamImage
    kIndexChunk = 9,      // index_chunk.h
    kPacked = 10,         // messages compressed together
    kStreamImage = 11,    // a stream at a checkpoint
};

enum class Rollup : uint8_t { kNone = 0, kSubject = 1, kAll = 2 };

// The encoded body and its checksum; immutable, shared by the log, the segments and those who read
// it.
struct Record {
    std::string body;
    uint32_t crc = 0;
};
using RecordPtr = std::shared_ptr<const Record>;

RecordPtr make_record(std::string body);

struct SequenceRange {
    uint64_t first = 0;
    uint64_t count = 0;
    friend bool operator==(const SequenceRange&, const SequenceRange&) = default;
};

// A body decoded; the views point into it. Which fields have a meaning depends on the type.
struct RecordView {
    RecordType type{};
    Rollup rollup = Rollup::kNone;  // kMessage
    uint64_t stream = 0;
    uint64_t sequence = 0;              // kMessage; kStreamImage: the last one given out
    uint64_t consumer = 0;              // kConsumer…
    int64_t timestamp = 0;              // kMessage: nanoseconds since 1970
    std::string_view subject;           // kMessage
    std::string_view headers;           // kMessage
    std::string_view payload;           // kMessage; otherwise opaque bytes
    std::vector<SequenceRange> ranges;  // kRemove
};

RecordPtr encode_message(uint64_t stream, uint64_t sequence, int64_t timestamp, Rollup rollup,
                         std::string_view subject, std::string_view headers,
                         std::string_view payload);
RecordPtr encode_remove(uint64_t stream, const std::vector<SequenceRange>& ranges);
// Everything else: a stream, perhaps a consumer, and opaque bytes.
RecordPtr encode_other(RecordType type, uint64_t stream, uint64_t consumer, std::string_view bytes,
                       uint64_t sequence = 0);
// False where the body makes no sense.
bool decode_record(std::string_view body, RecordView& out);

// --- Files of records ---

struct FileSalt {
    uint64_t value = 0;
    friend bool operator==(const FileSalt&, const FileSalt&) = default;
};

inline constexpr size_t kFileHeaderBytes = 64;
inline constexpr size_t kRecordHeaderBytes = 24;
inline constexpr size_t kRecordBytesMax = 80 * 1024 * 1024;

// `number` is the file's own: a file that was given another name, to be used again, and whose new
// header never reached the disk, gives itself away by it.
std::string file_header(FileSalt salt, uint64_t number);
// False where neither copy verifies, or the number is another. Files of version 1 have none.
bool read_file_header(std::string_view file, uint64_t number, FileSalt& salt);
// Whether a copy verifies, whatever its number.
bool has_file_header(std::string_view file);

inline size_t stored_size(const Record& record) {
    return (kRecordHeaderBytes + record.body.size() + 7) / 8 * 8;
}
// `batch` grows with each write to a file that is synced by itself.
void append_record(std::string& out, const Record& record, FileSalt salt, uint32_t batch);

// The record at the offset; nothing where none verifies there.
struct StoredRecord {
    std::string_view body;
    uint32_t batch = 0;
    uint32_t crc = 0;
    size_t size = 0;  // with header and padding
};
bool read_record(std::string_view file, size_t offset, FileSalt salt, StoredRecord& out);

// Walks a file's records. Bytes that verify as none are skipped and counted as damage when a record
// follows them; what is at the end is a write that was never finished.
class RecordScanner {
public:
    RecordScanner(std::string_view file, FileSalt salt, size_t begin = kFileHeaderBytes)
        : file_(file), salt_(salt), end_(begin) {}
    bool next(StoredRecord& out);
    size_t offset() const { return at_; }  // of the record returned last
    size_t end() const { return end_; }    // behind the last record that verifies
    size_t damaged_places() const { return damaged_; }

private:
    std::string_view file_;
    FileSalt salt_;
    size_t at_ = 0;
    size_t end_;
    size_t damaged_ = 0;
};

}  // namespace candela::bus_role
