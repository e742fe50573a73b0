#pragma once

// One stream: checks what is published to its subjects, has it stored, acknowledges it once it is
// durable, and lets its consumers know. Owned by its JsAccount; control loop.

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "jetstream.h"

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
    void purge(const std::vector<uint64_t>& sequences, StreamLog::Done done) {
        log_.remove(sequences, std::move(done));
    }

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
    void recover_ids(uint64_t sequence);

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
    Timer age_timer_;
};

}  // namespace candela::bus_role
