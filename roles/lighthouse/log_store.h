#pragma once

// What services say, and what gateways say of requests to them: in bounded files, a folder a
// service (log_files.h), and the last lines in memory for those who follow. Batches of a source are
// numbered: what comes twice is left out, what never came is said to be lost, and a source is told
// how far its lines are on disk, synced. What can't be written in time is not taken; its source
// sends it again. Lives on the control loop; files are touched on the pool.

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "log_files.h"
#include "log_line.h"
#include "loop/flow.h"
#include "loop/timers.h"
#include "model.h"
#include "signal.h"

namespace candela::lighthouse {

struct LogLimits {
    uint64_t bytes_max = 2ULL << 30;            // of all files
    uint64_t service_bytes_max = 256ULL << 20;  // of one service's, and of its access lines
    uint64_t file_bytes_max = 8ULL << 20;
};

class LogStore {
public:
    static constexpr size_t kLinesInMemory = 1000;        // a service
    static constexpr size_t kBytesInMemory = 256 * 1024;  // a service
    static constexpr size_t kFollowedBytes = 4 << 20;     // one that somebody follows
    static constexpr size_t kWaitingBytesMax = 32 << 20;  // not yet written, of all
    static constexpr size_t kHeldBatchesMax = 64;  // of a service whose files are being looked at
    static constexpr size_t kTailMax = 100'000;
    static constexpr size_t kTailBytesMax = 32 << 20;
    static constexpr size_t kSearchesMax = 4;  // at a time
    // Lines are written that often, so that one sync serves many.
    static constexpr Duration kWritePause = 100ms;
    static constexpr Duration kRetryPause = 1s;  // where the disk took nothing

    LogStore(Loop& loop, std::filesystem::path folder, Logger log, LogLimits limits = {});
    ~LogStore();

    // Finds the files that are there. Before everything else.
    Task<Result<>> open();

    // `reply`: where its source waits to hear that it is on disk.
    void append(proto::LogBatch batch, std::string_view reply = {});
    std::function<void(const std::string& reply, const proto::LogAck& ack)> on_ack;

    // The last lines of an instance that are in memory.
    std::vector<std::string> last_lines(const Instance& instance, size_t count) const;

    // The last lines that match, the oldest first, from files; whoever follows goes on after
    // `up_to`.
    struct Tail {
        std::vector<LogLine> lines;
        uint64_t up_to = 0;
    };
    Task<Result<Tail>> tail(LogQuery query, size_t count);
    // Waits for lines after `id`; moves it to the last that was looked at. A follower who was too
    // slow is told by a line of the host.
    Task<std::vector<LogLine>> wait_after(LogQuery query, uint64_t& id);
    // While it lives, more of the lines that match are kept in memory.
    class Following;
    std::unique_ptr<Following> follow(const LogQuery& query);

    // Of a service that is deleted.
    void forget(const ServiceKey& service);
    // Returns when all that was appended before is in files, or could not be written.
    Task<void> flush();

    uint64_t disk_bytes() const { return disk_bytes_; }
    uint64_t lines_taken() const { return lines_taken_; }
    uint64_t lines_lost() const { return lines_lost_; }        // that sources gave up
    uint64_t files_dropped() const { return files_dropped_; }  // to make room

private:
    struct Key {
        ServiceKey service;
        bool is_access = false;
        auto operator<=>(const Key&) const = default;
    };
    struct Source {
        uint64_t taken = 0;
        uint64_t on_disk = 0;
        uint64_t heard = 0;  // grows
        std::string reply;
        bool is_waiting = false;  // to hear of the disk
    };
    struct Log {
        Key key;
        std::filesystem::path folder;
        bool is_open = false;  // what sources have given is known
        bool is_opening = false;
        bool is_gone = false;  // forgotten
        std::deque<std::pair<proto::LogBatch, std::string>> held;
        std::map<std::string, Source, std::less<>> sources;
        std::vector<LogFile> files;
        uint64_t bytes = 0;
        std::string unwritten;
        uint64_t unwritten_first = 0;  // id
        std::vector<uint64_t> to_remove;
        std::deque<LogLine> lines;
        size_t line_bytes = 0;
        uint64_t evicted = 0;  // the highest id that has left the memory
        size_t followers = 0;
    };
    using LogPtr = std::shared_ptr<Log>;
    struct Write;

    LogPtr log_of(const Key& key);
    Task<void> open_log(LogPtr log);
    Task<void> all_open();
    void take(Log& log, proto::LogBatch batch, std::string_view reply);
    void add(Log& log, const std::shared_ptr<const LogOrigin>& origin, proto::LogEntry entry);
    void keep(Log& log, LogLine line);
    void trim(Log& log);
    std::vector<LogPtr> logs_for(const LogQuery& query) const;
    void make_room(Log& log);
    void drop_oldest(Log& log);
    bool drop_largest();
    std::vector<Write> plan_writes();
    bool finish_writes(std::vector<Write>& writes);
    void acknowledge(Log& log);
    Task<void> write_forever();

    Loop& loop_;
    std::filesystem::path folder_;
    Logger log_;
    const LogLimits limits_;
    std::map<Key, LogPtr> logs_;
    std::vector<std::filesystem::path> folders_to_remove_;
    uint64_t last_id_;
    uint64_t heard_ = 0;
    size_t waiting_bytes_ = 0;
    uint64_t disk_bytes_ = 0;
    uint64_t lines_taken_ = 0;
    uint64_t lines_lost_ = 0;
    uint64_t files_dropped_ = 0;
    size_t searches_ = 0;
    bool is_failing_ = false;
    bool is_refusing_ = false;
    uint64_t rounds_begun_ = 0;
    uint64_t rounds_done_ = 0;
    Event has_work_;
    Event go_;  // ends the pause before a write
    Timer pause_timer_;
    Signal round_done_;
    Signal line_came_;
    TaskGroup tasks_;
};

class LogStore::Following {
public:
    explicit Following(std::vector<LogPtr> logs) : logs_(std::move(logs)) {
        for (const LogPtr& log : logs_) ++log->followers;
    }
    Following(const Following&) = delete;
    Following& operator=(const Following&) = delete;
    ~Following() {
        for (const LogPtr& log : logs_) --log->followers;
    }

private:
    std::vector<LogPtr> logs_;
};

}  // namespace candela::lighthouse
