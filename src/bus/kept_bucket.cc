#include "bus/kept_bucket.h"

#include <vector>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/text.h"
#include "bus/js_api.h"

namespace candela::bus {

namespace {

constexpr Duration kAnswer = 10s;
constexpr Duration kRetry = 2s;
constexpr std::string_view kOperation = "KV-Operation";
constexpr int kNoMessage = 10037;

bool is_deletion(std::string_view headers) { return find_header(headers, kOperation).has_value(); }

Task<Result<>> wait_for(Event* event) {
    co_await event->wait();
    co_return Result<>();
}

}  // namespace

KeptBucket::KeptBucket(Client& client, std::string name, std::string description, Logger log)
    : client_(client),
      stream_("KV_" + name),
      prefix_(fmt::format("$KV.{}.", name)),
      description_(std::move(description)),
      log_(log.with({{"bucket", name}})) {
    auto writes =
        client_.subscribe(prefix_ + ">", [this](const MessageView& view) { look_at(view); });
    if (writes) writes_ = std::move(*writes);
    flows_.spawn(run());
}

KeptBucket::~KeptBucket() = default;

void KeptBucket::keep(Entries wanted) {
    const bool is_first = wanted_round_ == 0;
    if (!is_first && wanted == wanted_) return;
    wanted_ = std::move(wanted);
    ++wanted_round_;
    woken_.set();
}

Task<Result<>> KeptBucket::wait_kept() {
    while (!is_kept()) {
        looked_.reset();
        co_await looked_.wait();
        // run() tells it, and who waited may be the last who holds us: not from within it.
        co_await sleep_for(client_.loop(), Duration::zero());
    }
    co_return Result<>();
}

// Our own writes are seen here as well; they are as wanted.
void KeptBucket::look_at(const MessageView& written) {
    const std::string key(written.subject.substr(prefix_.size()));
    const auto wanted = wanted_.find(key);
    const bool is_right = is_deletion(written.headers)
                              ? wanted == wanted_.end()
                              : wanted != wanted_.end() && wanted->second == written.payload;
    if (!is_right) woken_.set();
}

Task<void> KeptBucket::run() {
    for (;;) {
        woken_.reset();
        Result<> looked;
        if (wanted_round_ != 0) {
            looked = co_await reconcile();
            note(looked);
            looked_.set();
        }
        auto waiting = wait_for(&woken_);
        const Duration pause = looked ? kLookInterval : kRetry;
        static_cast<void>(
            co_await with_timeout(client_.loop(), pause, "the bucket", std::move(waiting)));
    }
}

void KeptBucket::note(const Result<>& looked) {
    const std::string trouble = looked ? "" : looked.error().message();
    if (trouble == trouble_) return;
    trouble_ = trouble;
    // That there is no connection the client says.
    if (!looked && client_.is_connected()) {
        log_.warn("bucket_not_kept", {{"error", looked.error()}});
    } else if (looked) {
        log_.info("bucket_kept", {{"keys", wanted_.size()}});
    }
}

Task<Result<>> KeptBucket::reconcile() {
    // What is published while there is no connection would be sent later, when it may be wrong.
    if (!client_.is_connected()) co_return fail(Code::kUnreachable, "the bus is not connected");
    const uint64_t round = wanted_round_;
    const Entries wanted = wanted_;
    auto found = co_await find_bucket();
    if (!found && found.error().code() == Code::kUnreachable) {
        co_return fail(Code::kUnreachable, "the bus keeps no streams for this space");
    }
    if (!found) co_return fail(found.error());
    std::vector<std::string> gone;
    for (const auto& [key, value] : known_) {
        if (!wanted.contains(key)) gone.push_back(key);
    }
    for (const std::string& key : gone) {
        auto removed = co_await remove(key);
        if (!removed) co_return fail(removed.error());
    }
    for (const auto& [key, value] : wanted) {
        const auto known = known_.find(key);
        if (known != known_.end() && known->second == value) continue;
        auto written = co_await put(key, value);
        if (!written) co_return fail(written.error());
    }
    if (!known_sequence_) co_return fail(Code::kConflict, "somebody else writes to {}", stream_);
    kept_ = round;
    co_return Result<>();
}

Task<Result<>> KeptBucket::find_bucket() {
    Json nothing = Json::object();
    auto info = co_await js_request(client_, "STREAM.INFO." + stream_, std::move(nothing));
    if (!info) co_return fail(info.error());
    if (js_error_code(*info) == kJsStreamNotFound) {
        auto made = co_await make_bucket();
        co_return made;
    }
    if (js_error_code(*info) != 0) co_return fail(js_error(*info));
    const Json none = Json::object();
    const std::string created = json_string_or(*info, "created");
    const auto sequence =
        static_cast<uint64_t>(json_int_or(info->value("state", none), "last_seq", 0));
    if (created == known_created_ && known_sequence_ == sequence) co_return Result<>();
    known_sequence_.reset();
    auto read = co_await read_all();
    if (!read) co_return fail(read.error());
    known_created_ = created;
    known_sequence_ = sequence;
    co_return Result<>();
}

// As the clients' own libraries make buckets, so that each of them finds what it expects.
Task<Result<>> KeptBucket::make_bucket() {
    Json config = Json::object();
    config["name"] = stream_;
    config["description"] = description_;
    config["subjects"] = Json::array({prefix_ + ">"});
    config["retention"] = "limits";
    config["storage"] = "file";
    config["discard"] = "new";
    config["max_msgs_per_subject"] = 1;
    config["max_msgs"] = -1;
    config["max_bytes"] = -1;
    config["max_msg_size"] = -1;
    config["max_consumers"] = -1;
    config["num_replicas"] = 1;
    config["allow_rollup_hdrs"] = true;
    config["deny_delete"] = true;
    config["allow_direct"] = true;
    auto made = co_await js_request(client_, "STREAM.CREATE." + stream_, std::move(config));
    if (!made) co_return fail(made.error());
    if (js_error_code(*made) != 0) co_return fail(js_error(*made));
    known_.clear();
    known_created_ = json_string_or(*made, "created");
    known_sequence_ = 0;
    co_return Result<>();
}

Task<Result<>> KeptBucket::read_all() {
    known_.clear();
    std::vector<std::string> keys;
    for (;;) {
        Json ask = {{"subjects_filter", prefix_ + ">"}, {"offset", keys.size()}};
        auto page = co_await js_request(client_, "STREAM.INFO." + stream_, std::move(ask));
        if (!page) co_return fail(page.error());
        if (js_error_code(*page) != 0) co_return fail(js_error(*page));
        const Json none = Json::object();
        const Json subjects = page->value("state", none).value("subjects", none);
        if (!subjects.is_object() || subjects.empty()) break;
        for (const auto& [subject, count] : subjects.items()) {
            if (!subject.starts_with(prefix_)) continue;
            if (keys.size() >= kKeysMax) {
                co_return fail(Code::kExhausted, "{} has more than {} keys", stream_, kKeysMax);
            }
            keys.push_back(subject.substr(prefix_.size()));
        }
        if (keys.size() >= static_cast<size_t>(json_int_or(*page, "total", 0))) break;
    }
    for (const std::string& key : keys) {
        auto read = co_await read_key(key);
        if (!read) co_return fail(read.error());
    }
    co_return Result<>();
}

Task<Result<>> KeptBucket::read_key(std::string key) {
    Json ask = {{"last_by_subj", prefix_ + key}};
    auto got = co_await js_request(client_, "STREAM.MSG.GET." + stream_, std::move(ask));
    if (!got) co_return fail(got.error());
    if (js_error_code(*got) == kNoMessage) co_return Result<>();
    if (js_error_code(*got) != 0) co_return fail(js_error(*got));
    const Json none = Json::object();
    const Json message = got->value("message", none);
    CO_TRY_ASSIGN(const std::string headers, base64_decode(json_string_or(message, "hdrs")));
    CO_TRY_ASSIGN(std::string value, base64_decode(json_string_or(message, "data")));
    if (!is_deletion(headers)) known_.emplace(std::move(key), std::move(value));
    co_return Result<>();
}

Task<Result<>> KeptBucket::put(std::string key, std::string value) {
    auto written = co_await write(key, value, "");
    if (written) known_[key] = value;
    co_return written;
}

Task<Result<>> KeptBucket::remove(std::string key) {
    auto written = co_await write(key, "", HeaderBuilder().add(kOperation, "DEL").text());
    if (written) known_.erase(key);
    co_return written;
}

Task<Result<>> KeptBucket::write(std::string key, std::string value, std::string headers) {
    const std::optional<uint64_t> before = known_sequence_;
    // Whether it arrives is not known until its answer is here.
    known_sequence_.reset();
    auto answer =
        co_await client_.request(prefix_ + key, std::move(value), kAnswer, std::move(headers));
    if (!answer) co_return fail(answer.error());
    CO_TRY_ASSIGN(const Json ack, parse_json(answer->payload));
    if (js_error_code(ack) != 0) co_return fail(js_error(ack));
    const auto sequence = static_cast<uint64_t>(json_int_or(ack, "seq", 0));
    // Where there is a gap somebody else has written meanwhile.
    if (before && sequence == *before + 1) known_sequence_ = sequence;
    co_return Result<>();
}

}  // namespace candela::bus
