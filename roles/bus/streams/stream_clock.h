#pragma once

// What a stream's messages do at a time of their own: they expire (by the stream's age or by
// "Nats-TTL", ADR-43), perhaps leaving a marker behind, and schedules publish (ADR-51). What it
// knows follows from the messages; a checkpoint holds it, so that not every message has to be read
// at the next start. Part of its DurableStream; control loop.

#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "loop/loop.h"
#include "message_times.h"
#include "stream_config.h"
#include "stream_log.h"

namespace candela::bus_role {

class DurableStream;

class StreamClock {
public:
    // Messages that may be handled in one go.
    static constexpr size_t kPerTurn = 1000;

    explicit StreamClock(DurableStream& stream);
    ~StreamClock();

    // Whether the headers of what is published ask for something that is allowed and makes sense.
    // `is_schedule`: it takes the place of an earlier schedule of its subject.
    JsResult<void> check(std::string_view subject, std::string_view headers,
                         bool& is_schedule) const;

    void on_appended(uint64_t sequence, const RecordView& view);
    void on_removed(uint64_t sequence);
    // Does what is due; not from within the log's callbacks.
    void run();

    // What a checkpoint keeps, and what is taken from it: up to which message it knows. 0: none.
    std::string state() const;
    uint64_t load(std::string_view state);
    // Nothing happens before: the messages behind that are told of first.
    void start();
    // The log is about to go.
    void stop();

private:
    void note_published_by_schedule(uint64_t sequence, const RecordView& view);
    void expire_by_age(int64_t now, std::vector<uint64_t>& gone);
    void expire_one(uint64_t sequence, std::vector<uint64_t>& gone);
    void place_marker(uint64_t sequence);
    void append_marker(const RecordView& view);
    void fire(uint64_t sequence);
    void publish(uint64_t schedule, const RecordView& view);
    void publish_from(uint64_t schedule, std::string subject, std::string headers,
                      std::string payload, std::string_view source);
    void append(uint64_t schedule, const std::string& subject, const std::string& headers,
                const std::string& payload);
    void retry_schedule(uint64_t sequence);
    void arm();

    DurableStream& stream_;
    StreamLog& log_;
    MessageTimes expiries_;
    MessageTimes schedules_;
    std::set<uint64_t> lasting_;  // "never": age does not end them
    std::set<uint64_t> busy_;     // a marker takes their place
    std::vector<uint64_t> done_;  // schedules that were for once
    bool is_started_ = false;
    Timer timer_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candela::bus_role
