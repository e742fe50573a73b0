// What gateways do with a service's requests, changed without a release: purges of what they keep,
// and maintenance. Both travel in the route table, so that a gateway that was away has them, too.

#include <nlohmann/json.hpp>

#include "api.h"
#include "base/text.h"
#include "loop/flow.h"

namespace candela::lighthouse {

namespace {

constexpr Duration kConfirmedMax = 5s;
constexpr Duration kPollInterval = 20ms;
constexpr size_t kPathBytesMax = 4096;

}  // namespace

// Waits until the gateways that are heard serve the table, or for a while; says which don't.
Task<Json> Api::wait_for_gateways(uint64_t version) {
    const MonoTime end = state_.loop().now() + kConfirmedMax;
    std::vector<std::string> missing = state_.gateways_without(version);
    while (!missing.empty() && state_.loop().now() < end) {
        co_await sleep_for(state_.loop(), kPollInterval);
        missing = state_.gateways_without(version);
    }
    Json answer;
    answer["gateways"] = state_.gateways_without(UINT64_MAX);
    answer["missing"] = missing;
    co_return answer;
}

Task<Result<>> Api::purge_service(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    auto found = find_service(call);
    if (!found) co_return fail(found.error());
    proto::CachePurge purge;
    purge.space = call.param("space");
    purge.service = call.param("service");
    purge.host = ascii_lower(json_string_or(*json, "host", ""));
    purge.path = json_string_or(*json, "path", "/");
    purge.exact = json_bool_or(*json, "exact", false);
    if (!purge.path.starts_with('/') || purge.path.size() > kPathBytesMax) {
        co_return fail(Code::kInvalid, "path begins with a slash; write for example \"/images\"");
    }
    if (purge.host.size() > proto::kNameBytesMax) {
        co_return fail(Code::kInvalid, "host has at most {} letters", proto::kNameBytesMax);
    }
    const uint64_t version = state_.purge(std::move(purge));
    Json answer = co_await wait_for_gateways(version);
    respond(call, 200, answer);
    co_return Result<>();
}

Task<Result<>> Api::set_maintenance(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    const bool is_on = json_bool_or(*json, "on", true);
    const ServiceKey key(call.param("space"), call.param("service"));
    State::MakeChange make = [this, key, is_on, writer = call.writer()]() -> Result<Change> {
        CANDELA_TRY_ASSIGN(const Service* found, find_service(key));
        CANDELA_TRY(check_writable(state_, key, writer));
        return maintain(*found, is_on);
    };
    auto changed = co_await state_.change(std::move(make));
    if (!changed) co_return fail(changed.error());
    Json answer = co_await wait_for_gateways(state_.seen().routes_version);
    answer["maintenance"] = is_on;
    respond(call, 200, answer);
    co_return Result<>();
}

}  // namespace candela::lighthouse
