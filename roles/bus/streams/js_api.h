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
    // The subject without "$JS.API.". What is unknown is not answered, as on nats-server.
    void run(std::string_view subject);

private:
    using Handler = void (JsApi::*)();
    struct Entry {
        std::string_view verb;
        Handler handler;
        std::string_view type;  // of the answer
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
    bool parse_body();        // answers where it is no JSON
    DurableStream* stream();  // likewise where there is none
    Consumer* consumer();
    std::string token(size_t place) const {
        return place < tokens_.size() ? std::string(tokens_[place]) : std::string();
    }
    uint64_t offset() const;
    void refuse(const JsError& error);
    void respond(Json body);
    // Answers once it is durable.
    StreamLog::Done respond_later(Json body);

    JsResult<StreamConfig> stream_config();
    JsResult<void> check_among_others(const StreamConfig& config,
                                      const DurableStream* existing) const;
    void make_consumer(const std::string& stream_name, const std::string& name, bool is_durable,
                       const std::string& filter);
    void add_consumer(DurableStream& stream, ConsumerConfig config);
    void change_consumer(DurableStream& stream, Consumer& existing, ConsumerConfig config);
    JsResult<void> check_new(DurableStream& stream, const ConsumerConfig& config);
    JsResult<ConsumerConfig> consumer_config(const std::string& name, bool is_durable,
                                             const std::string& filter);
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
