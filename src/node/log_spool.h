#pragma once

// Lines of one source, in files of bounded size in a folder of its own, until a lighthouse keeps
// them: the disk side of log_streams.h. Every call blocks: pool threads only, one at a time for a
// source.
//
// A file is a row of records, each a head and the bytes of a LogBatch; its name is the number of
// its first line. What follows a record that is torn or rotten is cut off when the folder is
// opened: only a power cut or a full disk leaves such a one, at the end.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela {

// Up to where the output of a program has become lines, for whoever reads it again: so many bytes
// of the piece that ends at `position`. Positions grow over one run of the program.
struct OutputMark {
    uint64_t position = 0;
    uint64_t bytes = 0;
    bool operator==(const OutputMark&) const = default;
};
struct OutputMarks {
    uint64_t run = 0;
    OutputMark streams[2];  // stdout, stderr
    uint64_t safe = 0;      // all output up to this position is in lines; 0: none
    bool operator==(const OutputMarks&) const = default;
};

struct LogChunk {
    uint64_t first = 0;  // the number of its first line
    uint32_t count = 0;
    OutputMarks marks;
    std::string payload;
    uint64_t last() const { return first + count - 1; }
};

struct SpoolFile {
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t bytes = 0;
};

struct FoundSpool {
    std::string about;  // what make_spool() was given
    uint64_t acked = 0;
    std::vector<SpoolFile> files;  // the oldest first
    OutputMarks marks;             // of the last record
};

Result<> make_spool(const std::filesystem::path& folder, std::string_view about);
// kNotFound: there is none, or none that can be used.
Result<FoundSpool> open_spool(const std::filesystem::path& folder);

// Adds to the file that begins with line `file`, making it. Where the disk takes not all of it, the
// file is cut back to `size_before`.
Result<> append_to_spool(const std::filesystem::path& folder, uint64_t file, uint64_t size_before,
                         const std::vector<const LogChunk*>& chunks);
uint64_t spool_record_size(const LogChunk& chunk);

// Records of the file with a line from `from` to `to`, about `bytes_max` of them. A file that is
// being added to is read up to what is known to be whole in it.
Result<std::vector<LogChunk>> read_spool(const std::filesystem::path& folder, uint64_t file,
                                         uint64_t from, uint64_t to, size_t bytes_max);
Result<> remove_spool_file(const std::filesystem::path& folder, uint64_t file);
Result<> write_spool_ack(const std::filesystem::path& folder, uint64_t acked);

}  // namespace candela
