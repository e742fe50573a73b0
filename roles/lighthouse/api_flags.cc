// Feature flags of a space: what people change; services read the bucket.

#include <nlohmann/json.hpp>

#include "api.h"
#include "base/text.h"
#include "changes.h"
#include "paging.h"

namespace candela::lighthouse {

namespace {

Result<FlagKey> key_of(const Call& call) {
    FlagKey key(call.param("space"), call.param("flag"));
    if (is_flag_name(key.name)) return key;
    return fail(Code::kInvalid,
                "'{}' is not a flag's name: a letter, then letters, digits, _ and -, in parts "
                "between dots, at most {} in all",
                printable(key.name), kFlagNameMax);
}

Error no_flag(const FlagKey& key) {
    return Error(Code::kNotFound,
                 fmt::format("the space {} has no flag '{}'", key.space, key.name));
}

Json view_of(const FlagVersion& version) {
    Json json = to_json(version.flag);
    json["version"] = version.number;
    json["author"] = version.author;
    json["created_at"] = format_rfc3339(version.created_at);
    return json;
}

Json view_of(const FlagKey& key, const FlagVersions& versions) {
    const FlagVersion& last = versions.rbegin()->second;
    Json json = view_of(last);
    json["name"] = key.name;
    json["space"] = key.space;
    json["revision"] = revision_of(last);
    return json;
}

// What the flag says to one client, and why.
Json view_for(const std::string& client, const Flag& flag, const std::string& name) {
    const FlagAnswer answer = evaluate(flag, name, client);
    Json json = {{"client", client}, {"reason", answer.reason}};
    std::visit([&](const auto& value) { json["value"] = value; }, answer.value);
    return json;
}

}  // namespace

Task<Result<>> Api::list_flags(Call& call) {
    auto page = Page::asked_by(call);
    if (!page) co_return fail(page.error());
    const std::string& space = call.param("space");
    const auto& all = state_.wanted().flags;
    auto at = all.upper_bound(FlagKey(space, page->after()));
    std::string last;
    for (; at != all.end() && at->first.space == space && !page->is_full(); ++at) {
        last = at->first.name;
        page->add(view_of(at->first, at->second));
    }
    page->end(std::move(last), at != all.end() && at->first.space == space);
    Json body = std::move(*page).answer("flags");
    body["space"] = space;
    add_flag_delivery(body, space);
    respond(call, 200, body);
    co_return Result<>();
}

// Whether the bus has them all.
void Api::add_flag_delivery(Json& body, const std::string& space) const {
    body["published"] = space_clients_.has_flags(space);
    const std::string trouble = space_clients_.flag_trouble(space);
    if (!trouble.empty()) body["trouble"] = trouble;
}

Task<Result<>> Api::get_flag(Call& call) {
    CO_TRY_ASSIGN(const FlagKey key, key_of(call));
    const auto found = state_.wanted().flags.find(key);
    if (found == state_.wanted().flags.end()) co_return fail(no_flag(key));
    const FlagVersions& versions = found->second;
    Json body = view_of(key, versions);
    Json list = Json::array();
    for (auto at = versions.rbegin(); at != versions.rend(); ++at) {
        list.push_back(view_of(at->second));
    }
    body["versions"] = std::move(list);
    if (const std::string client = call.query("client"); !client.empty()) {
        body["answer"] = view_for(client, versions.rbegin()->second.flag, key.name);
    }
    add_flag_delivery(body, key.space);
    const http::Headers headers = {
        {"Content-Type", "application/json"},
        {"ETag", fmt::format("\"{}\"", json_string_or(body, "revision"))}};
    call.request.respond(200, headers, dump_json(body));
    co_return Result<>();
}

Result<> Api::check_flag_revision(const FlagKey& key, const std::string& if_match) const {
    if (if_match.empty()) return {};
    const auto found = state_.wanted().flags.find(key);
    if (found == state_.wanted().flags.end()) {
        return fail(
            Error(Code::kConflict, fmt::format("there is no flag {} to match", key.name), ESTALE));
    }
    const std::string revision = revision_of(found->second.rbegin()->second);
    if (names_revision(if_match, revision)) return {};
    return fail(
        Error(Code::kConflict,
              fmt::format("somebody has changed {}: its revision is {} now", key.name, revision),
              ESTALE));
}

Task<Result<>> Api::set_flag(Call& call) {
    CO_TRY_ASSIGN(const FlagKey key, key_of(call));
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    auto flag = flag_from_json(*json);
    if (!flag) co_return fail(flag.error());
    struct Wish {
        FlagKey key;
        Flag flag;
        Writer writer;
        bool is_change = true;
    };
    auto wish = std::make_shared<Wish>(key, std::move(*flag), call.writer());
    State::MakeChange make = [this, wish]() -> Result<Change> {
        if (!state_.spaces().contains(wish->key.space)) {
            return fail(Code::kNotFound, "there is no space '{}'", wish->key.space);
        }
        CANDELA_TRY(check_flag_revision(wish->key, wish->writer.if_match));
        const auto known = state_.wanted().flags.find(wish->key);
        // Said again, by a pipeline for example: there is nothing to tell anybody.
        wish->is_change = known == state_.wanted().flags.end() ||
                          to_json(known->second.rbegin()->second.flag) != to_json(wish->flag);
        if (!wish->is_change) return Change();
        return change_flag(state_.wanted(), wish->key, wish->flag, wish->writer.who,
                           state_.loop().wall());
    };
    auto committed = co_await state_.change(std::move(make));
    if (!committed) co_return fail(committed.error());
    co_await space_clients_.wait_flags(key.space, kPushWait);
    const auto found = state_.wanted().flags.find(key);
    if (found == state_.wanted().flags.end()) {
        co_return fail(Code::kConflict, "{} was deleted meanwhile", key.name);
    }
    Json body = view_of(key, found->second);
    body["changed"] = wish->is_change;
    add_flag_delivery(body, key.space);
    const uint64_t version = found->second.rbegin()->first;
    call.note = wish->is_change ? fmt::format("version {}", version) : "unchanged";
    const http::Headers headers = {
        {"Content-Type", "application/json"},
        {"ETag", fmt::format("\"{}\"", json_string_or(body, "revision"))}};
    call.request.respond(wish->is_change && version == 1 ? 201 : 200, headers, dump_json(body));
    co_return Result<>();
}

Task<Result<>> Api::remove_flag(Call& call) {
    CO_TRY_ASSIGN(const FlagKey key, key_of(call));
    State::MakeChange make = [this, key, writer = call.writer()]() -> Result<Change> {
        // One that is not there is not found, whatever its revision should be.
        if (!state_.wanted().flags.contains(key)) return fail(no_flag(key));
        CANDELA_TRY(check_flag_revision(key, writer.if_match));
        return lighthouse::remove_flag(state_.wanted(), key, writer.who);
    };
    auto removed = co_await state_.change(std::move(make));
    if (!removed) co_return fail(removed.error());
    co_await space_clients_.wait_flags(key.space, kPushWait);
    Json body = {{"name", key.name}, {"deleted", true}};
    add_flag_delivery(body, key.space);
    respond(call, 200, body);
    co_return Result<>();
}

}  // namespace candela::lighthouse
