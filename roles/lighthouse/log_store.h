#pragma once

// What services say: bounded files per service in DIR/lighthouse/logs/<space>/<service>.log (one
// JSON object a line, an older file beside it), and the last lines in memory for those who follow.
// Writing goes through the pool, one piece at a time; what can't be kept up with is dropped and
// counted. Lives on the control loop.

#include <deque>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "loop/flow.h"
#include "model.h"
#include "signal.h"

namespace candela::lighthouse {

struct LogLine {
    uint64_t id = 0;    // grows, over restarts too
    uint64_t time = 0;  // unix milliseconds
    std::string stream;
    std::string instance;
    uint64_t release = 0;
    std::string node;
    std::string text;
};
std::string to_json_line(const LogLine& line);  // without the newline

class LogStore {
public:
    static constexpr size_t kLinesInMemory = 1000;               // a service
    static constexpr size_t kBytesInMemory = 256 * 1024;         // a service
    static constexpr size_t kFileBytesMax = 8 * 1024 * 1024;     // two of them a service
    static constexpr size_t kWaitingBytesMax = 8 * 1024 * 1024;  // not yet written, of all
    static constexpr size_t kTailMax = 10'000;

    LogStore(Loop& loop, std::filesystem::path folder, Logger log);

    void append(const proto::LogBatch& batch);
    // The last lines of an instance that are in memory.
    std::vector<std::string> last_lines(const Instance& instance, size_t count) const;

    struct Filter {
        ServiceKey service;
        std::string instance;  // empty: all
    };
    // The last lines that match, the oldest first, from files; whoever follows goes on after
    // `up_to`.
    struct Tail {
        std::vector<std::string> lines;
        uint64_t up_to = 0;
    };
    Task<Result<Tail>> tail(Filter filter, size_t count);
    // Waits for lines after `id`; moves it to the last that was looked at.
    Task<std::vector<std::string>> wait_after(Filter filter, uint64_t& id);

    // Of a service that is deleted.
    void forget(const ServiceKey& service);
    // Returns when all that was appended is in files.
    Task<void> flush();

private:
    struct Stream {
        std::deque<LogLine> lines;
        size_t bytes = 0;
    };
    struct Waiting {
        std::filesystem::path file;
        std::string text;
        bool remove = false;
    };
    std::filesystem::path file_of(const ServiceKey& service) const;
    void keep(Stream& stream, LogLine line);
    Task<void> write_forever();

    Loop& loop_;
    std::filesystem::path folder_;
    Logger log_;
    std::map<ServiceKey, Stream> streams_;
    const uint64_t first_id_;  // of this run
    uint64_t last_id_;
    std::deque<Waiting> waiting_;
    size_t waiting_bytes_ = 0;
    bool is_writing_ = false;
    bool is_failing_ = false;
    Event has_work_;
    Event is_idle_;
    Signal line_came_;
    TaskGroup tasks_;
};

}  // namespace candela::lighthouse
