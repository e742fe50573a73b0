// How much instances and nodes take.

#include <nlohmann/json.hpp>

#include "api.h"
#include "base/text.h"

namespace candela::lighthouse {

namespace {

Result<uint64_t> read_step(const Call& call) {
    const std::string text = call.query("step");
    if (text.empty() || text == "10s") return UsageBook::kMiddleMs;
    if (text == "1s") return UsageBook::kFineMs;
    if (text == "5m") return UsageBook::kCoarseMs;
    return fail(Code::kInvalid, "step: '{}' is none of 1s, 10s, 5m", printable(text));
}

Json list(const std::vector<UsageSample>& samples) {
    Json out = Json::array();
    for (const UsageSample& sample : samples) out.push_back(to_json(sample));
    return out;
}

}  // namespace

Task<Result<std::vector<UsageSample>>> Api::usage_samples(std::string key, uint64_t step_ms) {
    if (step_ms != UsageBook::kCoarseMs) co_return state_.usage().samples(key, step_ms);
    auto work = [key](store::Connection& db) { return read_usage(db, key); };
    co_return co_await state_.database().run(std::move(work));
}

Task<Result<>> Api::get_usage(Call& call) {
    constexpr size_t kInstancesMax = 100;
    CO_TRY_ASSIGN(const uint64_t step, read_step(call));
    const std::string service = call.query("service");
    const std::string wanted = call.query("instance");
    struct Place {
        std::string id, service, node;
    };
    std::vector<Place> places;
    for (const auto& [id, instance] : state_.wanted().instances) {
        if (instance.service.first != call.param("space")) continue;
        if (!service.empty() && instance.service.second != service) continue;
        if (!wanted.empty() && id != wanted) continue;
        places.push_back(Place(id, instance.service.second, instance.node));
    }
    if (!wanted.empty() && places.empty())
        co_return fail(Code::kNotFound, "there is no instance '{}'", printable(wanted));
    if (places.size() > kInstancesMax) {
        co_return fail(Code::kInvalid, "{} instances are too many at once; name a service",
                       places.size());
    }
    Json series = Json::array();
    for (const Place& place : places) {
        auto samples = co_await usage_samples(UsageBook::instance_key(place.id), step);
        if (!samples) co_return fail(samples.error());
        series.push_back(Json{{"instance", place.id},
                              {"service", place.service},
                              {"node", place.node},
                              {"samples", list(*samples)}});
    }
    const Json body = {{"space", call.param("space")},
                       {"step_seconds", step / 1000},
                       {"series", std::move(series)}};
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::get_node_usage(Call& call) {
    CO_TRY_ASSIGN(const uint64_t step, read_step(call));
    if (!state_.seen().nodes.contains(call.param("node")))
        co_return fail(Code::kNotFound, "there is no node '{}'", printable(call.param("node")));
    auto samples = co_await usage_samples(UsageBook::node_key(call.param("node")), step);
    if (!samples) co_return fail(samples.error());
    const Json body = {
        {"node", call.param("node")}, {"step_seconds", step / 1000}, {"samples", list(*samples)}};
    respond(call, 200, body);
    co_return Result<>();
}

}  // namespace candela::lighthouse
