// What there is: services, releases, instances.

#include <nlohmann/json.hpp>

#include "api.h"
#include "base/text.h"
#include "paging.h"
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
    auto page = Page::asked_by(call);
    if (!page) co_return fail(page.error());
    const std::string& space = call.param("space");
    const auto& all = state_.wanted().services;
    page->fill(
        all.upper_bound(ServiceKey(space, page->after())), all.upper_bound(ServiceKey(space, "~")),
        [](const ServiceKey& key) { return key.second; },
        [this](Page& into, const Service& service) { into.add(view_of(service, state_)); });
    Json body = std::move(*page).answer("services");
    body["space"] = space;
    respond(call, 200, body);
    co_return Result<>();
}

Task<Result<>> Api::get_service(Call& call) {
    auto service = find_service(call);
    if (!service) co_return fail(service.error());
    const http::Headers headers = {{"Content-Type", "application/json"},
                                   {"ETag", fmt::format("\"{}\"", revision_of(**service))}};
    call.request.respond(200, headers, dump_json(view_of(**service, state_)));
    co_return Result<>();
}

Task<Result<>> Api::remove_service(Call& call) {
    const ServiceKey key(call.param("space"), call.param("service"));
    State::MakeChange make = [this, key, writer = call.writer()]() -> Result<Change> {
        CANDELA_TRY_ASSIGN(const Service* service, find_service(key));
        CANDELA_TRY(check_writable(state_, key, writer));
        return lighthouse::delete_service(*service);
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
    auto page = Page::asked_by(call);
    if (!page) co_return fail(page.error());
    const auto& all = (*service)->releases;
    auto first = all.rbegin();
    if (!page->after().empty()) {
        const auto after = parse_uint(page->after());
        if (!after) co_return fail(Code::kInvalid, "after must be the number of a release");
        first = std::make_reverse_iterator(all.lower_bound(*after));
    }
    page->fill(
        first, all.rend(), [](uint64_t number) { return std::to_string(number); },
        [&](Page& into, const Release& release) { into.add(view_of(**service, release, state_)); });
    Json body = std::move(*page).answer("releases");
    body["space"] = call.param("space");
    body["service"] = call.param("service");
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
    auto page = Page::asked_by(call);
    if (!page) co_return fail(page.error());
    const std::string& space = call.param("space");
    const std::string service = call.query("service");
    const auto show = [&](Page& into, const Instance& instance) {
        if (instance.service.first != space) return;
        if (!service.empty() && instance.service.second != service) return;
        into.add(view_of(instance, state_));
    };
    const auto& all = state_.wanted().instances;
    const auto [first, last] = service.empty()
                                   ? std::pair(all.upper_bound(page->after()), all.end())
                                   : state_.wanted().instances_named(service, page->after());
    page->fill(first, last, [](const std::string& id) { return id; }, show);
    Json body = std::move(*page).answer("instances");
    body["space"] = space;
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
    State::MakeChange make = [this, key, instances, writer = call.writer()]() -> Result<Change> {
        CANDELA_TRY_ASSIGN(const Service* found, find_service(key));
        const Service& service = *found;
        if (service.deleting) return fail(Code::kConflict, "{} is being deleted", key.second);
        CANDELA_TRY(check_writable(state_, key, writer));
        if (service.find(service.target) == nullptr) {
            return fail(Code::kConflict, "{} has no release that serves; deploy one", key.second);
        }
        const Release& target = *service.find(service.target);
        // Fewer are always fine, also where a quota was set below what is there.
        if (instances > int64_t{target.instances}) {
            CANDELA_TRY(check_quota(state_.wanted(), state_.spaces().at(key.first).quota, key,
                                    target.manifest.resources, static_cast<uint64_t>(instances)));
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
