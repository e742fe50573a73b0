// `candela ctl plan DIR`: what deploying the folder would change, and whether there is room for it;
// `candela ctl diff SERVICE [A] [B]`: what differs between two releases. Neither changes anything;
// both return 10 where there are differences.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/building.h"
#include "ctl/changes.h"
#include "ctl/show.h"
#include "ctl/verb.h"

namespace candela::ctl {

std::string changes_text(const Session& session, const std::vector<service::Difference>& changes) {
    size_t width = 0;
    for (const auto& change : changes) width = std::max(width, change.key.size());
    std::string out;
    for (const auto& change : changes) {
        const bool is_new = change.before.empty();
        const bool is_gone = change.after.empty();
        const Style style = is_new ? Style::kGreen : is_gone ? Style::kRed : Style::kYellow;
        const std::string value =
            is_new    ? printable(change.after, 400)
            : is_gone ? printable(change.before, 400)
                      : printable(change.before, 200) + " -> " + printable(change.after, 200);
        out += fmt::format("  {} {:<{}}  {}\n",
                           session.terminal.paint(style, is_new    ? "+"
                                                         : is_gone ? "-"
                                                                   : "~"),
                           printable(change.key, 200), width, value);
    }
    return out;
}

Json changes_json(const std::vector<service::Difference>& changes) {
    Json list = Json::array();
    for (const auto& change : changes) {
        list.push_back({{"key", change.key}, {"before", change.before}, {"after", change.after}});
    }
    return list;
}

std::vector<service::Difference> changes_of_json(const Json& list) {
    std::vector<service::Difference> changes;
    for (const Json& item : list) {
        changes.push_back(service::Difference(json_string_or(item, "key"),
                                              json_string_or(item, "before"),
                                              json_string_or(item, "after")));
    }
    return changes;
}

namespace {

Task<Result<int>> run_plan(Session& session, Arguments arguments) {
    PrepareOptions options;
    options.folder = arguments.text("DIR");
    options.builds = !arguments.has("--no-build");
    auto prepared = co_await prepare(session, std::move(options));
    if (!prepared) co_return fail(prepared.error());
    prepared->cache.reset();
    const service::Manifest* const manifest = &prepared->manifest;
    const service::BundleInfo* const bundle = &prepared->info;
    Json wanted = {{"manifest", service::to_json(*manifest)}, {"bundle", bundle->digest}};
    auto answer = co_await session.api.post(service_path(session.space, manifest->name) + "/plan",
                                            std::move(wanted));
    if (!answer) co_return fail(answer.error());
    const auto changes = changes_of_json(list_of(*answer, "changes"));
    const int code = changes.empty() ? kOk : kDiffers;
    if (session.json) {
        session.terminal.out_json(*answer);
        co_return code;
    }
    const int64_t current = json_int_or(*answer, "current", 0);
    const int64_t next = json_int_or(*answer, "release", 0);
    if (changes.empty()) {
        session.terminal.out(
            fmt::format("{}: nothing differs from release {}\n", manifest->name, current));
    } else if (current == 0) {
        session.terminal.out(fmt::format("{}: release {} would be new\n", manifest->name, next) +
                             changes_text(session, changes));
    } else {
        session.terminal.out(fmt::format("{}: release {} would replace release {} ({})\n",
                                         manifest->name, next, current,
                                         json_string_or(*answer, "strategy")) +
                             changes_text(session, changes));
    }
    for (const std::string& step : string_list(*answer, "course")) {
        session.terminal.out(fmt::format("  then  {}\n", printable(step, 2000)));
    }
    for (const std::string& problem : string_list(*answer, "problems")) {
        session.terminal.note(fmt::format("{} {}",
                                          session.terminal.paint_note(Style::kRed, "problem:"),
                                          printable(problem, 2000)));
    }
    co_return code;
}

// The releases of a service by their number.
Task<Result<Json>> release_of(Session& session, std::string service, uint64_t number) {
    auto release = co_await session.api.get(
        fmt::format("{}/releases/{}", service_path(session.space, service), number));
    co_return release;
}

// A release as what two of them are compared by.
Json comparable(const Json& release) {
    Json json =
        release.is_object() && release.contains("manifest") ? release["manifest"] : Json::object();
    json["instances"] = json_int_or(release, "instances", 0);
    json["bundle"] = json_string_or(release, "bundle");
    return json;
}

Task<Result<int>> run_diff(Session& session, Arguments arguments) {
    const std::string service = arguments.text("SERVICE");
    auto first = arguments.number("FROM", 0, 1, UINT32_MAX);
    if (!first) co_return fail(first.error());
    auto second = arguments.number("TO", 0, 1, UINT32_MAX);
    if (!second) co_return fail(second.error());
    uint64_t from = *first;
    uint64_t to = *second;
    if (to == 0) {
        auto shown = co_await session.api.get(service_path(session.space, service));
        if (!shown) co_return fail(shown.error());
        to = service_view(*shown).release;
        if (to == 0) co_return fail(Code::kNotFound, "{} has no release that serves", service);
    }
    if (from == 0) {
        auto listed = co_await session.api.get(service_path(session.space, service) + "/releases");
        if (!listed) co_return fail(listed.error());
        for (const Json& item : list_of(*listed, "releases")) {
            const ReleaseView view = release_view(item);
            if (view.number < to && view.state == "done") from = std::max(from, view.number);
        }
        if (from == 0) {
            co_return fail(Code::kNotFound, "{} has no release before {} that served", service, to);
        }
    }
    auto before = co_await release_of(session, service, from);
    if (!before) co_return fail(before.error());
    auto after = co_await release_of(session, service, to);
    if (!after) co_return fail(after.error());
    const auto changes = service::differences(comparable(*before), comparable(*after));
    if (session.json) {
        const Json out = {{"space", session.space},
                          {"service", service},
                          {"from", from},
                          {"to", to},
                          {"changes", changes_json(changes)}};
        session.terminal.out_json(out);
    } else if (changes.empty()) {
        session.terminal.out(
            fmt::format("{}: releases {} and {} are the same\n", service, from, to));
    } else {
        session.terminal.out(fmt::format("{}: from release {} to {}\n", service, from, to) +
                             changes_text(session, changes));
    }
    co_return changes.empty() ? kOk : kDiffers;
}

}  // namespace

Verb plan_verb() {
    return Verb{"",
                "plan",
                "What deploying a folder would change; exit 10 where it would",
                {{"DIR", "The folder with service.toml, or with sources."}},
                {{"--no-build", "", "", "Packs the folder as it is"}},
                true,
                run_plan};
}
Verb diff_verb() {
    return Verb{"",
                "diff",
                "What differs between two releases; exit 10 where something does",
                {{"SERVICE", "Its name."},
                 {"FROM", "A release; the last before TO that served.", false},
                 {"TO", "A release; the one that is wanted now.", false}},
                {},
                true,
                run_diff};
}

}  // namespace candela::ctl
