// `candela ctl audit list|verify`: who changed what, and whether the log of it is whole.

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/table.h"
#include "ctl/verb.h"

namespace candela::ctl {

namespace {

constexpr uint64_t kPage = 500;
constexpr uint64_t kListMax = 1'000'000;

// "POST /v1/spaces/default/services/hello/scale" without what is the same in all.
std::string short_action(const Json& entry) {
    std::string action = json_string_or(entry, "action");
    if (const size_t at = action.find(" /v1/"); at != std::string::npos) action.erase(at + 1, 4);
    return action;
}

Task<Result<int>> run_list(Session& session, Arguments arguments) {
    const auto count = arguments.number("--count", 50, 1, kListMax);
    if (!count) co_return fail(count.error());
    Json all = Json::array();
    std::string before;
    while (all.size() < *count) {
        const uint64_t limit = std::min<uint64_t>(kPage, *count - all.size());
        std::string path = fmt::format("/v1/audit?limit={}", limit);
        if (!before.empty()) path += "&before=" + before;
        if (arguments.has("--in")) path += "&space=" + path_part(arguments.text("--in"));
        if (arguments.has("--who")) path += "&who=" + path_part(arguments.text("--who"));
        auto answer = co_await session.api.get(path);
        if (!answer) co_return fail(answer.error());
        for (const Json& entry : list_of(*answer, "audit")) all.push_back(entry);
        if (!answer->contains("before")) break;
        before = fmt::format("{}", json_int_or(*answer, "before", 0));
    }
    if (session.json) {
        const Json body = {{"audit", all}};
        session.terminal.out_json(body);
        co_return kOk;
    }
    Table table({"TIME", "WHO", "FROM", "ACTION", "DETAIL", "OUTCOME"});
    for (const Json& entry : all) {
        table.add({json_string_or(entry, "time"), cut_to_width(json_string_or(entry, "who"), 40),
                   json_string_or(entry, "source"), cut_to_width(short_action(entry), 80),
                   cut_to_width(json_string_or(entry, "detail"), 80),
                   cut_to_width(json_string_or(entry, "outcome"), 200)});
    }
    session.terminal.out(table.render([&](size_t column, const std::string& cell) {
        if (column != 5) return cell;
        return session.terminal.paint(cell == "done" ? Style::kGreen : Style::kRed, cell);
    }));
    co_return kOk;
}

Task<Result<int>> run_verify(Session& session, Arguments arguments) {
    std::string path = "/v1/audit/verdict";
    if (arguments.has("--head")) path += "?head=" + path_part(arguments.text("--head"));
    auto verdict = co_await session.api.get(path);
    if (!verdict) co_return fail(verdict.error());
    const bool is_whole = json_bool_or(*verdict, "whole", false);
    if (session.json) {
        session.terminal.out_json(*verdict);
        co_return is_whole ? kOk : kFailed;
    }
    if (!is_whole) {
        co_return fail(Code::kCorrupt,
                       "the audit log is not as it was written: {}\n"
                       "somebody has changed the lighthouse's database; keep a copy of it",
                       json_string_or(*verdict, "fault"));
    }
    session.terminal.note(fmt::format("whole: {} records", json_int_or(*verdict, "records", 0)));
    session.terminal.out(json_string_or(*verdict, "head") + "\n");
    co_return kOk;
}

}  // namespace

Verb audit_list_verb() {
    return Verb{"audit",
                "list",
                "Who changed what, the newest first",
                {},
                {{"--count", "-n", "N", "How many (50)"},
                 {"--in", "", "SPACE", "Only of this space"},
                 {"--who", "", "NAME", "Only what this person or key did"}},
                true,
                run_list};
}
Verb audit_verify_verb() {
    return Verb{"audit",
                "verify",
                "Whether the audit log is whole; prints its head, to be noted elsewhere",
                {},
                {{"--head", "", "HEAD", "A head noted earlier: it must still be in the log"}},
                true,
                run_verify};
}

}  // namespace candela::ctl
