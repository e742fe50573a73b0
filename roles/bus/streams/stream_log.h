#pragma once

// One stream's messages: what is durable and visible, what waits to become so, and the limits by
// which the oldest go. Owned by the Store; control loop.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "loop/loop.h"
#include "message_index.h"
#include "segments.h"

namespace candela::bus_role {

class Store;

// What makes old messages go; -1 or 0 age: nothing.
struct LogLimits {
    int64_t messages_max = -1;
    int64_t bytes_max = -1;
    int64_t messages_per_subject_max = -1;
    Duration age_max{0};
};

class LogObserver {
public:
    // A message became durable and visible. It may be gone again when this returns (limits,
    // rollup).
    virtual void on_appended(const IndexEntry& entry) = 0;
    virtual void on_removed(const IndexEntry& entry) = 0;
    // A message turned out to be unreadable, and is gone.
    virtual void on_lost(uint64_t sequence) = 0;

protected:
    ~LogObserver() = default;
};

class StreamLog final : private BlockSource {
public:
    using Done = std::move_only_function<void(const Result<>&)>;

    StreamLog(Store& store, uint64_t id, bool is_durable);

    uint64_t id() const { return id_; }
    bool is_durable() const { return is_durable_; }
    const std::string& blob() const { return blob_; }
    // What recovery found; the layer above takes it from here once.
    std::map<uint64_t, ConsumerImage>& consumers() { return consumers_; }

    // Neither may destroy the log, or append and remove.
    void set_observer(LogObserver* observer) { observer_ = observer; }
    // Takes effect on what is there already, too.
    void set_limits(const LogLimits& limits);
    // Segments written from now on are compressed, or not.
    void set_packed(bool is_packed) { is_packed_ = is_packed; }
    // Whether what is appended, removed and changed is synced before it is told of (always at
    // first), or at an interval.
    void set_synced(bool is_synced) { is_synced_ = is_synced; }
    bool is_synced() const { return is_synced_; }

    const MessageIndex& index() const { return index_; }
    MessageIndex& index() { return index_; }
    bool contains(uint64_t sequence) const { return index_.contains(sequence); }
    const IndexEntry* find(uint64_t sequence) { return index_.find(sequence); }
    const IndexEntry* at_or_after(uint64_t sequence) { return index_.at_or_after(sequence); }
    const IndexEntry* at_or_before(uint64_t sequence) { return index_.at_or_before(sequence); }
    uint64_t first_sequence() const;  // last + 1 where it is empty
    uint64_t last_sequence() const { return last_sequence_; }
    int64_t last_timestamp() const { return last_timestamp_; }
    const std::vector<SequenceRange>& lost() const { return lost_; }

    // With what is on its way to the disk; a check before an append has to count it.
    uint64_t last_given() const { return last_given_; }
    // What came behind it was found in the log at the start, not in segments.
    uint64_t recovered_to() const { return recovered_to_; }
    uint64_t last_given_of(std::string_view subject) const;
    uint64_t last_given_matching(std::string_view pattern) const;
    uint64_t pending_messages() const { return pending_.size(); }
    uint64_t pending_bytes() const { return pending_bytes_; }
    uint64_t pending_messages_of(std::string_view subject) const;

    // Returns the sequence. `done` runs when it is durable or has failed, never from within this
    // call.
    uint64_t append(std::string_view subject, std::string_view headers, std::string_view payload,
                    Rollup rollup, int64_t timestamp, Done done);
    // Gone from here at once, on disk when `done` (may be empty) runs.
    void remove(const std::vector<uint64_t>& sequences, Done done);
    // A stream that begins with a given sequence.
    void start_at(uint64_t sequence);
    // What is appended next gets the sequence, which must be above the last one given.
    void skip_to(uint64_t sequence) { last_given_ = sequence - 1; }
    // Removes what is older than the limit; returns when the next will be (ns since 1970), or 0.
    int64_t expire(int64_t now);

    // The message; null where it is not in memory: load() then, and ask again in its callback.
    RecordPtr read(uint64_t sequence);
    // `done` runs later, even where the message can't be read: it is then gone, and counted as
    // lost.
    void load(uint64_t sequence, Loop::Callback done);

    // As nats-server counts it.
    static uint32_t message_size(bool is_durable, size_t subject, size_t headers, size_t payload);

private:
    friend class Store;
    struct PendingMessage {
        uint64_t sequence;
        int64_t timestamp;
        std::string subject;
        Rollup rollup;
        uint32_t size;
        RecordPtr record;
    };
    struct PendingSubject {
        uint64_t last = 0;
        uint64_t count = 0;
    };

    void commit();  // the oldest pending message
    void fail_pending();
    void admit(uint64_t sequence, std::string_view subject, int64_t timestamp, uint32_t size,
               RecordPtr record, Rollup rollup);
    void roll_up(uint64_t sequence, Rollup rollup);
    void enforce(uint64_t sequence);
    bool take_out(uint64_t sequence);
    void count_out(const IndexEntry& entry);
    // Takes it out for good: it can't be read.
    void lose(uint64_t sequence);
    StreamImage image(uint64_t flushed_to) const;
    FlushJob make_flush(uint64_t seed);
    // What the index knows of the messages in the stream's segments.
    Result<> recover(Disk& disk, StreamImage image);
    void set_aside(Disk& disk, uint32_t number, const Error& problem);
    IndexChunk read_chunk(uint64_t block, const ChunkRef& ref) override;
    void note_lost(const std::vector<SequenceRange>& ranges);
    void report_lost();
    // Returns how many messages turned out to be unreadable.
    uint64_t take_flush(const FlushJob& job);
    // Segments in which nothing lives any more; the caller removes their files.
    void take_dead_segments(std::vector<std::string>& paths);

    Store& store_;
    const uint64_t id_;
    const bool is_durable_;
    std::string blob_;
    std::map<uint64_t, ConsumerImage> consumers_;
    LogObserver* observer_ = nullptr;
    LogLimits limits_;

    MessageIndex index_;
    uint64_t last_sequence_ = 0;
    int64_t last_timestamp_ = 0;
    uint64_t recovered_to_ = 0;  // what was in segments at the start
    std::vector<SequenceRange> lost_;
    std::unordered_map<uint64_t, RecordPtr> fresh_;  // durable in the log, not in a segment yet

    std::deque<PendingMessage> pending_;
    std::unordered_map<std::string, PendingSubject> pending_subjects_;
    uint64_t pending_bytes_ = 0;
    uint64_t last_given_ = 0;

    std::map<uint32_t, SegmentInfo> segments_;
    uint32_t segment_ = 0;  // being appended to
    bool is_packed_ = false;
    bool is_synced_ = true;
    bool is_dirty_ = false;  // changed since its image was written
};

}  // namespace candela::bus_role
