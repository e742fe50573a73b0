#pragma once

// The storage engine: the logs of all streams of all accounts on one write-ahead log. What is
// appended is durable, and only then visible, when its completion runs. A checkpoint moves what has
// piled up in memory to the streams' segments, and cuts the log. It knows nothing of JetStream:
// configurations and consumers are bytes to it. Lives on the control loop; open() blocks and
// belongs in offload().
//
// What it promises: everything acknowledged is there after a crash or power cut at any moment, in
// order; a record that does not verify is reported and never served, and hides no other; a full
// disk refuses what comes and keeps what is there; after a failed sync nothing more is
// acknowledged.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/log.h"
#include "committer.h"
#include "loop/loop.h"
#include "read_cache.h"
#include "segments.h"
#include "stream_log.h"

namespace candela::bus_role {

struct StoreOptions {
    uint64_t log_bytes_max = 32 * 1024 * 1024;  // a checkpoint begins beyond it
    size_t log_chunk_bytes = Wal::kChunkBytes;  // by which its file grows
    uint64_t segment_bytes_max = kSegmentBytesMax;
    uint64_t unflushed_bytes_max =
        128 * 1024 * 1024;  // beyond it (checkpoints fail) appends are refused
    uint64_t pending_bytes_max =
        64 * 1024 * 1024;                         // not yet durable; beyond it appends are refused
    uint64_t cache_bytes_max = 32 * 1024 * 1024;  // of messages read from segments
    uint64_t index_bytes_max = 64 * 1024 * 1024;  // of index entries that can be read again
    size_t index_blocks_kept = IndexCache::kBlocksKept;
    // Of streams that are not synced at every publish: what a power cut may take from them.
    Duration sync_interval = 1s;
    Duration read_retry_interval = 100ms;  // of a read that failed for now
    Duration retry_interval = 1s;          // of a checkpoint that failed
    bool has_thread = true;                // false: simulation
};

struct StoreCounters {
    uint64_t commits = 0;
    uint64_t records = 0;
    uint64_t checkpoints = 0;
    uint64_t damaged_places = 0;  // found since the start, on disk
};

// The layer above: says what is to be kept of a consumer at a checkpoint.
class ConsumerStates {
public:
    virtual std::string consumer_state(uint64_t stream, uint64_t consumer) = 0;

protected:
    ~ConsumerStates() = default;
};

class Store final : public CommitObserver {
public:
    using Done = StreamLog::Done;

    // Recovers what the disk holds. The disk outlives the store. Nothing runs on the loop before
    // start().
    static Result<std::unique_ptr<Store>> open(Loop& loop, Disk& disk, StoreOptions options,
                                               uint64_t seed, Logger log);
    ~Store();
    void start(ConsumerStates& states);

    // By id, which is never given out twice.
    const std::map<uint64_t, std::unique_ptr<StreamLog>>& logs() const { return logs_; }
    StreamLog* find(uint64_t stream);
    // Not durable: kept in memory only, and gone with the process.
    StreamLog& create(std::string blob, bool is_durable, Done done);
    void update(StreamLog& log, std::string blob, Done done);
    void drop(StreamLog& log, Done done);

    // A consumer's id is the caller's to choose.
    void put_consumer(StreamLog& log, uint64_t consumer, std::string blob, Done done);
    void drop_consumer(StreamLog& log, uint64_t consumer, Done done);
    // `done` may be empty: nobody waits.
    void change_consumer(StreamLog& log, uint64_t consumer, std::string_view change, Done done);

    // Why nothing can be appended now; nothing where it can.
    std::optional<Error> refusal() const;
    const StoreCounters& counters() const { return counters_; }
    // Moves everything to segments now; for tests.
    void checkpoint();
    bool is_checkpointing() const { return checkpointing_; }
    uint64_t durable_bytes() const;

private:
    friend class StreamLog;
    struct Pending {
        uint64_t stream = 0;
        uint64_t sequence = 0;  // 0: no message
        uint64_t bytes = 0;
        Done done;
    };
    struct Flush;

    Store(Loop& loop, Disk& disk, StoreOptions options, uint64_t seed, Logger log);
    Result<> recover();
    Result<> recover_stream(uint64_t id);
    void replay(const RecordView& view, const RecordPtr& record);
    void submit(RecordPtr record, Pending pending, bool syncs = true);
    void submit_in_memory(Pending pending);

    void on_commit(size_t count) override;
    void on_commit_failed(const Error& error) override;
    void on_log_rolled(Result<uint64_t> number) override;
    void finish(Pending pending, const Result<>& result);

    void flush_logs(uint64_t number);
    void on_flushed(std::shared_ptr<Flush> flush);
    void write_images(std::shared_ptr<Flush> flush);
    void on_checkpoint_failed(const Error& error);
    void load(StreamLog& log, uint64_t sequence, Loop::Callback done);

    Loop& loop_;
    Disk& disk_;
    const StoreOptions options_;
    SeededRandom random_;
    Logger log_;
    Wal wal_;
    ConsumerStates* states_ = nullptr;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    IndexCache index_cache_;  // of the logs, which leave before it
    std::map<uint64_t, std::unique_ptr<StreamLog>> logs_;
    uint64_t next_stream_ = 1;
    std::vector<uint64_t> dropped_;  // folders to be removed
    std::deque<Pending> pending_;
    std::deque<Pending> pending_in_memory_;
    uint64_t pending_bytes_ = 0;
    uint64_t log_bytes_ = 0;  // since the last roll
    uint64_t unflushed_bytes_ = 0;
    ReadCache cache_;
    bool checkpointing_ = false;
    std::optional<uint64_t>
        rolled_;  // a checkpoint up to this file failed and is to be tried again
    StoreCounters counters_;
    Timer retry_;
    std::vector<Loop::Callback> unread_;  // reads that failed for now
    Timer read_retry_;
    std::unique_ptr<Committer> committer_;  // last: its thread ends first
};

}  // namespace candela::bus_role
