#pragma once

// One stream: checks what is published to its subjects, has it stored, acknowledges it once it is
// durable, and lets its consumers know. Owned by its JsAccount; control loop.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "consumer_config.h"
#include "jetstream.h"
#include "stream_clock.h"
#include "stream_sources.h"
#include "subject_transform.h"

namespace candela::bus_role {

class DurableStream final : public Service, public LogObserver {
public:
    DurableStream(JetStream& js, JsAccount& account, StreamLog& log, StreamConfig config,
                  int64_t created);
    ~DurableStream();

    static std::string encode_blob(std::string_view account, int64_t created,
                                   const StreamConfig& config);

    JetStream& js() { return js_; }
    JsAccount& account() { return account_; }
    StreamLog& log() { return log_; }
    const StreamConfig& config() const { return config_; }
    uint64_t id() const { return log_.id(); }
    int64_t created() const { return created_; }

    void attach(Account* account);  // null: takes its subscriptions off
    void update(StreamConfig config, StreamLog::Done done);
    // It was made just now, or found: begins to copy from other streams.
    void start();
    // Its log is about to go.
    void stop();
    // Whether it keeps what is published to the subject.
    bool takes(std::string_view subject) const;
    // Consumers with their state, and the ids of recent messages.
    void recover();

    void on_message(const Origin& from, const Message& message) override;
    void take(Incoming& incoming);
    void on_appended(const IndexEntry& entry) override;
    void on_removed(const IndexEntry& entry) override;
    void on_lost(uint64_t sequence) override;
    void pump();

    Json info(bool with_deleted, std::string_view subjects_filter, uint64_t offset);

    Consumer* find_consumer(std::string_view name);
    Consumer& add_consumer(ConsumerConfig config, int64_t created, uint64_t id);
    void remove_consumer(Consumer& consumer, StreamLog::Done done);
    // No consumer needs the message any more, or one has done with it (work queue).
    void on_done(uint64_t sequence);
    // Takes out what nobody needs any more, at once rather than at the end of the round.
    void flush_done();
    void purge(const std::vector<uint64_t>& sequences, StreamLog::Done done) {
        log_.remove(sequences, std::move(done));
    }

    // What was copied from another stream. The first refuses, for now, where there is no room.
    JsResult<void> append_copy(const Incoming& copy, StreamLog::Done done);
    void append_mirrored(const Incoming& copy, uint64_t sequence, int64_t timestamp,
                         StreamLog::Done done);

    // What else is kept besides messages and consumers, under the ids of consumers that there are
    // never so many of.
    static constexpr uint64_t kReservedIds = UINT64_MAX - 15;
    static constexpr uint64_t kSourcesState = kReservedIds;
    static constexpr uint64_t kClockState = kReservedIds + 1;
    std::string state_of(uint64_t id) const;

    std::map<std::string, std::unique_ptr<Consumer>, std::less<>> consumers;
    uint64_t next_consumer_id = 1;

private:
    struct Checked {
        Rollup rollup = Rollup::kNone;
        std::string_view id;
    };
    JsResult<Checked> check(const Incoming& incoming);
    JsResult<void> check_expected(const Incoming& incoming);
    JsResult<void> check_room(const Incoming& incoming);
    void apply_limits();
    void on_age_timer();
    void answer(const std::string& reply, uint64_t sequence, bool is_duplicate);
    void answer(const std::string& reply, const JsError& error);
    void remember(std::string_view id, uint64_t sequence, int64_t timestamp);
    void forget_old_ids(int64_t now);
    bool is_needed(uint64_t sequence);
    void recover_messages(uint64_t sequence, int64_t ids_since);
    void load_to_recover(uint64_t sequence, int64_t ids_since);
    void configure();
    void keep_states();
    void note_content(const IndexEntry& entry);
    void republish_all();

    JetStream& js_;
    JsAccount& account_;
    StreamLog& log_;
    StreamConfig config_;
    const int64_t created_;
    Account* attached_ = nullptr;
    std::vector<std::unique_ptr<Subscription>> subscriptions_;

    std::unordered_map<std::string, uint64_t> ids_;  // of messages in the duplicate window
    std::deque<std::pair<int64_t, std::string>> ids_by_age_;
    std::string last_id_;
    bool is_recovering_ = false;
    std::vector<Incoming> held_;      // published while the ids are being read
    std::vector<uint64_t> appended_;  // to be looked at by interest retention
    std::vector<uint64_t> done_;      // to be removed
    bool has_news_ = false;           // for those who copy from this one

    StreamClock clock_;
    StreamSources sources_;
    std::optional<SubjectTransform> transform_;
    std::optional<SubjectTransform> republish_;
    struct Republished {
        RecordPtr record;
        uint64_t last_of_subject = 0;  // the message before
    };
    std::vector<Republished> republished_;  // to be sent at the end of the round
    std::pair<uint64_t, int64_t> reread_;   // what could not be read at the start
    Timer reread_timer_;
    Timer age_timer_;
};

}  // namespace candela::bus_role
