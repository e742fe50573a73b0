// The audit log as operators read it, and backups.

#include <nlohmann/json.hpp>

#include "api.h"
#include "base/text.h"

namespace candela::lighthouse {

namespace {

Json view_of(const AuditEntry& entry) {
    const AuditRecord& asked = entry.request;
    Json json = {{"id", asked.id},
                 {"time", format_rfc3339(asked.time)},
                 {"who", asked.who},
                 {"key", asked.key},
                 {"source", asked.source},
                 {"action", asked.action},
                 {"space", asked.space},
                 // Until the end is noted, or where the lighthouse was killed before.
                 {"outcome", "not known"}};
    if (!entry.end) return json;
    json["outcome"] = entry.end->outcome;
    json["detail"] = entry.end->detail;
    json["ended_at"] = format_rfc3339(entry.end->time);
    return json;
}

std::string text_of(const AuditHead& head) {
    return head.id == 0 ? "" : fmt::format("{}:{}", head.id, head.seal);
}

}  // namespace

Task<Result<>> Api::list_audit(Call& call) {
    AuditQuery query;
    if (const std::string before = call.query("before"); !before.empty()) {
        CO_TRY_ASSIGN(query.before, parse_uint(before));
    }
    if (const std::string limit = call.query("limit"); !limit.empty()) {
        CO_TRY_ASSIGN(query.limit, parse_uint(limit));
    }
    if (query.limit < 1 || query.limit > Audit::kPageMax) {
        co_return fail(Code::kInvalid, "limit must be from 1 to {}", Audit::kPageMax);
    }
    query.space = call.query("space");
    query.who = call.query("who");
    const size_t limit = query.limit;
    auto entries = co_await audit_.list(std::move(query));
    if (!entries) co_return fail(entries.error());
    Json list = Json::array();
    for (const AuditEntry& entry : *entries) list.push_back(view_of(entry));
    Json body = Json::object();
    // Where there may be older ones.
    if (entries->size() == limit) body["before"] = entries->back().request.id;
    body["audit"] = std::move(list);
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::verify_audit(Call& call) {
    std::optional<AuditHead> known;
    if (const std::string text = call.query("head"); !text.empty()) {
        const auto parts = split_once(text, ':');
        if (!parts) co_return fail(Code::kInvalid, "head must be NUMBER:SEAL, as it was shown");
        CO_TRY_ASSIGN(const uint64_t id, parse_uint(parts->first));
        known = AuditHead(id, std::string(parts->second));
    }
    auto verdict = co_await audit_.verify(std::move(known));
    if (!verdict) co_return fail(verdict.error());
    const Json body = {{"whole", verdict->fault.empty()},
                       {"fault", verdict->fault},
                       {"records", verdict->records},
                       {"first", verdict->first},
                       {"head", text_of(verdict->head)}};
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::get_backup(Call& call) {
    auto sent = co_await backup_.send(call.request);
    co_return sent;
}

}  // namespace candela::lighthouse
