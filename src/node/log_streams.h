#pragma once

// The way of log lines from where they arise (a host's instances, a gateway's requests) to the
// lighthouse: each source has a stream of numbered lines. A line is written to the source's files
// (log_spool.h), then sent, and stays until the lighthouse says that it has it on its own disk.
// So nothing is lost and nothing comes twice when the bus, the lighthouse or this process is
// restarted or away; a power cut may cost what came within the last moments.
//
// Bounded: beyond `disk_bytes_max` the oldest lines of the source that has most are dropped; beyond
// `waiting_bytes_max`, where the disk is slower than the lines, the oldest of those that wait for
// it. Dropped lines have had numbers, so that the lighthouse sees how many are missing and says so
// in the log. Nobody who adds a line ever waits.
//
// Lives on one loop. Channels must go before it.

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "loop/flow.h"
#include "loop/loop.h"
#include "loop/timers.h"
#include "node/log_spool.h"
#include "proto/messages.h"

namespace candela {

// Whose lines they are. `name` is that of the source's folder.
struct LogSource {
    std::string name;
    std::string space;
    std::string service;
    std::string instance;
    uint64_t release = 0;
};

struct LogStreamsSettings {
    std::filesystem::path folder;
    std::string node;
    uint64_t disk_bytes_max = 256 << 20;  // of all sources
    size_t waiting_bytes_max = 4 << 20;   // of one source, not yet written
    size_t cached_bytes_max = 4 << 20;    // of one source, written and not acknowledged
    size_t all_cached_bytes_max = 16 << 20;
};

class LogStreams {
public:
    static constexpr Duration kFlushDelay = 5ms;
    static constexpr Duration kRetryInterval = 1s;  // where the bus took nothing
    static constexpr Duration kAckTimeout = 5s;     // then it is sent again
    // What an earlier life left is kept for so long for the channel of its source.
    static constexpr Duration kFoundKeep = 60s;
    static constexpr size_t kChunkBytesMax = 128 << 10;
    static constexpr uint32_t kChunkLinesMax = 2048;
    static constexpr size_t kSourcesMax = 4096;

    // False: the bus takes nothing now; it is tried again.
    using Send = std::function<bool(std::string_view subject, std::string_view payload)>;
    class Channel;

    LogStreams(Loop& loop, LogStreamsSettings settings, Send send, Logger log);
    ~LogStreams();
    LogStreams(const LogStreams&) = delete;
    LogStreams& operator=(const LogStreams&) = delete;

    // Finds what an earlier life left, which is sent like anything else. Before the first channel.
    Task<Result<>> open();
    // One a source at a time. What it has when it is destroyed is still sent.
    std::unique_ptr<Channel> open_channel(const LogSource& source);
    void on_ack(const proto::LogAck& ack);
    // The bus is there again: what is not acknowledged may not have come.
    void on_connected();
    // Sources go on when this process has ended: what is known of one is kept for its next channel.
    void let_go() { has_let_go_ = true; }
    // Returns when all that was added before is in files, or the disk does not take it.
    Task<void> write_all();

    uint64_t dropped_lines() const { return dropped_lines_; }
    uint64_t disk_bytes() const { return disk_bytes_; }
    size_t source_count() const { return streams_.size(); }

private:
    struct Stream;
    struct Job;

    void add(Stream& stream, proto::LogStream kind, std::string_view text, LineLevel level,
             std::string_view trace_id, uint64_t time_ms);
    void seal(Stream& stream);
    void flush();
    void drop_waiting(Stream& stream);
    void make_room(uint64_t bytes);
    void plan_write(Stream& stream, std::vector<Job>& jobs);
    void start_jobs(std::vector<Job> jobs);
    void on_written(std::vector<Job>& jobs);
    void on_chunks(Stream& stream, std::vector<LogChunk> chunks, bool is_on_disk);
    void refill(Stream& stream);
    void on_read(Stream& stream, uint64_t file, Result<std::vector<LogChunk>> chunks);
    void take_into_cache(Stream& stream, LogChunk chunk);
    bool send_some(Stream& stream);
    void rewind(Stream& stream);
    void send_all();
    void check_acks();
    void forget_files(Stream& stream);
    void count_dropped(Stream& stream, uint64_t lines);
    Stream& make_stream(const std::string& name, const proto::LogBatch& head);
    void sweep(Stream& stream);

    Loop& loop_;
    const LogStreamsSettings settings_;
    const uint64_t file_bytes_max_;
    Send send_;
    Logger log_;
    std::map<std::string, std::unique_ptr<Stream>, std::less<>> streams_;
    std::map<std::string, Stream*, std::less<>> by_source_;
    uint64_t disk_bytes_ = 0;
    size_t cached_bytes_ = 0;
    uint64_t dropped_lines_ = 0;
    bool is_writing_ = false;
    bool is_disk_failing_ = false;
    bool has_let_go_ = false;
    Event is_idle_;  // nothing waits to be written
    Timer flush_timer_;
    Timer retry_timer_;
    Timer ack_timer_;
    Timer found_timer_;
    std::shared_ptr<bool> alive_;
};

class LogStreams::Channel {
public:
    Channel(LogStreams& streams, Stream& stream) : streams_(streams), stream_(stream) {}
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;
    ~Channel();

    // One line without its end. What it says of itself is read (base/log_line.h).
    void add(proto::LogStream kind, std::string_view line);
    // One whose level and trace are known.
    void add(proto::LogStream kind, std::string_view line, LineLevel level,
             std::string_view trace_id);

    // Up to where the source's output is in the lines added so far; written with them.
    void set_marks(const OutputMarks& marks);
    // As they were found on disk.
    const OutputMarks& found_marks() const;
    // Called when lines are in files, with the marks set with them.
    void on_written(std::function<void(const OutputMarks&)> callback);

private:
    LogStreams& streams_;
    Stream& stream_;
};

}  // namespace candela
