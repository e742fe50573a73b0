// What goes on: logs and events.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "api.h"
#include "base/text.h"
#include "views.h"

namespace candela::lighthouse {

namespace {

// Counts those who follow, so that they stay few.
class Follower {
public:
    explicit Follower(size_t& count) : count_(count) { ++count_; }
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;
    ~Follower() { --count_; }

private:
    size_t& count_;
};

http::ResponseHead head_of(std::string_view content_type) {
    http::ResponseHead head;
    head.headers.add("Content-Type", content_type);
    head.headers.add("Cache-Control", "no-store");
    return head;
}

// One event of a text/event-stream.
std::string event_text(const StoredEvent& event) {
    return fmt::format("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.event.kind,
                       dump_json(view_of(event)));
}

}  // namespace

Task<Result<>> Api::stream_logs(Call& call) {
    LogStore::Filter filter;
    filter.service = ServiceKey(call.param("space"), call.query("service"));
    filter.instance = call.query("instance");
    if (filter.service.second.empty()) {
        co_return fail(Code::kInvalid, "the parameter 'service' is missing");
    }
    if (!state_.wanted().services.contains(filter.service)) {
        co_return fail(Code::kNotFound, "there is no service '{}' in the space {}",
                       filter.service.second, filter.service.first);
    }
    size_t count = kLogTailDefault;
    if (const std::string text = call.query("tail"); !text.empty()) {
        CO_TRY_ASSIGN(const uint64_t wanted, parse_uint(text));
        count = std::min<size_t>(wanted, LogStore::kTailMax);
    }
    const std::string follow = call.query("follow");
    const bool follows = follow == "1" || follow == "true";
    if (follows && followers_ >= kFollowersMax) {
        co_return fail(Code::kExhausted, "{} clients follow already", kFollowersMax);
    }
    const Follower follower(followers_);
    auto tail = co_await logs_.tail(filter, count);
    if (!tail) co_return fail(tail.error());
    if (follows) call.request.mark_open_ended();
    http::ResponseHead head = head_of("application/x-ndjson");
    CO_TRY(co_await call.request.begin(std::move(head)));
    std::vector<std::string> lines = std::move(tail->lines);
    uint64_t last = tail->up_to;
    for (;;) {
        std::string text;
        for (const std::string& line : lines) text += line + "\n";
        if (!text.empty()) CO_TRY(co_await call.request.write(text));
        if (!follows) break;
        lines = co_await logs_.wait_after(filter, last);
        CO_TRY(check_still_valid(call.who));
    }
    auto ended = co_await call.request.end();
    co_return ended;
}

Task<Result<>> Api::stream_events(Call& call) {
    if (followers_ >= kFollowersMax) {
        co_return fail(Code::kExhausted, "{} clients follow already", kFollowersMax);
    }
    const Follower follower(followers_);
    // A browser that comes back says what it has seen; anyone may ask for the past by "after".
    uint64_t last = state_.last_event();
    std::string after(call.request.header("last-event-id").value_or(""));
    if (after.empty()) after = call.query("after");
    if (!after.empty()) {
        CO_TRY_ASSIGN(last, parse_uint(after));
        last = std::min(last, state_.last_event());
    }
    call.request.mark_open_ended();
    http::ResponseHead head = head_of("text/event-stream");
    CO_TRY(co_await call.request.begin(std::move(head)));
    // A comment, so that the client knows at once that it is connected.
    CO_TRY(co_await call.request.write(": events\n\n"));
    for (;;) {
        std::string text;
        for (const StoredEvent& event : state_.events()) {
            if (event.id <= last) continue;
            if (may_see(call.who, event.event.space)) text += event_text(event);
        }
        last = state_.last_event();
        if (!text.empty()) CO_TRY(co_await call.request.write(text));
        co_await state_.wait_event_after(last);
        CO_TRY(check_still_valid(call.who));
    }
}

}  // namespace candela::lighthouse
