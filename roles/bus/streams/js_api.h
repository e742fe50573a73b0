#pragma once

// One request to "$JS.API.>": parsed, carried out, answered. Lives for the call; what has to wait
// for the disk is answered later by a callback of its own.

#include <string>
#include <string_view>
#include <vector>

#include "consumer_config.h"
#include "jetstream.h"

namespace candela::bus_role {

// Of the JetStream API (ADR-44): 1 came with nats-server 2.11.
inline constexpr uint64_t kApiLevel = 1;

class JsApi {
public:
    JsApi(JetStream& js, JsAccount& account, const Incoming& request);
    // The subject without "$JS.API.". What is unknown is not answered, as on nats-server; nor is
    // what has other tokens behind the verb than it takes.
    void run(std::string_view subject);

private:
    using Handler = void (JsApi::*)();
    struct Entry {
        std::string_view verb;
        Handler handler;
        std::string_view type;  // of the answer
        size_t tokens_min = 0;  // behind the verb
        size_t tokens_max = 0;
        bool takes_body = true;
    };
    static const Entry kEntries[];

    void account_info();
    void stream_create();
    void stream_update();
    void stream_info();
    void stream_delete();
    void stream_purge();
    void stream_names();
    void stream_list();
    void message_get();
    void message_delete();
    void direct_get();
    void consumer_create();
    void consumer_durable_create();
    void consumer_info();
    void consumer_delete();
    void consumer_names();
    void consumer_list();
    void consumer_next();
    void consumer_pause();
    void consumer_unpin();

    bool needs_newer_api() const;
    // Whether the stream has some subject of the pattern; any has that of an empty one.
    static bool has_subject(const DurableStream& stream, const std::string& subject);
    // Answers where it is no JSON object. Empty is as good as {} but where a body is needed.
    enum class Body : uint8_t { kOptional, kNeeded };
    bool parse_body(Body body = Body::kOptional);
    bool is_body_empty() const;
    DurableStream* stream();  // likewise where there is none
    Consumer* consumer();
    std::string token(size_t place) const {
        return place < tokens_.size() ? std::string(tokens_[place]) : std::string();
    }
    size_t offset() const;
    void refuse(const JsError& error);
    void respond(Json body);
    // Answers once it is durable.
    StreamLog::Done respond_later(Json body);

    JsResult<StreamConfig> stream_config();
    JsResult<void> check_among_others(const StreamConfig& config,
                                      const DurableStream* existing) const;
    // How the subject names the consumer: CREATE.<stream>, CREATE.<stream>.<consumer>[.<filter>],
    // DURABLE.CREATE.<stream>.<consumer>.
    enum class Naming : uint8_t { kNone, kName, kDurable };
    void make_consumer(Naming naming, const std::string& filter);
    void add_consumer(DurableStream& stream, ConsumerConfig config);
    void change_consumer(DurableStream& stream, Consumer& existing, ConsumerConfig config);
    JsResult<void> check_new(DurableStream& stream, const ConsumerConfig& config);
    JsResult<void> check_consumer_subject(Naming naming, const std::string& filter,
                                          ConsumerConfig& config) const;
    JsResult<void> check_consumer_name(ConsumerConfig& config);
    uint64_t find_message(StreamLog& log, const Json& body) const;
    void direct_reply(DurableStream& stream, uint64_t sequence);

    JetStream& js_;
    JsAccount& account_;
    const Incoming& request_;
    std::string_view type_;
    std::vector<std::string_view> tokens_;  // behind the verb
    std::unique_ptr<Json> body_;
};

}  // namespace candela::bus_role
