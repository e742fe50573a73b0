#include "bus/dead_letters.h"

#include <array>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "bus/js_api.h"
#include "bus/subject.h"

namespace candela::bus {

namespace {

constexpr Duration kAnswer = 10s;
constexpr Duration kWait = 30s;  // for an advisory
constexpr Duration kScan = 60s;  // between looks for consumers that want a dead letter
constexpr Duration kRetry = 2s;
constexpr Duration kAckWait = 60s;
constexpr size_t kHandedOutMax = 16;  // one is asked for at a time
constexpr std::string_view kLater = "-NAK {\"delay\": 5000000000}";

int64_t nanos(Duration duration) { return duration.count(); }

std::string target_of(const Json& consumer) {
    const Json none = Json::object();
    return json_string_or(consumer.value("config", none).value("metadata", none), kDeadLetterKey);
}

// What of the message's own headers would mean something to the stream that keeps it now.
bool is_for_stream(std::string_view line) {
    static constexpr std::array<std::string_view, 5> kMeant{
        "nats-msg-id", "nats-rollup", "nats-ttl", "nats-expected-", "nats-schedule"};
    const std::string key = ascii_lower(line.substr(0, line.find(':')));
    for (const std::string_view prefix : kMeant) {
        if (key.starts_with(prefix)) return true;
    }
    return false;
}

void copy_headers(std::string_view block, HeaderBuilder& out) {
    for (std::string_view line : split(block, '\n')) {
        if (line.ends_with('\r')) line.remove_suffix(1);
        const auto pair = split_once(line, ':');
        if (pair && !is_for_stream(line)) out.add(trim(pair->first), trim(pair->second));
    }
}

std::string decoded(const Json& message, std::string_view key) {
    const auto bytes = base64_decode(json_string_or(message, key));
    return bytes ? *bytes : std::string();
}

}  // namespace

DeadLetters::DeadLetters(Client& client, Logger log)
    : client_(client), log_(std::move(log)), inbox_(client.new_inbox()) {
    auto creations = client_.subscribe("$JS.EVENT.ADVISORY.CONSUMER.CREATED.>",
                                       [this](const MessageView&) { created_.set(); });
    if (creations) creations_ = std::move(*creations);
    auto handed_out = client_.subscribe(inbox_, [this](const MessageView& view) {
        if (handed_out_.size() == kHandedOutMax) handed_out_.pop_front();
        handed_out_.emplace_back(view);
        has_some_.set();
    });
    if (handed_out) inbox_subscription_ = std::move(*handed_out);
    flows_.spawn(run());
}

DeadLetters::~DeadLetters() = default;

Task<void> DeadLetters::run() {
    for (;;) {
        Result<> result = co_await wait_for_work();
        if (result) result = co_await make_queue();
        while (result) result = co_await move_next();
        const Error& error = result.error();
        if (error.code() != Code::kUnreachable && error.code() != Code::kTimeout) {
            log_.warn("dead_letters_wait", {{"error", error}});
        }
        co_await sleep_for(client_.loop(), kRetry);
    }
}

Task<Result<Json>> DeadLetters::api(std::string verb, Json body) {
    return js_request(client_, std::move(verb), std::move(body));
}

// Returns once some consumer wants a dead letter.
Task<Result<>> DeadLetters::wait_for_work() {
    for (;;) {
        created_.reset();
        auto wanted = co_await is_wanted();
        if (!wanted) co_return fail(wanted.error());
        if (*wanted) co_return Result<>();
        auto wait = [](Event* event) -> Task<Result<>> {
            co_await event->wait();
            co_return Result<>();
        };
        auto waiting = wait(&created_);
        // Consumers that were changed are not told of.
        (void)co_await with_timeout(client_.loop(), kScan, "consumers", std::move(waiting));
    }
}

Task<Result<bool>> DeadLetters::is_wanted() {
    uint64_t offset = 0;
    for (;;) {
        Json page = {{"offset", offset}};
        auto names = co_await api("STREAM.NAMES", std::move(page));
        if (!names) co_return fail(names.error());
        if (js_error_code(*names) != 0) co_return fail(js_error(*names));
        const Json none = Json::array();
        const Json streams = names->value("streams", none);
        if (!streams.is_array() || streams.empty()) co_return false;
        for (size_t i = 0; i < streams.size(); ++i) {
            if (!streams[i].is_string()) continue;
            std::string name = streams[i].get<std::string>();
            if (name == kStream) co_return true;
            auto has = co_await has_dead_letter(std::move(name));
            if (!has) co_return fail(has.error());
            if (*has) co_return true;
        }
        offset += streams.size();
        if (offset >= static_cast<uint64_t>(json_int_or(*names, "total", 0))) co_return false;
    }
}

Task<Result<bool>> DeadLetters::has_dead_letter(std::string stream) {
    uint64_t offset = 0;
    for (;;) {
        Json page = {{"offset", offset}};
        auto list = co_await api("CONSUMER.LIST." + stream, std::move(page));
        if (!list) co_return fail(list.error());
        const Json none = Json::array();
        const Json consumers = list->value("consumers", none);
        // A stream that is gone by now has none.
        if (!consumers.is_array() || consumers.empty()) co_return false;
        for (const Json& consumer : consumers) {
            if (!target_of(consumer).empty()) co_return true;
        }
        offset += consumers.size();
        if (offset >= static_cast<uint64_t>(json_int_or(*list, "total", 0))) co_return false;
    }
}

Task<Result<>> DeadLetters::make_queue() {
    Json stream = Json::object();
    stream["name"] = std::string(kStream);
    stream["description"] = "Messages that consumers gave up and that are to be moved";
    stream["subjects"] = Json::array({"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",
                                      "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>"});
    stream["retention"] = "workqueue";
    stream["storage"] = "file";
    stream["max_msg_size"] = 65536;
    auto made = co_await api("STREAM.CREATE." + std::string(kStream), std::move(stream));
    if (!made) co_return fail(made.error());
    constexpr int kInUse = 10058;  // with a configuration that somebody has changed
    const int stream_error = js_error_code(*made);
    if (stream_error != 0 && stream_error != kInUse) co_return fail(js_error(*made));
    Json config = Json::object();
    config["durable_name"] = std::string(kConsumer);
    config["ack_policy"] = "explicit";
    config["ack_wait"] = nanos(kAckWait);
    Json body = Json::object();
    body["stream_name"] = std::string(kStream);
    body["config"] = std::move(config);
    std::string verb = fmt::format("CONSUMER.DURABLE.CREATE.{}.{}", kStream, kConsumer);
    auto consumer = co_await api(std::move(verb), std::move(body));
    if (!consumer) co_return fail(consumer.error());
    if (js_error_code(*consumer) != 0) co_return fail(js_error(*consumer));
    co_return Result<>();
}

Task<Result<OwnedMessage>> DeadLetters::next_handed_out() {
    if (handed_out_.empty()) {
        has_some_.reset();
        const Json body = {{"batch", 1}, {"expires", nanos(kWait)}};
        PublishOptions options;
        options.reply = inbox_;
        const std::string subject =
            fmt::format("$JS.API.CONSUMER.MSG.NEXT.{}.{}", kStream, kConsumer);
        CO_TRY(client_.publish(subject, dump_json(body), options));
        auto wait = [](Event* event) -> Task<Result<>> {
            co_await event->wait();
            co_return Result<>();
        };
        auto waiting = wait(&has_some_);
        CO_TRY(co_await with_timeout(client_.loop(), kWait + kAnswer, "the queue of dead letters",
                                     std::move(waiting)));
    }
    OwnedMessage out = std::move(handed_out_.front());
    handed_out_.pop_front();
    co_return out;
}

// One advisory, or none within the time.
Task<Result<>> DeadLetters::move_next() {
    auto found = co_await next_handed_out();
    if (!found) co_return fail(found.error());
    const int status = header_status(found->headers);
    if (status == 408 || status == 404) co_return Result<>();
    if (status != 0) co_return fail(Code::kInternal, "the queue of dead letters: {}", status);
    Advisory advisory;
    if (const Result<Json> json = parse_json(found->payload)) {
        advisory.stream = json_string_or(*json, "stream");
        advisory.consumer = json_string_or(*json, "consumer");
        advisory.sequence = static_cast<uint64_t>(json_int_or(*json, "stream_seq", 0));
        advisory.deliveries = static_cast<uint64_t>(json_int_or(*json, "deliveries", 0));
        const bool is_terminated = json_string_or(*json, "type").ends_with("terminated");
        advisory.reason =
            json_string_or(*json, "reason", is_terminated ? "terminated" : "max deliveries");
    }
    Outcome outcome = Outcome::kDone;
    const bool is_one = !advisory.stream.empty() && !advisory.consumer.empty();
    if (is_one) {
        auto moved = co_await move(std::move(advisory));
        if (!moved) co_return fail(moved.error());
        outcome = *moved;
    }
    std::string word = outcome == Outcome::kDone ? "+ACK" : std::string(kLater);
    std::string ack = found->reply;
    auto acked = co_await client_.request(std::move(ack), std::move(word), kAnswer);
    if (!acked) co_return fail(acked.error());
    co_return Result<>();
}

Task<Result<DeadLetters::Outcome>> DeadLetters::move(Advisory advisory) {
    Json nothing = Json::object();
    std::string verb = fmt::format("CONSUMER.INFO.{}.{}", advisory.stream, advisory.consumer);
    auto consumer = co_await api(std::move(verb), std::move(nothing));
    if (!consumer) co_return fail(consumer.error());
    const std::string target = target_of(*consumer);
    if (target.empty()) co_return Outcome::kDone;
    if (!is_valid_subject(target)) {
        log_.warn(
            "dead_letter_target_invalid",
            {{"stream", advisory.stream}, {"consumer", advisory.consumer}, {"target", target}});
        co_return Outcome::kDone;
    }
    Json which = {{"seq", advisory.sequence}};
    auto got = co_await api("STREAM.MSG.GET." + advisory.stream, std::move(which));
    if (!got) co_return fail(got.error());
    if (js_error_code(*got) != 0 || !got->contains("message")) {
        log_.warn("dead_letter_gone", {{"stream", advisory.stream},
                                       {"sequence", advisory.sequence},
                                       {"error", js_error(*got)}});
        co_return Outcome::kDone;
    }
    Json message = (*got)["message"];
    auto published = co_await publish(advisory, target, std::move(message));
    if (!published || *published == Outcome::kLater) co_return published;
    Result<> removed = co_await remove_original(std::move(advisory));
    if (!removed) co_return fail(removed.error());
    co_return Outcome::kDone;
}

Task<Result<DeadLetters::Outcome>> DeadLetters::publish(Advisory advisory, std::string target,
                                                        Json message) {
    HeaderBuilder headers;
    copy_headers(decoded(message, "hdrs"), headers);
    headers.add("Nats-Dead-Letter-Stream", advisory.stream)
        .add("Nats-Dead-Letter-Subject", json_string_or(message, "subject"))
        .add("Nats-Dead-Letter-Sequence", std::to_string(advisory.sequence))
        .add("Nats-Dead-Letter-Time", json_string_or(message, "time"))
        .add("Nats-Dead-Letter-Consumer", advisory.consumer)
        .add("Nats-Dead-Letter-Deliveries", std::to_string(advisory.deliveries))
        .add("Nats-Dead-Letter-Reason", advisory.reason)
        .add("Nats-Msg-Id", fmt::format("dead-letter.{}.{}.{}", advisory.stream, advisory.consumer,
                                        advisory.sequence));
    std::string payload = decoded(message, "data");
    std::string text = headers.text();
    std::string subject = target;
    auto answer =
        co_await client_.request(std::move(subject), std::move(payload), kAnswer, std::move(text));
    if (!answer && answer.error().code() == Code::kTimeout) co_return fail(answer.error());
    std::string why;
    if (!answer) {
        why = "no stream keeps that subject";
    } else {
        const Result<Json> ack = parse_json(answer->payload);
        if (!ack || !ack->contains("seq") || js_error_code(*ack) != 0) {
            why = ack && ack->contains("error") ? js_error(*ack).message() : "no stream answered";
        }
    }
    if (!why.empty()) {
        log_.warn("dead_letter_not_kept",
                  {{"stream", advisory.stream}, {"target", target}, {"reason", why}});
        co_return Outcome::kLater;
    }
    ++moved_;
    co_return Outcome::kDone;
}

// A work queue's message is in one place only.
Task<Result<>> DeadLetters::remove_original(Advisory advisory) {
    Json nothing = Json::object();
    auto info = co_await api("STREAM.INFO." + advisory.stream, std::move(nothing));
    if (!info) co_return fail(info.error());
    Json none = Json::object();
    if (json_string_or(info->value("config", none), "retention") != "workqueue") {
        co_return Result<>();
    }
    Json which = {{"seq", advisory.sequence}};
    auto removed = co_await api("STREAM.MSG.DELETE." + advisory.stream, std::move(which));
    if (!removed) co_return fail(removed.error());
    if (js_error_code(*removed) != 0) {
        // It may be gone already, or must not be deleted; the copy is there all the same.
        log_.info("dead_letter_stays",
                  {{"stream", advisory.stream}, {"error", js_error(*removed)}});
    }
    co_return Result<>();
}

}  // namespace candela::bus
