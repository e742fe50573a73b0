// Who may come in: sessions, keys, spaces, and the description of the API itself.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "api.h"
#include "base/json_lists.h"
#include "base/text.h"
#include "paging.h"
#include "views.h"

namespace candela::lighthouse {

namespace {

constexpr Duration kOverlapDefault = 1h;
constexpr Duration kOverlapMax = std::chrono::hours(24 * 30);
constexpr size_t kKeyNameMax = 128;
constexpr size_t kGrantsMax = 64;
constexpr int64_t kPublishRateMax = 1'000'000'000;

// How much the key's holder may publish in a second, in the words that the bus reads.
Result<std::vector<std::string>> publish_tags(const Json& json) {
    std::vector<std::string> tags;
    const int64_t messages = json_int_or(json, "publish_rate", 0);
    if (messages < 0 || messages > kPublishRateMax) {
        return fail(Code::kInvalid, "publish_rate must be from 1 to {} messages a second",
                    kPublishRateMax);
    }
    if (messages > 0) tags.push_back(fmt::format("candela:publish_rate={}", messages));
    if (const std::string text = json_string_or(json, "publish_bytes"); !text.empty()) {
        CANDELA_TRY_ASSIGN(const uint64_t bytes, parse_size(text));
        tags.push_back(fmt::format("candela:publish_bytes={}", bytes));
    }
    return tags;
}

// "SPACE=ROLE" each, of spaces that there are; an operator needs none.
Result<> check_grants(const State& state, const std::vector<std::string>& grants,
                      std::string_view role) {
    if (grants.size() > kGrantsMax) {
        return fail(Code::kInvalid, "a credential has at most {} grants", kGrantsMax);
    }
    if (!grants.empty() && role == "operator") {
        return fail(Code::kInvalid, "an operator may everything in every space: grant nothing");
    }
    for (const std::string& grant : grants) {
        const auto pair = split_once(grant, '=');
        if (!pair || pair->second == "operator" || !auth::parse_access_role(pair->second)) {
            return fail(Code::kInvalid,
                        "\"{}\" is not a grant; write SPACE=viewer or SPACE=developer",
                        printable(grant));
        }
        if (!state.spaces().contains(std::string(pair->first))) {
            return fail(Code::kNotFound, "there is no space '{}'", printable(pair->first));
        }
    }
    return {};
}

Json parameter(std::string_view name, std::string_view in) {
    return Json{
        {"name", name}, {"in", in}, {"required", in == "path"}, {"schema", {{"type", "string"}}}};
}

// "POST", "/v1/nodes/{node}/drain": "post_nodes_drain", as generators name functions.
std::string operation_id(const Api::Endpoint& endpoint) {
    std::string id = ascii_lower(endpoint.method);
    for (std::string_view part : split(endpoint.path, '/')) {
        if (part.empty() || part == "v1") continue;
        // What ends with a parameter is about one of what is before.
        const bool is_parameter = part.starts_with('{');
        if (is_parameter) part = part.substr(1, part.size() - 2);
        id += is_parameter ? "_by_" : "_";
        id += part;
    }
    for (char& c : id) {
        if (c == '-' || c == '.') c = '_';
    }
    return id;
}

// "name: string, to: integer" as a JSON schema.
Json body_schema(std::string_view takes) {
    Json properties = Json::object();
    for (const std::string_view member : split(takes, ',')) {
        const auto pair = split_once(member, ':');
        if (!pair) continue;
        Json& property = properties[std::string(trim(pair->first))];
        const std::string_view type = trim(pair->second);
        if (type == "objects") {
            property = {{"type", "array"}, {"items", {{"type", "object"}}}};
        } else if (type == "any") {
            property = Json::object();
        } else {
            property["type"] = type;
        }
        if (type == "array") property["items"] = {{"type", "string"}};
    }
    return Json{{"type", "object"}, {"properties", properties}};
}

Json operation_of(const Api::Endpoint& endpoint) {
    Json parameters = Json::array();
    for (const std::string_view part : split(endpoint.path, '/')) {
        if (part.starts_with('{')) {
            parameters.push_back(parameter(part.substr(1, part.size() - 2), "path"));
        }
    }
    for (const std::string_view name : split(endpoint.query, ' ')) {
        if (!name.empty()) parameters.push_back(parameter(name, "query"));
    }
    const bool has_revision = endpoint.path.starts_with("/v1/spaces/{space}/services/{service}") ||
                              endpoint.path == "/v1/spaces/{space}/flags/{flag}";
    if (has_revision && endpoint.access == Api::Access::kDeveloper) {
        Json field = parameter("If-Match", "header");
        field["description"] = "The revision that the change is for, as the ETag has it.";
        parameters.push_back(std::move(field));
    }
    const Json object = {{"application/json", {{"schema", {{"type", "object"}}}}}};
    const Json error = {
        {"description", "What went wrong."},
        {"content",
         {{"application/json", {{"schema", {{"$ref", "#/components/schemas/Error"}}}}}}}};
    Json operation = {
        {"operationId", operation_id(endpoint)},
        {"summary", endpoint.summary},
        {"parameters", parameters},
        {"responses",
         {{"2XX", {{"description", "Done."}, {"content", object}}}, {"default", error}}}};
    if (endpoint.takes == "bytes") {
        operation["requestBody"] = {{"content", {{"application/octet-stream", Json::object()}}}};
    } else if (!endpoint.takes.empty()) {
        const Json media = {{"schema", body_schema(endpoint.takes)}};
        operation["requestBody"] = {{"content", {{"application/json", media}}}};
    }
    if (endpoint.access == Api::Access::kAnyone) operation["security"] = Json::array();
    return operation;
}

}  // namespace

Task<Result<>> Api::get_version(Call& call) {
    const Json body = {{"version", version_}};
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::get_openapi(Call& call) {
    Json paths = Json::object();
    for (const Endpoint& endpoint : endpoints()) {
        paths[std::string(endpoint.path)][ascii_lower(endpoint.method)] = operation_of(endpoint);
    }
    const Json scheme = {{"type", "http"}, {"scheme", "bearer"}};
    const Json text = {{"type", "string"}};
    const Json inner = {{"type", "object"},
                        {"required", Json::array({"code", "message"})},
                        {"properties", {{"code", text}, {"message", text}, {"hint", text}}}};
    const Json schemas = {{"Error",
                           {{"type", "object"},
                            {"required", Json::array({"error"})},
                            {"properties", {{"error", inner}}}}}};
    const Json body = {
        {"openapi", "3.1.0"},
        {"info", {{"title", "candela lighthouse"}, {"version", version_}}},
        {"security", Json::array({{{"token", Json::array()}}})},
        {"components", {{"securitySchemes", {{"token", scheme}}}, {"schemas", schemas}}},
        {"paths", paths}};
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::post_challenge(Call& call) {
    const Json body = {{"nonce", sessions_.challenge(state_.loop().now())}};
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::post_token(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    CO_TRY_ASSIGN(const std::string jwt, json_string(*json, "jwt"));
    CO_TRY_ASSIGN(const std::string nonce, json_string(*json, "nonce"));
    CO_TRY_ASSIGN(const std::string signature, json_string(*json, "signature"));
    const Loop& loop = state_.loop();
    auto token = sessions_.login(jwt, nonce, signature, loop.now(), loop.wall());
    if (!token) co_return fail(token.error());
    const Json body = {{"token", token->text},
                       {"expires_at", format_rfc3339(from_unix_millis(token->expires_at * 1000))}};
    respond(call, 200, body);
    co_return Result<>();
}

// ---- keys

Task<Result<>> Api::list_keys(Call& call) {
    auto page = Page::asked_by(call);
    if (!page) co_return fail(page.error());
    const std::string space = call.query("space");
    page->fill(state_.keys(), [&](Page& into, const KeyRecord& key) {
        if (key.kind != KeyKind::kPerson || !may_see(call.who, key.space)) return;
        // Those of operators belong to no space, and are shown with any.
        if (!space.empty() && !key.space.empty() && key.space != space) return;
        into.add(view_of(key));
    });
    const Json body = std::move(*page).answer("keys");
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::create_key(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    IssueRequest wanted;
    CO_TRY_ASSIGN(wanted.name, json_string(*json, "name"));
    CO_TRY_ASSIGN(wanted.public_key, json_string(*json, "public_key"));
    wanted.space = json_string_or(*json, "space", auth::kDefaultSpace);
    wanted.role = json_string_or(*json, "role", "developer");
    CO_TRY(auth::parse_access_role(wanted.role));
    CO_TRY_ASSIGN(wanted.grants, json_strings(*json, "grants"));
    CO_TRY(check_grants(state_, wanted.grants, wanted.role));
    if (wanted.name.empty() || wanted.name.size() > kKeyNameMax) {
        co_return fail(Code::kInvalid, "name must have 1 to {} characters", kKeyNameMax);
    }
    const bool has_space = wanted.role != "operator" && wanted.grants.empty();
    if (has_space && !state_.spaces().contains(wanted.space)) {
        co_return fail(Code::kNotFound, "there is no space '{}'", wanted.space);
    }
    if (const std::string expires = json_string_or(*json, "expires"); !expires.empty()) {
        CO_TRY_ASSIGN(wanted.lifetime, parse_duration(expires));
        if (wanted.lifetime <= Duration::zero())
            co_return fail(Code::kInvalid, "expires must be above 0");
    }
    CO_TRY_ASSIGN(wanted.tags, publish_tags(*json));
    const std::string rights = has_space ? fmt::format("{} in {}", wanted.role, wanted.space)
                               : wanted.grants.empty() ? wanted.role
                                                       : join(wanted.grants, " ");
    call.note = fmt::format("{}, {}: {}", wanted.name, rights, cut_utf8(wanted.public_key, 64));
    auto issued = co_await credentials_.issue(std::move(wanted));
    if (!issued) co_return fail(issued.error());
    Json body = view_of(issued->record);
    body["jwt"] = issued->jwt;
    respond(call, 201, body);
    co_return Result<>();
}

Task<Result<>> Api::set_grants(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    CO_TRY_ASSIGN(std::vector<std::string> grants, json_strings(*json, "grants"));
    CO_TRY(check_grants(state_, grants, "viewer"));
    if (grants.empty()) grants.emplace_back(kNoGrant);
    const std::string key = call.param("public");
    call.note = join(grants, " ");
    auto done = co_await credentials_.set_grants(key, grants);
    if (!done) co_return fail(done.error());
    const auto record = state_.keys().find(key);
    if (record == state_.keys().end()) co_return fail(Code::kConflict, "the key is gone again");
    respond(call, 200, view_of(record->second));
    co_return Result<>();
}

Task<Result<>> Api::rotate_key(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    CO_TRY_ASSIGN(const std::string new_key, json_string(*json, "public_key"));
    Duration overlap = kOverlapDefault;
    if (const std::string text = json_string_or(*json, "overlap"); !text.empty()) {
        CO_TRY_ASSIGN(overlap, parse_duration(text));
    }
    if (overlap < Duration::zero() || overlap > kOverlapMax) {
        co_return fail(Code::kInvalid, "overlap must be 0s to {}", format_duration(kOverlapMax));
    }
    const std::string key = call.param("public");
    call.note = fmt::format("{} takes its place, after {}", cut_utf8(new_key, 64),
                            format_duration(overlap));
    auto issued = co_await credentials_.rotate(key, new_key, overlap);
    if (!issued) co_return fail(issued.error());
    // Of the old one nothing is left where there is no overlap, as after a revocation.
    if (overlap == Duration::zero()) co_await bus_.wait_pushed(kPushWait);
    const auto old = state_.keys().find(key);
    Json body = view_of(issued->record);
    body["jwt"] = issued->jwt;
    body["replaces"] = key;
    if (old != state_.keys().end()) body["old_ends_at"] = view_of(old->second)["ends_at"];
    respond(call, 201, body);
    co_return Result<>();
}

Task<Result<>> Api::revoke_key(Call& call) {
    const std::string key = call.param("public");
    auto revoked = co_await credentials_.revoke(key);
    if (!revoked) co_return fail(revoked.error());
    // Whoever asked may rely on it: the bus has cut the key off when this answers.
    co_await bus_.wait_pushed(kPushWait);
    const Json body = {{"public", key}, {"revoked", true}};
    respond(call, 200, body);
    co_return Result<>();
}

// ---- spaces

Task<Result<>> Api::list_spaces(Call& call) {
    auto page = Page::asked_by(call);
    if (!page) co_return fail(page.error());
    page->fill(state_.spaces(), [&](Page& into, const SpaceRecord& space) {
        if (may_see(call.who, space.name)) into.add(view_of(space, state_));
    });
    const Json body = std::move(*page).answer("spaces");
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::create_space(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    CO_TRY_ASSIGN(const std::string name, json_string(*json, "name"));
    if (!service::is_valid_name(name)) {
        co_return fail(Code::kInvalid, "'{}' is not a name: [a-z][a-z0-9-]*, at most 63 characters",
                       name);
    }
    call.note = name;
    auto created = co_await credentials_.create_space(name);
    if (!created) co_return fail(created.error());
    // A login to an account that the bus does not know yet would fail.
    co_await bus_.wait_pushed(kPushWait);
    const auto space = state_.spaces().find(name);
    if (space == state_.spaces().end()) co_return fail(Code::kConflict, "the space is gone again");
    respond(call, 201, view_of(space->second, state_));
    co_return Result<>();
}

Task<Result<>> Api::delete_space(Call& call) {
    const std::string name = call.param("space");
    auto deleted = co_await credentials_.delete_space(name);
    if (!deleted) co_return fail(deleted.error());
    const Json body = {{"name", name}, {"deleted", true}};
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::set_quota(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    CO_TRY_ASSIGN(const Quota quota, quota_from_json(*json));
    const std::string name = call.param("space");
    call.note = dump_json(quota_json(quota));
    State::Work work = [this, name, quota]() -> Task<Result<>> {
        const auto found = state_.spaces().find(name);
        if (found == state_.spaces().end()) {
            co_return fail(Code::kNotFound, "there is no space '{}'", name);
        }
        SpaceRecord space = found->second;
        space.quota = quota;
        auto done = co_await state_.put_space(std::move(space));
        co_return done;
    };
    auto done = co_await state_.run(std::move(work));
    if (!done) co_return fail(done.error());
    const auto space = state_.spaces().find(name);
    if (space == state_.spaces().end()) co_return fail(Code::kConflict, "the space is gone again");
    respond(call, 200, view_of(space->second, state_));
    co_return Result<>();
}

}  // namespace candela::lighthouse
