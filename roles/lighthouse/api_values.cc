// Secrets and config values of a space. What is in a secret only comes in: no answer, event, note
// or log has it.

#include <nlohmann/json.hpp>

#include "api.h"
#include "base/encoding.h"
#include "base/text.h"
#include "paging.h"
#include "sealing.h"
#include "value_storage.h"
#include "views.h"

namespace candela::lighthouse {

using service::ValueKind;

namespace {

ValueKind kind_of(const Call& call) {
    const bool is_secret = call.pattern.starts_with("/v1/spaces/{space}/secrets");
    return is_secret ? ValueKind::kSecret : ValueKind::kConfig;
}

Result<ValueKey> key_of(const Call& call) {
    ValueKey key{call.param("space"), kind_of(call), call.param("name")};
    if (service::is_value_name(key.name)) return key;
    return fail(Code::kInvalid,
                "'{}' is not a name: a letter, then letters, digits, _, - and ., at most {}",
                printable(key.name), service::kValueNameMax);
}

Result<Secret> content_of(const Json& json) {
    const auto text = json.find("value");
    const auto coded = json.find("base64");
    if ((text == json.end()) == (coded == json.end())) {
        return fail(Code::kInvalid, "either \"value\" or \"base64\" must be there");
    }
    const auto& given = text != json.end() ? *text : *coded;
    if (!given.is_string()) return fail(Code::kInvalid, "a value must be a string");
    std::string bytes = given.get<std::string>();
    if (text == json.end()) {
        CANDELA_TRY_ASSIGN(bytes, base64_decode(bytes));
    }
    if (bytes.size() > service::kValueBytesMax) {
        return fail(Error(Code::kExhausted,
                          fmt::format("the value has {}; at most {}", format_size(bytes.size()),
                                      format_size(service::kValueBytesMax)),
                          EMSGSIZE));
    }
    return Secret(std::move(bytes));
}

Json view_of(const ValueVersion& version) {
    Json json = {{"version", version.number},
                 {"size_bytes", version.bytes},
                 {"author", version.author},
                 {"created_at", format_rfc3339(version.created_at)}};
    if (version.copy_of != 0) json["copy_of"] = version.copy_of;
    return json;
}

Json view_of(const ValueKey& key, const ValueVersions& versions, const Wanted& wanted) {
    Json json = view_of(versions.rbegin()->second);
    json["name"] = key.name;
    json["space"] = key.space;
    json["used_by"] = users_of(wanted, key);
    return json;
}

void add_content(Json& json, const Secret& content) {
    const std::string_view bytes = content.reveal();
    const bool is_text = is_valid_utf8(bytes) && bytes.find('\0') == std::string_view::npos;
    if (is_text) {
        json["value"] = bytes;
    } else {
        json["base64"] = base64_encode(as_bytes(bytes));
    }
}

}  // namespace

Task<Result<>> Api::list_values(Call& call) {
    const ValueKind kind = kind_of(call);
    auto page = Page::asked_by(call);
    if (!page) co_return fail(page.error());
    const std::string& space = call.param("space");
    const auto& all = state_.wanted().values;
    // Behind the last name there may be.
    const auto end = all.upper_bound(ValueKey(space, kind, "~"));
    std::string last;
    auto at = all.upper_bound(ValueKey(space, kind, page->after()));
    for (; at != end && !page->is_full(); ++at) {
        last = at->first.name;
        page->add(view_of(at->first, at->second, state_.wanted()));
    }
    page->end(std::move(last), at != end);
    Json body = std::move(*page).answer(kind == ValueKind::kSecret ? "secrets" : "config");
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::get_value(Call& call) {
    CO_TRY_ASSIGN(const ValueKey key, key_of(call));
    uint64_t wanted = 0;
    if (const std::string version = call.query("version"); !version.empty()) {
        CO_TRY_ASSIGN(wanted, parse_uint(version));
    }
    const auto found = state_.wanted().values.find(key);
    if (found == state_.wanted().values.end()) {
        co_return fail(Code::kNotFound, "the space {} has not {}", key.space, to_string(key));
    }
    if (wanted == 0) wanted = found->second.rbegin()->first;
    if (!found->second.contains(wanted)) {
        co_return fail(Code::kNotFound, "{} has no version {}", to_string(key), wanted);
    }
    Json body = view_of(key, found->second, state_.wanted());
    Json versions = Json::array();
    for (auto at = found->second.rbegin(); at != found->second.rend(); ++at) {
        versions.push_back(view_of(at->second));
    }
    body["versions"] = std::move(versions);
    if (key.kind == ValueKind::kConfig) {
        auto content = co_await open_value(key, wanted);
        if (!content) co_return fail(content.error());
        add_content(body, *content);
        body["version"] = wanted;
    }
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<Secret>> Api::open_value(ValueKey key, uint64_t version) {
    const std::vector<ValueAt> wanted = {ValueAt(key, version)};
    auto work = [wanted](store::Connection& db) { return read_values(db, wanted); };
    auto contents = co_await state_.database().run(std::move(work));
    if (!contents) co_return fail(contents.error());
    if (key.kind == ValueKind::kSecret) co_return vault_.unseal(contents->front());
    CO_TRY_ASSIGN(std::string bytes, base64_decode(contents->front()));
    co_return Secret(std::move(bytes));
}

Task<Result<>> Api::set_value(Call& call) {
    CO_TRY_ASSIGN(const ValueKey key, key_of(call));
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    CO_TRY_ASSIGN(const Secret content, content_of(*json));
    const auto known = state_.wanted().values.find(key);
    if (known != state_.wanted().values.end()) {
        auto before = co_await open_value(key, known->second.rbegin()->first);
        const auto still = state_.wanted().values.find(key);
        if (before && before->reveal() == content.reveal() &&
            still != state_.wanted().values.end()) {
            // Said again, by a pipeline for example: nobody is restarted for it.
            Json body = view_of(key, still->second, state_.wanted());
            body["changed"] = false;
            call.note = "unchanged";
            respond(call, 200, body);
            co_return Result<>();
        }
    }
    NewValue value;
    value.key = key;
    value.bytes = content.reveal().size();
    if (key.kind == ValueKind::kSecret) {
        CO_TRY_ASSIGN(value.content, vault_.seal(content));
    } else {
        value.content = base64_encode(as_bytes(content.reveal()));
    }
    value.restarts = json_bool_or(*json, "restart", true);
    auto put = co_await put_value(call, std::move(value));
    co_return put;
}

Task<Result<>> Api::roll_value_back(Call& call) {
    CO_TRY_ASSIGN(const ValueKey key, key_of(call));
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    const auto found = state_.wanted().values.find(key);
    if (found == state_.wanted().values.end()) {
        co_return fail(Code::kNotFound, "the space {} has not {}", key.space, to_string(key));
    }
    const ValueVersions& versions = found->second;
    uint64_t to = static_cast<uint64_t>(std::max<int64_t>(0, json_int_or(*json, "to", 0)));
    if (to == 0 && versions.size() > 1) to = std::next(versions.rbegin())->first;
    const auto version = versions.find(to);
    if (version == versions.end() || to == versions.rbegin()->first) {
        co_return fail(Code::kNotFound, "{} has no version {} to go back to", to_string(key),
                       to == 0 ? std::string("before this one") : std::to_string(to));
    }
    NewValue value;
    value.key = key;
    value.bytes = version->second.bytes;
    value.copy_of = to;
    value.restarts = json_bool_or(*json, "restart", true);
    const std::vector<ValueAt> wanted = {ValueAt(key, to)};
    auto work = [wanted](store::Connection& db) { return read_values(db, wanted); };
    auto contents = co_await state_.database().run(std::move(work));
    if (!contents) co_return fail(contents.error());
    value.content = std::move(contents->front());
    auto put = co_await put_value(call, std::move(value));
    co_return put;
}

Task<Result<>> Api::put_value(Call& call, NewValue value) {
    value.author = call.who.name;
    const ValueKey key = value.key;
    auto shared = std::make_shared<NewValue>(std::move(value));
    auto effect = std::make_shared<ValueEffect>();
    State::MakeChange make = [this, shared, effect]() -> Result<Change> {
        const std::string& space = shared->key.space;
        if (!state_.spaces().contains(space)) {
            return fail(Code::kNotFound, "there is no space '{}'", space);
        }
        *effect = effect_of(state_.wanted(), *shared);
        for (const auto* names : {&effect->restarted, &effect->told}) {
            for (const std::string& name : *names) {
                const Writer writer(shared->author, "");
                CANDELA_TRY(check_writable(state_, ServiceKey(space, name), writer));
            }
        }
        return change_value(state_.wanted(), *shared, state_.loop().now(), state_.loop().wall());
    };
    auto committed = co_await state_.change(std::move(make));
    if (!committed) co_return fail(committed.error());
    const auto found = state_.wanted().values.find(key);
    if (found == state_.wanted().values.end()) {
        co_return fail(Code::kConflict, "{} was deleted meanwhile", to_string(key));
    }
    Json body = view_of(key, found->second, state_.wanted());
    body["changed"] = true;
    Json restarted = Json::array();
    for (const std::string& name : effect->restarted) {
        const auto service = state_.wanted().services.find(ServiceKey(key.space, name));
        const uint64_t release =
            service == state_.wanted().services.end() ? 0 : service->second.target;
        restarted.push_back({{"service", name}, {"release", release}});
    }
    body["restarted"] = std::move(restarted);
    body["told"] = effect->told;
    call.note = fmt::format("version {}", found->second.rbegin()->first);
    respond(call, found->second.size() == 1 ? 201 : 200, body);
    co_return Result<>();
}

Task<Result<>> Api::remove_value(Call& call) {
    CO_TRY_ASSIGN(const ValueKey key, key_of(call));
    State::MakeChange make = [this, key, who = call.who.name]() -> Result<Change> {
        return lighthouse::remove_value(state_.wanted(), key, who);
    };
    auto removed = co_await state_.change(std::move(make));
    if (!removed) co_return fail(removed.error());
    const Json body = {{"name", key.name}, {"deleted", true}};
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::rotate_sealing_key(Call& call) {
    auto sealed = std::make_shared<size_t>(0);
    State::Work work = [this, sealed] { return rotate_and_reseal(state_, vault_, sealed); };
    auto rotated = co_await state_.run(std::move(work));
    if (!rotated) co_return fail(rotated.error());
    call.note = fmt::format("{} sealed anew", *sealed);
    const Json body = {{"rotated", true}, {"sealed", *sealed}};
    respond(call, 200, body);
    co_return Result<>();
}

}  // namespace candela::lighthouse
