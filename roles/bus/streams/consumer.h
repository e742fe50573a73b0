#pragma once

// One consumer of a stream: where it is, what it has handed out and not heard of, and to whom the
// next goes (pull requests, or a subject). Owned by its stream; control loop.

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "consumer_config.h"
#include "durable_stream.h"

namespace candela::bus_role {

class Consumer {
public:
    Consumer(DurableStream& stream, ConsumerConfig config, int64_t created, uint64_t id);
    ~Consumer();

    const ConsumerConfig& config() const { return config_; }
    const std::string& name() const { return config_.name; }
    uint64_t id() const { return id_; }
    bool is_durable() const { return !config_.in_memory && stream_.log().is_durable(); }
    std::string encode_blob() const;

    // Where a new one begins.
    void begin();
    std::string state() const;
    void recover(std::string_view state, const std::vector<std::string>& changes);
    void update(ConsumerConfig config);

    void on_appended(const IndexEntry& entry);
    void on_removed(const IndexEntry& entry);
    bool matches(const IndexEntry& entry) const;
    bool matches_subject(std::string_view subject) const;
    // Not acknowledged, or not even delivered.
    bool needs(const IndexEntry& entry) const;

    void request(const std::string& reply, const std::string& body);
    void acknowledge(uint64_t sequence, uint64_t delivery, std::string_view payload,
                     const std::string& reply);
    void on_flow(std::string_view subject);
    void pump();
    // Tells those who wait, before the consumer goes.
    void end(std::string_view status);
    bool is_active();
    // Hands out nothing until then (ns since 1970); 0 or the past: goes on.
    void pause(int64_t until, std::string text);
    bool is_paused() const;
    // Another client may take the place of the one that is served alone.
    void unpin(const char* reason);

    Json info();

private:
    struct Pending {
        uint64_t consumer_sequence = 0;
        int64_t deadline = 0;      // of the ack; 0: waits for redelivery
        int64_t delivered_at = 0;  // mono ns; 0: before a restart
    };
    struct Request {
        std::string reply;
        int64_t left = 1;
        int64_t bytes_left = 0;  // 0: no limit
        bool has_bytes = false;
        bool no_wait = false;
        int64_t expires = 0;  // mono ns; 0: never
        int64_t heartbeat = 0;
        int64_t next_heartbeat = 0;
        uint64_t delivered = 0;
        // Of a priority group.
        int64_t waiting_min = 0;
        int64_t unacknowledged_min = 0;
        int64_t priority = 0;
        std::string pin;
    };
    enum class Next : uint8_t { kFound, kNone, kLoading };

    int64_t mono() const;
    void recount();
    // The first message at or after the sequence that passes the filters.
    const IndexEntry* next_match(uint64_t sequence);
    Next find_next(uint64_t& sequence, bool& is_redelivery);
    bool can_deliver();
    bool is_held_back(int64_t now);
    bool is_due(uint64_t sequence, int64_t now);
    static bool read_request(const std::string& body, Request& out, int64_t& expires,
                             std::string& group);
    void queue_request(Request request);
    Request* next_request();
    const char* check_group(const std::string& group, const Request& request);
    bool is_eligible(const Request& request) const;
    void pin_to(Request& request);
    void check_pin(int64_t now);
    Json group_info() const;
    void drop_requests_without_interest();
    void wait_for_relief();
    bool deliver_one();
    bool deliver(const RecordView& view, uint64_t sequence, bool is_redelivery);
    bool deliver_pull(std::string_view subject, const std::string& ack, std::string_view headers,
                      std::string_view payload);
    bool deliver_push(std::string_view subject, const std::string& ack, std::string_view headers,
                      std::string_view payload);
    void note_delivered(uint64_t sequence, const RecordView& view, bool is_redelivery);
    void finish_no_wait();
    void send_status(const std::string& to, std::string_view status, std::string_view extra = {},
                     std::string_view reply = {});
    std::string pending_headers(const Request& request) const;
    void send_flow_request();
    std::string heartbeat_headers() const;

    void refuse(uint64_t sequence, uint64_t delivery, std::string_view rest);
    void settle(uint64_t sequence, bool apply_to_stream);
    void give_up(uint64_t sequence, uint64_t deliveries);
    void answer_ack(const std::string& reply);
    void note_behind_advisory(std::string change, const std::string& reply);
    bool keeps_for_dead_letter() const;
    void move_floor();
    void redeliver(uint64_t sequence, int64_t delay);
    void note_change(std::string_view change);
    void flush_changes(StreamLog::Done done);
    void apply_change(std::string_view line);
    void load_state(std::string_view state);
    void on_timer();
    void check_deadlines(int64_t now);
    void check_requests(int64_t now);
    void check_idle(int64_t now);
    void check_pause();
    void advise_pause();
    void arm();
    int64_t ack_wait_of(uint64_t deliveries) const;
    uint64_t deliveries_of(uint64_t sequence) const;
    std::string advisory_subject(std::string_view what) const;
    void advise_terminated(uint64_t sequence, uint64_t delivery, std::string_view reason);
    void measure_ack(uint64_t sequence, uint64_t delivery);

    // What a limited rate may be ahead of itself.
    static constexpr int64_t kRateBurst = 10'000'000;
    static constexpr int64_t kDelayMax = 365LL * 24 * 3600 * 1'000'000'000;

    DurableStream& stream_;
    JetStream& js_;
    ConsumerConfig config_;
    const int64_t created_;
    const uint64_t id_;

    uint64_t next_ = 1;               // stream sequence that is looked at next
    std::set<uint64_t> first_ones_;   // last per subject: handed out before the rest
    uint64_t consumer_sequence_ = 0;  // given last
    uint64_t stream_sequence_ = 0;    // delivered last
    uint64_t floor_consumer_ = 0;
    uint64_t floor_stream_ = 0;
    uint64_t waiting_messages_ = 0;        // not delivered yet
    std::map<uint64_t, Pending> pending_;  // by stream sequence
    std::set<std::pair<int64_t, uint64_t>> deadlines_;
    std::unordered_map<uint64_t, uint64_t> deliveries_;  // of those delivered more than once
    std::set<uint64_t> again_;                           // to be redelivered
    std::deque<Request> requests_;
    bool is_loading_ = false;
    bool waits_for_relief_ = false;
    int64_t unreadable_until_ = 0;  // mono ns: the disk is asked again then
    bool is_ended_ = false;

    // Push.
    bool has_listener_ = false;
    uint64_t flow_bytes_ = 0;  // sent and not confirmed
    uint64_t flow_window_ = 2 * 1024 * 1024;
    uint64_t flow_requested_bytes_ = 0;
    std::string flow_subject_;  // of the request that is out
    int64_t last_sent_ = 0;
    int64_t rate_free_at_ = 0;  // mono ns

    // Replay at the pace at which it was published.
    bool is_replaying_ = false;
    int64_t replayed_at_ = 0;  // mono ns; 0: nothing yet
    int64_t replayed_timestamp_ = 0;
    int64_t replay_due_ = 0;

    std::string pin_;  // of the client that is served alone; empty: none
    int64_t pinned_time_ = 0;
    int64_t pin_used_at_ = 0;

    bool was_paused_ = false;
    int64_t delivered_at_ = 0;
    int64_t last_active_ = 0;
    std::string changes_;  // not handed to the store yet
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    Timer timer_;
};

// A header block with one more header.
std::string with_header(std::string_view headers, std::string_view key, std::string_view value);

}  // namespace candela::bus_role
