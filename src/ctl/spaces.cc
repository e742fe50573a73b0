// `candela ctl spaces list|create|delete|quota`.

#include <algorithm>
#include <charconv>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/table.h"
#include "ctl/verb.h"

namespace candela::ctl {

namespace {

std::string as_count(uint64_t number) { return std::to_string(number); }
std::string as_cores(uint64_t millis) {
    return fmt::format("{:g}", static_cast<double>(millis) / 1000.0);
}
std::string as_size(uint64_t bytes) { return format_size(bytes); }

uint64_t number_of(const Json& json, std::string_view name) {
    return static_cast<uint64_t>(std::max<int64_t>(0, json_int_or(json, name, 0)));
}

// "3 of 10", or "3" where there is no quota.
std::string of_quota(const Json& space, std::string_view name, std::string (*shown)(uint64_t)) {
    const auto quota = space.find("quota");
    const uint64_t limit = quota == space.end() ? 0 : number_of(*quota, name);
    const std::string used = shown(number_of(space, name));
    return limit == 0 ? used : fmt::format("{} of {}", used, shown(limit));
}

// "0.5", "8"
Result<uint64_t> millis_of(const std::string& text) {
    constexpr double kCoresMax = 1e6;
    double cores = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), cores);
    const bool is_whole = failed == std::errc() && end == text.data() + text.size();
    if (!is_whole || !(cores >= 0 && cores <= kCoresMax)) {
        return fail(Code::kInvalid, "--cores takes a number of cores such as 0.5 or 8, not \"{}\"",
                    printable(text));
    }
    return static_cast<uint64_t>(std::lround(cores * 1000.0));
}

// What was given on top of what there is.
Result<Json> quota_wanted(const Arguments& arguments, Json quota) {
    constexpr uint64_t kCountMax = 1'000'000;
    for (const std::string_view name : {"services", "instances"}) {
        const std::string option = fmt::format("--{}", name);
        CANDELA_TRY_ASSIGN(quota[std::string(name)],
                           arguments.number(option, number_of(quota, name), 0, kCountMax));
    }
    if (arguments.has("--memory")) {
        CANDELA_TRY_ASSIGN(quota["memory_bytes"], parse_size(arguments.text("--memory")));
    }
    if (arguments.has("--cores")) {
        CANDELA_TRY_ASSIGN(quota["cpu_millis"], millis_of(arguments.text("--cores")));
    }
    return quota;
}

Task<Result<int>> run_quota(Session& session, Arguments arguments) {
    const std::string name = arguments.text("SPACE");
    auto all = co_await session.api.get("/v1/spaces");
    if (!all) co_return fail(all.error());
    Json space;
    for (const Json& each : list_of(*all, "spaces")) {
        if (json_string_or(each, "name") == name) space = each;
    }
    if (space.is_null()) co_return fail(Code::kNotFound, "there is no space '{}'", name);
    bool is_change = false;
    for (const std::string_view option : {"--services", "--instances", "--memory", "--cores"}) {
        is_change = is_change || arguments.has(option);
    }
    if (is_change) {
        CO_TRY_ASSIGN(Json quota, quota_wanted(arguments, space["quota"]));
        auto answer =
            co_await session.api.put("/v1/spaces/" + path_part(name) + "/quota", std::move(quota));
        if (!answer) co_return fail(answer.error());
        space = std::move(*answer);
    }
    if (session.json) {
        session.terminal.out_json(space);
        co_return kOk;
    }
    Table table({"SERVICES", "INSTANCES", "CORES", "MEMORY"});
    table.add({of_quota(space, "services", as_count), of_quota(space, "instances", as_count),
               of_quota(space, "cpu_millis", as_cores), of_quota(space, "memory_bytes", as_size)});
    session.terminal.out(table.render());
    co_return kOk;
}

Task<Result<int>> run_list(Session& session, Arguments) {
    auto answer = co_await session.api.get("/v1/spaces");
    if (!answer) co_return fail(answer.error());
    const Json& spaces = list_of(*answer, "spaces");
    if (session.json) {
        const Json all = {{"spaces", spaces}};
        session.terminal.out_json(all);
        co_return kOk;
    }
    const WallTime now = session.loop.wall();
    Table table({"SPACE", "SERVICES", "INSTANCES", "CORES", "MEMORY", "AGE"});
    for (const Json& space : spaces) {
        table.add({json_string_or(space, "name"), of_quota(space, "services", as_count),
                   of_quota(space, "instances", as_count), of_quota(space, "cpu_millis", as_cores),
                   of_quota(space, "memory_bytes", as_size),
                   age(json_string_or(space, "created_at"), now)});
    }
    session.terminal.out(table.render());
    co_return kOk;
}

Task<Result<int>> run_create(Session& session, Arguments arguments) {
    const std::string name = arguments.text("NAME");
    Json wanted = {{"name", name}};
    auto answer = co_await session.api.post("/v1/spaces", std::move(wanted));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        session.terminal.out_json(*answer);
    } else {
        session.terminal.note(fmt::format("space {} created", name));
        session.terminal.note(fmt::format("next: candela ctl --space {} deploy DIR", name));
    }
    co_return kOk;
}

Task<Result<int>> run_delete(Session& session, Arguments arguments) {
    const std::string name = arguments.text("NAME");
    auto answer = co_await session.api.remove("/v1/spaces/" + path_part(name));
    if (!answer) co_return fail(answer.error());
    if (session.json) {
        const Json done = {{"name", name}, {"deleted", true}};
        session.terminal.out_json(done);
    } else {
        session.terminal.note(fmt::format("space {} deleted", name));
    }
    co_return kOk;
}

}  // namespace

Verb spaces_list_verb() {
    return Verb{"spaces", "list", "The spaces of the cloud", {}, {}, true, run_list};
}
Verb spaces_create_verb() {
    return Verb{"spaces", "create", "Makes a space", {{"NAME", "Its name."}}, {}, true, run_create};
}
Verb spaces_delete_verb() {
    return Verb{
        "spaces", "delete",  "Deletes a space that has no services", {{"NAME", "Its name."}}, {},
        true,     run_delete};
}

Verb spaces_quota_verb() {
    return Verb{"spaces",
                "quota",
                "Shows, or sets, how much a space's services may want together",
                {{"SPACE", "Its name."}},
                {{"--services", "", "N", "Services; 0: any number"},
                 {"--instances", "", "N", "Instances of all of them; 0: any number"},
                 {"--cores", "", "N", "[resources] cpu of all instances; 0: no limit"},
                 {"--memory", "", "SIZE", "[resources] memory of all instances; 0B: no limit"}},
                true,
                run_quota};
}

}  // namespace candela::ctl
