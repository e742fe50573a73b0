// What there is: services, releases, instances.

#include <nlohmann/json.hpp>

#include "api.h"
#include "base/text.h"
#include "views.h"

namespace candela::lighthouse {

Task<Result<>> Api::get_status(Call& call) {
    size_t ready_nodes = 0;
    for (const auto& [name, node] : state_.seen().nodes) {
        if (node.heard_at &&
            !is_silent(node, state_.seen(), state_.loop().now(), state_.limits())) {
            ++ready_nodes;
        }
    }
    size_t ready_instances = 0;
    size_t instances = 0;
    size_t services = 0;
    for (const auto& [key, service] : state_.wanted().services) {
        if (!may_see(call.who, key.first)) continue;
        ++services;
        ready_instances += ready_count(service, 0, state_);
    }
    for (const auto& [id, instance] : state_.wanted().instances) {
        if (may_see(call.who, instance.service.first)) ++instances;
    }
    size_t certificates_failing = 0;
    for (const auto& [name, held] : certificates_.all()) {
        if (held.info.not_after <= state_.loop().wall()) ++certificates_failing;
    }
    if (acme_ != nullptr) certificates_failing += acme_->failing_count();
    const std::string acme_error = acme_ == nullptr ? "" : acme_->error();
    const Json body = {{"version", version_},
                       {"certificates", certificates_.all().size()},
                       {"certificates_failing", certificates_failing},
                       {"acme_error", acme_error},
                       {"epoch", state_.epoch()},
                       {"bus_connected", bus_.is_connected()},
                       {"trouble", state_.trouble()},
                       {"waiting_for_hosts", state_.holding()},
                       {"nodes", state_.seen().nodes.size()},
                       {"nodes_ready", ready_nodes},
                       {"spaces", state_.spaces().size()},
                       {"services", services},
                       {"instances", instances},
                       {"instances_ready", ready_instances}};
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::list_services(Call& call) {
    Json services = Json::array();
    for (const auto& [key, service] : state_.wanted().services) {
        if (key.first == call.param("space")) services.push_back(view_of(service, state_));
    }
    const Json body = {{"space", call.param("space")}, {"services", std::move(services)}};
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::get_service(Call& call) {
    auto service = find_service(call);
    if (!service) co_return fail(service.error());
    respond(call, 200, view_of(**service, state_));
    co_return Result<>();
}

Task<Result<>> Api::remove_service(Call& call) {
    const ServiceKey key(call.param("space"), call.param("service"));
    State::MakeChange make = [this, key, who = call.who.name]() -> Result<Change> {
        const auto service = state_.wanted().services.find(key);
        if (service == state_.wanted().services.end()) {
            return fail(Code::kNotFound, "there is no service '{}' in the space {}", key.second,
                        key.first);
        }
        CANDELA_TRY(check_unlocked(state_, key, who));
        return lighthouse::delete_service(service->second);
    };
    auto deleted = co_await state_.change(std::move(make));
    if (!deleted) co_return fail(deleted.error());
    const Json body = {{"space", key.first}, {"service", key.second}, {"deleted", true}};
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::list_releases(Call& call) {
    auto service = find_service(call);
    if (!service) co_return fail(service.error());
    Json releases = Json::array();
    const auto& all = (*service)->releases;
    for (auto release = all.rbegin(); release != all.rend(); ++release) {
        releases.push_back(view_of(**service, release->second, state_));
    }
    const Json body = {{"space", call.param("space")},
                       {"service", call.param("service")},
                       {"releases", std::move(releases)}};
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::get_release(Call& call) {
    auto service = find_service(call);
    if (!service) co_return fail(service.error());
    const auto number = parse_uint(call.param("number"));
    const Release* release = number ? (*service)->find(*number) : nullptr;
    if (release == nullptr) {
        co_return fail(Code::kNotFound, "{} has no release {}", call.param("service"),
                       call.param("number"));
    }
    respond(call, 200, view_of(**service, *release, state_));
    co_return Result<>();
}

Task<Result<>> Api::list_instances(Call& call) {
    const std::string service = call.query("service");
    Json instances = Json::array();
    for (const auto& [id, instance] : state_.wanted().instances) {
        if (instance.service.first != call.param("space")) continue;
        if (!service.empty() && instance.service.second != service) continue;
        instances.push_back(view_of(instance, state_));
    }
    const Json body = {{"space", call.param("space")}, {"instances", std::move(instances)}};
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::scale_service(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    CO_TRY_ASSIGN(const int64_t instances, json_int(*json, "instances"));
    if (instances < 0 || instances > int64_t{service::kInstancesMax}) {
        co_return fail(Code::kInvalid, "instances must be 0 to {}", service::kInstancesMax);
    }
    const ServiceKey key(call.param("space"), call.param("service"));
    call.note = fmt::format("{} instances", instances);
    State::MakeChange make = [this, key, instances, who = call.who.name]() -> Result<Change> {
        const auto found = state_.wanted().services.find(key);
        if (found == state_.wanted().services.end()) {
            return fail(Code::kNotFound, "there is no service '{}' in the space {}", key.second,
                        key.first);
        }
        const Service& service = found->second;
        if (service.deleting) return fail(Code::kConflict, "{} is being deleted", key.second);
        CANDELA_TRY(check_unlocked(state_, key, who));
        if (service.find(service.target) == nullptr) {
            return fail(Code::kConflict, "{} has no release that serves; deploy one", key.second);
        }
        return scale(service, static_cast<uint32_t>(instances), state_.loop().now());
    };
    auto scaled = co_await state_.change(std::move(make));
    if (!scaled) co_return fail(scaled.error());
    auto service = find_service(call);
    if (!service) co_return fail(service.error());
    respond(call, 200, view_of(**service, state_));
    co_return Result<>();
}

}  // namespace candela::lighthouse
