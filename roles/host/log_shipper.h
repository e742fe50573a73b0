#pragma once

// Sends the lines of instances to the lighthouse in LogBatches, at most every kFlushInterval. While
// the bus is away lines wait, bounded per instance and in all; then the oldest are dropped,
// counted, and the next batch says how many. Lives on one loop; the channels that open() gave must
// go before it.

#include <deque>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "base/time.h"
#include "loop/loop.h"
#include "proto/messages.h"

namespace candela::host {

// Where batches go: the bus. False: it takes nothing now; the batch is kept and tried again.
using SendLogs = std::function<bool(std::string_view subject, std::string_view payload)>;

class LogShipper {
public:
    struct Limits {
        size_t instance_bytes_max = 1 << 20;
        size_t all_bytes_max = 16 << 20;
        size_t batch_bytes_max = 256 << 10;
    };
    static constexpr Duration kFlushInterval = 100ms;
    static constexpr Duration kRetryInterval = 1s;  // after the bus took nothing
    static constexpr size_t kEntryOverhead = 64;    // counted for each line beside its bytes

    class Channel;

    LogShipper(Loop& loop, std::string node, const Limits& limits, SendLogs send);
    ~LogShipper();
    LogShipper(const LogShipper&) = delete;
    LogShipper& operator=(const LogShipper&) = delete;

    // One for each instance. What it has not sent when it is destroyed is still sent.
    std::unique_ptr<Channel> open(const proto::InstanceSpec& spec);
    // Sends what there is now (at the end of the host's life).
    void flush();
    size_t buffered_bytes() const { return buffered_bytes_; }

private:
    struct Queue {
        proto::LogBatch head;  // all but the entries
        std::deque<proto::LogEntry> entries;
        size_t bytes = 0;
        uint64_t dropped = 0;
        bool is_closed = false;
    };

    void add(Queue& queue, proto::LogStream stream, std::string_view line);
    void drop_oldest(Queue& queue);
    bool send(Queue& queue);  // false where the bus took nothing

    Loop& loop_;
    std::string node_;
    Limits limits_;
    SendLogs send_;
    std::list<Queue> queues_;
    size_t buffered_bytes_ = 0;
    Timer timer_;
};

class LogShipper::Channel {
public:
    Channel(LogShipper& shipper, Queue& queue) : shipper_(shipper), queue_(queue) {}
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;
    ~Channel();
    void add(proto::LogStream stream, std::string_view line) { shipper_.add(queue_, stream, line); }

private:
    LogShipper& shipper_;
    Queue& queue_;
};

}  // namespace candela::host
