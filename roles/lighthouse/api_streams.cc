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

// How often is looked whether somebody who follows still may, where there is nothing to say.
constexpr Duration kRightsInterval = 2s;

Task<Result<std::vector<LogLine>>> lines_after(LogStore* logs, LogQuery query, uint64_t* id) {
    auto lines = co_await logs->wait_after(std::move(query), *id);
    co_return lines;
}

Task<Result<>> event_after(State* state, uint64_t id) {
    co_await state->wait_event_after(id);
    co_return Result<>();
}

// One event of a text/event-stream.
std::string event_text(const StoredEvent& event) {
    return fmt::format("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.event.kind,
                       dump_json(view_of(event)));
}

}  // namespace

namespace {

// RFC 3339, or how long ago: "15m".
Result<uint64_t> read_moment(const Call& call, std::string_view name, WallTime now,
                             uint64_t fallback) {
    const std::string text = call.query(name);
    if (text.empty()) return fallback;
    WallTime moment = now;
    if (text.find('T') != std::string::npos) {
        CANDELA_TRY_ASSIGN(moment, parse_rfc3339(text));
    } else {
        CANDELA_TRY_ASSIGN(const Duration ago, parse_duration(text));
        moment = now - ago;
    }
    return static_cast<uint64_t>(std::max<int64_t>(unix_millis(moment), 0));
}

bool is_on(const std::string& text) { return text == "1" || text == "true"; }

Result<LogQuery> read_log_query(const Call& call, WallTime now) {
    LogQuery query;
    query.space = call.param("space");
    query.service = call.query("service");
    query.instance = call.query("instance");
    query.grep = call.query("grep");
    if (const std::string text = call.query("release"); !text.empty()) {
        CANDELA_TRY_ASSIGN(query.release, parse_uint(text));
    }
    CANDELA_TRY_ASSIGN(query.since, read_moment(call, "since", now, query.since));
    CANDELA_TRY_ASSIGN(query.until, read_moment(call, "until", now, query.until));
    if (const std::string text = call.query("level"); !text.empty()) {
        const auto level = parse_line_level(text);
        if (!level)
            return fail(Code::kInvalid,
                        "level: '{}' is none of trace, debug, info, warn, error, "
                        "fatal",
                        printable(text));
        query.level = *level;
    }
    if (const std::string text = call.query("trace"); !text.empty()) {
        query.trace_id = parse_trace_id(text).view();
        if (query.trace_id.empty())
            return fail(Code::kInvalid, "trace: '{}' is no trace id", printable(text));
    }
    // One id finds every line of a request.
    query.has_access = is_on(call.query("access")) || !query.trace_id.empty();
    return query;
}

Task<Result<>> write_lines(Call& call, const std::vector<LogLine>& lines) {
    constexpr size_t kPieceBytes = 256 << 10;
    std::string text;
    for (const LogLine& line : lines) {
        append_public(line, text);
        if (text.size() < kPieceBytes) continue;
        CO_TRY(co_await call.request.write(text));
        text.clear();
    }
    if (!text.empty()) CO_TRY(co_await call.request.write(text));
    co_return Result<>();
}

}  // namespace

Task<Result<>> Api::stream_logs(Call& call) {
    CO_TRY_ASSIGN(const LogQuery query, read_log_query(call, state_.loop().wall()));
    const ServiceKey service(query.space, query.service);
    if (!query.service.empty() && !state_.wanted().services.contains(service)) {
        co_return fail(Code::kNotFound, "there is no service '{}' in the space {}", query.service,
                       query.space);
    }
    size_t count = query.trace_id.empty() ? kLogTailDefault : LogStore::kTailMax;
    if (const std::string text = call.query("tail"); !text.empty()) {
        CO_TRY_ASSIGN(const uint64_t wanted, parse_uint(text));
        count = std::min<size_t>(wanted, LogStore::kTailMax);
    }
    const bool follows = is_on(call.query("follow"));
    if (follows && followers_ >= kFollowersMax) {
        co_return fail(Code::kExhausted, "{} clients follow already", kFollowersMax);
    }
    const Follower follower(followers_);
    const auto following = follows ? logs_.follow(query) : nullptr;
    auto tail = co_await logs_.tail(query, count);
    if (!tail) co_return fail(tail.error());
    if (follows) call.request.mark_open_ended();
    http::ResponseHead head = head_of("application/x-ndjson");
    CO_TRY(co_await call.request.begin(std::move(head)));
    std::vector<LogLine> lines = std::move(tail->lines);
    uint64_t last = tail->up_to;
    for (;;) {
        CO_TRY(co_await write_lines(call, lines));
        if (!follows) break;
        auto waiting = lines_after(&logs_, query, &last);
        auto came =
            co_await with_timeout(state_.loop(), kRightsInterval, "lines", std::move(waiting));
        CO_TRY(check_still_valid(call.who));
        lines.clear();
        if (came) lines = std::move(*came);
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
        auto waiting = event_after(&state_, last);
        static_cast<void>(
            co_await with_timeout(state_.loop(), kRightsInterval, "events", std::move(waiting)));
        CO_TRY(check_still_valid(call.who));
    }
}

}  // namespace candela::lighthouse
