#pragma once

// The write-ahead log's files: "wal/<number>.wal", each begun when the one before has grown large.
// One batch at a time is appended and synced. A file grows by chunks of zeros that the batches
// after it overwrite, and one that is no longer needed becomes the next: a sync then has no size
// and no blocks to write down beside the data, which halves what the disk does. Blocking; used by
// one thread at a time (start-up, then the Committer's).

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/random.h"
#include "disk.h"
#include "record.h"

namespace candela::bus_role {

class Wal {
public:
    static constexpr size_t kChunkBytes = 1024 * 1024;

    // The seed is for the salts of new files: one that a tenant can't guess.
    Wal(Disk& disk, uint64_t seed, size_t chunk_bytes = kChunkBytes)
        : disk_(disk), random_(seed), chunk_bytes_(chunk_bytes) {}

    struct Replay {
        size_t records = 0;
        size_t bytes = 0;
        size_t damaged_places =
            0;  // bytes that verify as no record, with later batches behind them
        size_t unfinished_places = 0;  // the same in a last batch: most likely it was never synced
        size_t unreadable_files = 0;
    };
    // Hands on every record that verifies, in order, and makes sure that what was read is on the
    // medium: it may have been in the page cache only. Then begins a new file; where the disk is
    // full, the first append does.
    Result<Replay> open(const std::function<void(const RecordView&, const RecordPtr&)>& take);

    // Writes, and syncs where that is asked for. kExhausted: the disk is full, nothing was kept,
    // and a later attempt may succeed. Any other failure is final: what is on the medium is not
    // known.
    Result<> append(std::span<const RecordPtr> records, bool syncs);
    // What was appended without a sync is on the medium.
    Result<> sync();
    // Goes on in a new file, and returns the number of the one before.
    Result<uint64_t> begin_next();
    // Removes files up to this number, but for one that is kept for begin_next(). May run beside
    // append(), not beside begin_next().
    static Result<> remove_up_to(Disk& disk, uint64_t number, uint64_t spare_bytes_max);

private:
    Result<> begin(uint64_t number);
    Result<std::unique_ptr<DiskFile>> make_file(const std::string& path);
    Result<> replay_file(uint64_t number,
                         const std::function<void(const RecordView&, const RecordPtr&)>& take,
                         Replay& out);

    Disk& disk_;
    SeededRandom random_;
    const size_t chunk_bytes_;
    std::unique_ptr<DiskFile> file_;
    uint64_t number_ = 0;
    uint64_t offset_ = 0;
    uint64_t file_bytes_ = 0;  // behind the offset lie zeros, or what a former use left
    uint32_t batch_ = 0;
    bool has_unsynced_ = false;
    FileSalt salt_;
    std::string buffer_;
};

}  // namespace candela::bus_role
