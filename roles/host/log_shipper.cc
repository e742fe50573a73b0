#include "log_shipper.h"

#include <algorithm>

#include "loop/timers.h"

namespace candela::host {

LogShipper::LogShipper(Loop& loop, std::string node, const Limits& limits, SendLogs send)
    : loop_(loop),
      node_(std::move(node)),
      limits_(limits),
      send_(std::move(send)),
      timer_(loop.timers(), [this] { flush(); }) {}

LogShipper::~LogShipper() = default;

std::unique_ptr<LogShipper::Channel> LogShipper::open(const proto::InstanceSpec& spec) {
    Queue& queue = queues_.emplace_back();
    queue.head.node = node_;
    queue.head.space = spec.space;
    queue.head.service = spec.service;
    queue.head.instance = spec.instance;
    queue.head.release = spec.release;
    return std::make_unique<Channel>(*this, queue);
}

LogShipper::Channel::~Channel() {
    queue_.is_closed = true;
    if (!shipper_.timer_.is_active()) shipper_.timer_.start(Duration(0));
}

void LogShipper::add(Queue& queue, proto::LogStream stream, std::string_view line) {
    proto::LogEntry entry;
    entry.time = static_cast<uint64_t>(unix_millis(loop_.wall()));
    entry.stream = stream;
    entry.text = line.substr(0, proto::kTextBytesMax);
    const size_t bytes = entry.text.size() + kEntryOverhead;
    queue.entries.push_back(std::move(entry));
    queue.bytes += bytes;
    buffered_bytes_ += bytes;
    while (queue.bytes > limits_.instance_bytes_max) drop_oldest(queue);
    while (buffered_bytes_ > limits_.all_bytes_max) {
        drop_oldest(*std::ranges::max_element(queues_, {}, &Queue::bytes));
    }
    // Not pushed back by each line: the first one sets the time.
    if (!timer_.is_active()) timer_.start(kFlushInterval);
}

void LogShipper::drop_oldest(Queue& queue) {
    const size_t bytes = queue.entries.front().text.size() + kEntryOverhead;
    queue.entries.pop_front();
    queue.bytes -= bytes;
    buffered_bytes_ -= bytes;
    ++queue.dropped;
}

bool LogShipper::send(Queue& queue) {
    while (!queue.entries.empty()) {
        proto::LogBatch batch = queue.head;
        batch.dropped = queue.dropped;
        size_t bytes = 0;
        for (const proto::LogEntry& entry : queue.entries) {
            const size_t more = entry.text.size() + kEntryOverhead;
            if (batch.entries.size() == proto::kLogEntriesMax) break;
            if (!batch.entries.empty() && bytes + more > limits_.batch_bytes_max) break;
            bytes += more;
            batch.entries.push_back(entry);
        }
        const std::string subject = proto::logs_subject(batch.space, batch.service, batch.instance);
        if (!send_(subject, proto::encode(batch))) return false;
        queue.entries.erase(queue.entries.begin(),
                            queue.entries.begin() + static_cast<ptrdiff_t>(batch.entries.size()));
        queue.bytes -= bytes;
        buffered_bytes_ -= bytes;
        queue.dropped = 0;
    }
    return true;
}

void LogShipper::flush() {
    for (auto queue = queues_.begin(); queue != queues_.end();) {
        if (!send(*queue)) return timer_.start(kRetryInterval);
        if (queue->is_closed)
            queue = queues_.erase(queue);
        else
            ++queue;
    }
}

}  // namespace candela::host
