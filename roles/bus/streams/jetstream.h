#pragma once

// Durable streams in the form of the JetStream API, for every account that has storage:
// "$JS.API.>", acks, and what is published to the streams' subjects. Requests are taken while a
// message is routed, and handled at the end of the round. Control loop. Source: nats-server's
// server/jetstream_api.go in behaviour, ADR-1, 8, 13, 20, 31, 37.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server.h"
#include "store.h"
#include "stream_config.h"

namespace candela::bus_role {

class Consumer;
class DurableStream;
class JetStream;

// A message on its way to a stream, or a request.
struct Incoming {
    std::string account;
    uint64_t stream = 0;  // 0: for the API, or an ack
    std::string subject;
    std::string reply;
    std::string headers;
    std::string payload;
};

// One account's streams. Stays where it is, also while the account is gone from the bus.
class JsAccount final : public Service {
public:
    JsAccount(JetStream& js, std::string key);
    ~JsAccount();

    void on_message(const Origin& from, const Message& message) override;
    // The account is on the bus, again where it is new: hears its subjects there.
    void attach(Account& account, bool is_new);

    const std::string& key() const { return key_; }
    Account* account();
    DurableStream* find(std::string_view name);
    DurableStream* find(uint64_t id);
    // Whether some subject of the pattern belongs to a stream other than `except`.
    bool overlaps(std::string_view pattern, const DurableStream* except) const;
    uint64_t stored_bytes(bool is_file) const;
    // What its streams may grow to, where they say so.
    uint64_t reserved_bytes(bool is_file) const;
    // The stream copies from those of these names, and is woken when one of them has something new.
    void set_followed(uint64_t stream, const std::vector<std::string>& names);
    void wake_followers(const std::string& name);

    std::map<std::string, std::unique_ptr<DurableStream>, std::less<>> streams;
    uint64_t api_requests = 0;
    uint64_t api_errors = 0;

private:
    JetStream& js_;
    const std::string key_;
    bool is_attached_ = false;
    std::multimap<std::string, uint64_t> followers_;
};

class JetStream final : public ConsumerStates {
public:
    JetStream(Server& server, Store& store);
    ~JetStream();
    JetStream(const JetStream&) = delete;
    JetStream& operator=(const JetStream&) = delete;

    Server& server() { return server_; }
    Store& store() { return store_; }
    Loop& loop() { return server_.loop(); }
    int64_t now() { return loop().wall().time_since_epoch().count(); }  // ns since 1970

    void enqueue(Incoming incoming);
    // Publishes in the account; `route` is whom it is for where that is not the subject. False:
    // nobody was there. `backlog`: what waits for the slowest of them.
    bool send(JsAccount& account, std::string_view subject, std::string_view reply,
              std::string_view headers, std::string_view payload, std::string_view route = {},
              size_t* backlog = nullptr);
    bool has_interest(JsAccount& account, std::string_view subject);
    void respond(JsAccount& account, const std::string& reply, std::string_view type, Json body);
    void respond(JsAccount& account, const std::string& reply, std::string_view type,
                 const JsError& error);
    void advise(JsAccount& account, const std::string& subject, std::string_view type, Json body);
    void measure(JsAccount& account, const std::string& subject, std::string_view type, Json body);
    // "create", "update" or "delete".
    void advise_stream(JsAccount& account, const std::string& name, const char* action);
    void advise_consumer(JsAccount& account, const std::string& stream, const std::string& name,
                         const char* action);

    // Calls back with the message, now or later; with null where it is not there (any more).
    using MessageCallback = std::function<void(const RecordView*)>;
    void read(StreamLog& log, uint64_t sequence, MessageCallback callback, int tries = 5);

    // Has the stream hand out what is new, at the end of the round.
    void wake(DurableStream& stream);
    // Destroys it at the end of the round: its own code may be running.
    void bury(std::unique_ptr<Consumer> consumer);
    void bury(std::unique_ptr<DurableStream> stream);
    std::string random_name(size_t length);
    // Answers once it is durable.
    void create_stream(JsAccount& account, StreamConfig config, const std::string& reply);
    void drop_stream(JsAccount& account, DurableStream& stream, StreamLog::Done done);
    JsAccount& account(const std::string& key);
    DurableStream* find(uint64_t stream);

    std::string consumer_state(uint64_t stream, uint64_t consumer) override;
    size_t stream_count() const;
    const std::map<std::string, std::unique_ptr<JsAccount>>& accounts() const { return accounts_; }

private:
    friend class JsApi;
    void take_account(Account& account, bool is_new);
    void recover();
    void publish_event(JsAccount& account, const std::string& subject, const std::string& type,
                       Json body);
    void handle_all();
    void handle(Incoming& incoming);
    void handle_ack(JsAccount& account, Incoming& incoming);
    void handle_flow(JsAccount& account, const Incoming& incoming);

    Server& server_;
    Store& store_;
    std::map<std::string, std::unique_ptr<JsAccount>> accounts_;
    std::map<uint64_t, DurableStream*> by_id_;
    std::vector<Incoming> incoming_;
    bool scheduled_ = false;
    std::vector<uint64_t> woken_;
    std::vector<std::unique_ptr<Consumer>> dead_consumers_;
    std::vector<std::unique_ptr<DurableStream>> dead_streams_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    bool wake_scheduled_ = false;
    void schedule_wake();
    void run_woken();
};

}  // namespace candela::bus_role
