#include "jetstream.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "auth/permissions.h"
#include "base/text.h"
#include "bus/message.h"
#include "consumer.h"
#include "js_api.h"

namespace candela::bus_role {

namespace {

constexpr std::string_view kApiPrefix = "$JS.API.";
constexpr std::string_view kAckPrefix = "$JS.ACK.";
constexpr std::string_view kFlowPrefix = "$JS.FC.";
constexpr std::string_view kTypePrefix = "io.nats.jetstream.api.v1.";

}  // namespace

JsAccount::JsAccount(JetStream& js, std::string key) : js_(js), key_(std::move(key)) {}
// Streams that go look for their account by the key.
JsAccount::~JsAccount() { streams.clear(); }

Account* JsAccount::account() { return js_.server().accounts().find(key_); }

void JsAccount::attach(Account& account, bool is_new) {
    if (is_attached_ && !is_new) return;
    is_attached_ = true;
    for (const char* subject : {"$JS.API.>", "$JS.ACK.>", "$JS.FC.>"})
        account.add_service(subject, *this);
    for (const auto& [name, stream] : streams) stream->attach(&account);
}

void JsAccount::on_message(const Origin&, const Message& message) {
    Incoming incoming;
    incoming.account = key_;
    incoming.subject = std::string(message.subject);
    incoming.reply = std::string(message.reply);
    incoming.headers = std::string(message.headers());
    incoming.payload = std::string(message.payload());
    js_.enqueue(std::move(incoming));
}

DurableStream* JsAccount::find(std::string_view name) {
    const auto found = streams.find(name);
    return found == streams.end() ? nullptr : found->second.get();
}

DurableStream* JsAccount::find(uint64_t id) {
    DurableStream* found = js_.find(id);
    return found != nullptr && &found->account() == this ? found : nullptr;
}

bool JsAccount::overlaps(std::string_view pattern, const DurableStream* except) const {
    for (const auto& [name, stream] : streams) {
        if (stream.get() == except) continue;
        for (const std::string& subject : stream->config().subjects) {
            if (auth::patterns_overlap(subject, pattern)) return true;
        }
    }
    return false;
}

void JsAccount::set_followed(uint64_t stream, const std::vector<std::string>& names) {
    std::erase_if(followers_, [&](const auto& item) { return item.second == stream; });
    for (const std::string& name : names) followers_.emplace(name, stream);
}

void JsAccount::wake_followers(const std::string& name) {
    const auto [first, last] = followers_.equal_range(name);
    for (auto at = first; at != last; ++at) {
        if (DurableStream* stream = js_.find(at->second)) js_.wake(*stream);
    }
}

uint64_t JsAccount::stored_bytes(bool is_file) const {
    uint64_t out = 0;
    for (const auto& [name, stream] : streams) {
        if (stream->config().is_file != is_file) continue;
        out += stream->log().index().bytes() + stream->log().pending_bytes();
    }
    return out;
}

uint64_t JsAccount::reserved_bytes(bool is_file) const {
    uint64_t out = 0;
    for (const auto& [name, stream] : streams) {
        const StreamConfig& config = stream->config();
        if (config.is_file == is_file && config.bytes_max > 0) {
            out += static_cast<uint64_t>(config.bytes_max);
        }
    }
    return out;
}

JetStream::JetStream(Server& server, Store& store) : server_(server), store_(store) {
    recover();
    store_.start(*this);
    server_.on_account([this](Account& found) { take_account(found, true); });
    server_.on_account_changed([this](Account& found) { take_account(found, false); });
}

JetStream::~JetStream() {
    *alive_ = false;
    dead_consumers_.clear();
    dead_streams_.clear();
}

// Storage may come with a later JWT than the account's first.
void JetStream::take_account(Account& found, bool is_new) {
    const auth::AccountLimits& limits = found.claims.limits;
    const bool is_system = found.key() == server_.accounts().operator_claims().system_account;
    if (is_system || (limits.disk_storage == 0 && limits.memory_storage == 0)) return;
    account(found.key()).attach(found, is_new);
}

void JetStream::recover() {
    for (const auto& [id, log] : store_.logs()) {
        const Result<Json> blob = parse_json(log->blob());
        if (!blob || !blob->contains("config")) continue;
        const std::string name = json_string_or((*blob)["config"], "name");
        JsResult<StreamConfig> config = parse_stream_config((*blob)["config"], name);
        if (!config) {
            server_.log().error("stream_config_unreadable",
                                {{"stream", id}, {"error", config.error().text}});
            continue;
        }
        JsAccount& owner = account(json_string_or(*blob, "account"));
        auto stream = std::make_unique<DurableStream>(*this, owner, *log, std::move(*config),
                                                      json_int_or(*blob, "created", 0));
        by_id_[id] = stream.get();
        DurableStream& added = *stream;
        owner.streams[name] = std::move(stream);
        added.recover();
    }
}

JsAccount& JetStream::account(const std::string& key) {
    std::unique_ptr<JsAccount>& found = accounts_[key];
    if (found == nullptr) found = std::make_unique<JsAccount>(*this, key);
    return *found;
}

DurableStream* JetStream::find(uint64_t stream) {
    const auto found = by_id_.find(stream);
    return found == by_id_.end() ? nullptr : found->second;
}

size_t JetStream::stream_count() const {
    size_t out = 0;
    for (const auto& [key, owner] : accounts_) out += owner->streams.size();
    return out;
}

std::string JetStream::consumer_state(uint64_t stream, uint64_t consumer) {
    DurableStream* found = find(stream);
    if (found == nullptr) return {};
    if (consumer >= DurableStream::kReservedIds) return found->state_of(consumer);
    for (const auto& [name, item] : found->consumers) {
        if (item->id() == consumer) return item->state();
    }
    return {};
}

// --- Taking
// ---------------------------------------------------------------------------------------

void JetStream::enqueue(Incoming incoming) {
    incoming_.push_back(std::move(incoming));
    if (scheduled_) return;
    scheduled_ = true;
    server_.later([this, alive = alive_] {
        if (*alive) handle_all();
    });
}

void JetStream::handle_all() {
    scheduled_ = false;
    std::vector<Incoming> all;
    all.swap(incoming_);
    for (Incoming& incoming : all) handle(incoming);
}

void JetStream::handle(Incoming& incoming) {
    JsAccount& owner = account(incoming.account);
    if (incoming.stream != 0) {
        if (DurableStream* stream = owner.find(incoming.stream)) stream->take(incoming);
    } else if (incoming.subject.starts_with(kAckPrefix)) {
        handle_ack(owner, incoming);
    } else if (incoming.subject.starts_with(kFlowPrefix)) {
        handle_flow(owner, incoming);
    } else {
        JsApi(*this, owner, incoming)
            .run(std::string_view(incoming.subject).substr(kApiPrefix.size()));
    }
}

// $JS.ACK.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<ts>.<pending>, or, with nine tokens and
// more behind the prefix, with domain and account in front.
void JetStream::handle_ack(JsAccount& owner, Incoming& incoming) {
    std::vector<std::string_view> tokens = split(incoming.subject, '.');
    tokens.erase(tokens.begin(), tokens.begin() + 2);
    if (tokens.size() >= 9) tokens.erase(tokens.begin(), tokens.begin() + 2);
    if (tokens.size() < 7) return;
    DurableStream* stream = owner.find(tokens[0]);
    Consumer* consumer = stream == nullptr ? nullptr : stream->find_consumer(tokens[1]);
    const Result<uint64_t> delivery = parse_uint(tokens[2]);
    const Result<uint64_t> sequence = parse_uint(tokens[3]);
    if (consumer == nullptr || !delivery || !sequence) return;
    consumer->acknowledge(*sequence, *delivery, incoming.payload, incoming.reply);
}

// $JS.FC.<stream>.<consumer>.<token>
void JetStream::handle_flow(JsAccount& owner, const Incoming& incoming) {
    const std::vector<std::string_view> tokens = split(incoming.subject, '.');
    if (tokens.size() != 5) return;
    DurableStream* stream = owner.find(tokens[2]);
    Consumer* consumer = stream == nullptr ? nullptr : stream->find_consumer(tokens[3]);
    if (consumer != nullptr) consumer->on_flow(incoming.subject);
}

// --- Sending
// --------------------------------------------------------------------------------------

bool JetStream::send(JsAccount& owner, std::string_view subject, std::string_view reply,
                     std::string_view headers, std::string_view payload, std::string_view route,
                     size_t* backlog) {
    Account* found = owner.account();
    if (found == nullptr) return false;
    std::string body;
    body.reserve(headers.size() + payload.size() + 2);
    body += headers;
    body += payload;
    body += bus::kLineEnd;
    Message message;
    message.subject = subject;
    message.reply = reply;
    message.body = body;
    message.header_bytes = headers.size();
    return server_.publish_to(*found, route.empty() ? subject : route, message, backlog);
}

bool JetStream::has_interest(JsAccount& owner, std::string_view subject) {
    Account* found = owner.account();
    if (found == nullptr) return false;
    return server_.has_interest(*found, subject);
}

void JetStream::respond(JsAccount& owner, const std::string& reply, std::string_view type,
                        Json body) {
    body["type"] = std::string(kTypePrefix) + std::string(type);
    if (!reply.empty()) send(owner, reply, {}, {}, dump_json(body));
}

void JetStream::respond(JsAccount& owner, const std::string& reply, std::string_view type,
                        const JsError& error) {
    ++owner.api_errors;
    respond(owner, reply, type, Json({{"error", to_json(error)}}));
}

void JetStream::advise(JsAccount& owner, const std::string& subject, std::string_view type,
                       Json body) {
    publish_event(owner, subject, fmt::format("io.nats.jetstream.advisory.v1.{}", type),
                  std::move(body));
}

void JetStream::measure(JsAccount& owner, const std::string& subject, std::string_view type,
                        Json body) {
    publish_event(owner, subject, fmt::format("io.nats.jetstream.metric.v1.{}", type),
                  std::move(body));
}

void JetStream::advise_stream(JsAccount& owner, const std::string& name, const char* action) {
    const char* what = *action == 'c' ? "CREATED" : *action == 'd' ? "DELETED" : "UPDATED";
    advise(owner, fmt::format("$JS.EVENT.ADVISORY.STREAM.{}.{}", what, name), "stream_action",
           {{"stream", name}, {"action", action}});
}

void JetStream::advise_consumer(JsAccount& owner, const std::string& stream,
                                const std::string& name, const char* action) {
    const char* what = *action == 'c' ? "CREATED" : "DELETED";
    advise(owner, fmt::format("$JS.EVENT.ADVISORY.CONSUMER.{}.{}.{}", what, stream, name),
           "consumer_action", {{"stream", stream}, {"consumer", name}, {"action", action}});
}

void JetStream::publish_event(JsAccount& owner, const std::string& subject, const std::string& type,
                              Json body) {
    if (!has_interest(owner, subject)) return;
    body["type"] = type;
    body["id"] = random_name(22);
    body["timestamp"] = format_nanos(now());
    send(owner, subject, {}, {}, dump_json(body));
}

void JetStream::read(StreamLog& log, uint64_t sequence, MessageCallback callback, int tries) {
    const RecordPtr record = log.find(sequence) == nullptr ? nullptr : log.read(sequence);
    RecordView view;
    if (record != nullptr && decode_record(record->body, view)) {
        callback(&view);
        return;
    }
    if (log.find(sequence) == nullptr || tries == 0) {
        callback(nullptr);
        return;
    }
    log.load(sequence, [this, alive = alive_, id = log.id(), sequence, tries,
                        callback = std::move(callback)]() mutable {
        if (!*alive) return;
        StreamLog* again = store_.find(id);
        if (again == nullptr) {
            callback(nullptr);
        } else {
            read(*again, sequence, std::move(callback), tries - 1);
        }
    });
}

// --- Waking
// ---------------------------------------------------------------------------------------

void JetStream::wake(DurableStream& stream) {
    if (std::find(woken_.begin(), woken_.end(), stream.id()) != woken_.end()) return;
    woken_.push_back(stream.id());
    schedule_wake();
}

void JetStream::schedule_wake() {
    if (wake_scheduled_) return;
    wake_scheduled_ = true;
    server_.later([this, alive = alive_] {
        if (*alive) run_woken();
    });
}

void JetStream::run_woken() {
    wake_scheduled_ = false;
    for (const uint64_t id : std::exchange(woken_, {})) {
        if (DurableStream* found = find(id)) found->pump();
    }
    dead_consumers_.clear();
    dead_streams_.clear();
}

void JetStream::bury(std::unique_ptr<Consumer> consumer) {
    dead_consumers_.push_back(std::move(consumer));
    schedule_wake();
}

void JetStream::bury(std::unique_ptr<DurableStream> stream) {
    dead_streams_.push_back(std::move(stream));
    schedule_wake();
}

void JetStream::create_stream(JsAccount& owner, StreamConfig config, const std::string& reply) {
    const int64_t created = now();
    const std::string name = config.name;
    const bool is_file = config.is_file;
    auto done = [this, key = owner.key(), name, reply](const Result<>& result) {
        JsAccount& in = account(key);
        DurableStream* made = in.find(name);
        if (made == nullptr) return;
        if (result) {
            Json body = made->info(false, {}, 0);
            body["did_create"] = true;
            respond(in, reply, "stream_create_response", std::move(body));
            return;
        }
        drop_stream(in, *made, StreamLog::Done());
        respond(in, reply, "stream_create_response",
                js_errors::store_failed(result.error().message()));
    };
    StreamLog& log = store_.create(DurableStream::encode_blob(owner.key(), created, config),
                                   is_file, std::move(done));
    auto stream = std::make_unique<DurableStream>(*this, owner, log, std::move(config), created);
    by_id_[log.id()] = stream.get();
    DurableStream& made = *stream;
    owner.streams[name] = std::move(stream);
    made.start();
    owner.wake_followers(name);
    advise_stream(owner, name, "create");
}

void JetStream::drop_stream(JsAccount& owner, DurableStream& stream, StreamLog::Done done) {
    for (const auto& [name, consumer] : stream.consumers) consumer->end("409 Stream Deleted");
    stream.stop();
    advise_stream(owner, stream.config().name, "delete");
    stream.log().set_observer(nullptr);
    by_id_.erase(stream.id());
    auto node = owner.streams.extract(stream.config().name);
    // Its log goes at once: nothing of the stream may use it from here on.
    StreamLog& log = stream.log();
    dead_streams_.push_back(std::move(node.mapped()));
    schedule_wake();
    store_.drop(log, std::move(done));
}

std::string JetStream::random_name(size_t length) {
    static constexpr std::string_view kLetters =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::string out;
    for (size_t i = 0; i < length; ++i) out += kLetters[loop().random().below(kLetters.size())];
    return out;
}

}  // namespace candela::bus_role
