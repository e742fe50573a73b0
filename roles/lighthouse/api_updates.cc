// What people do to a service between deployments: plan, restart, pause, resume, promote, lock.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "api.h"
#include "base/text.h"
#include "fleet.h"
#include "service/manifest_diff.h"
#include "update_course.h"
#include "views.h"

namespace candela::lighthouse {

namespace {

constexpr int64_t kLockSecondsMax = 30 * 24 * 3600;
constexpr size_t kReasonBytesMax = 500;
using Course = std::vector<std::string>;

// A release as what two of them are compared by.
Json comparable(const service::Manifest& manifest, uint32_t instances, const std::string& bundle) {
    Json json = service::to_json(manifest);
    json["instances"] = instances;
    json["bundle"] = bundle;
    return json;
}

Result<const Service*> rolling(const State& state, const ServiceKey& key) {
    const auto found = state.wanted().services.find(key);
    if (found == state.wanted().services.end()) {
        return fail(Code::kNotFound, "there is no service '{}' in the space {}", key.second,
                    key.first);
    }
    const Release* target = found->second.find(found->second.target);
    if (found->second.deleting || target == nullptr || target->rollout != Rollout::kRolling) {
        return fail(Code::kConflict, "{} has no release that is rolling out", key.second);
    }
    return &found->second;
}

}  // namespace

bool names_revision(std::string_view if_match, const std::string& revision) {
    for (const std::string_view each : split(if_match, ',')) {
        const std::string_view tag = trim(each);
        if (tag == "*" || tag == fmt::format("\"{}\"", revision)) return true;
    }
    return false;
}

Result<> check_writable(const State& state, const ServiceKey& key, const Writer& writer) {
    const auto found = state.wanted().services.find(key);
    const bool is_there = found != state.wanted().services.end();
    if (!writer.if_match.empty()) {
        const std::string revision = is_there ? revision_of(found->second) : "";
        if (!is_there || !names_revision(writer.if_match, revision)) {
            return fail(Error(Code::kConflict,
                              is_there ? fmt::format("{} has changed: its revision is {} now",
                                                     key.second, revision)
                                       : fmt::format("there is no {} to match", key.second),
                              ESTALE));
        }
    }
    if (!is_there) return {};
    const Lock& lock = found->second.lock;
    if (!lock.is_held(state.loop().wall()) || lock.holder == writer.who) return {};
    return fail(Code::kConflict, "{} is locked by {} until {}{}{}", key.second, lock.holder,
                format_rfc3339(lock.until), lock.reason.empty() ? "" : ": ", lock.reason);
}

// Makes a change of a service in the flow, unless another has locked it, and answers with its
// target's release.
Task<Result<>> Api::change_rollout(Call& call, MakeServiceChange make) {
    const ServiceKey key(call.param("space"), call.param("service"));
    auto number = std::make_shared<uint64_t>(0);
    State::MakeChange change = [this, key, writer = call.writer(), number,
                                make]() -> Result<Change> {
        CANDELA_TRY(check_writable(state_, key, writer));
        CANDELA_TRY_ASSIGN(const Service* service, rolling(state_, key));
        *number = service->target;
        return make(*service);
    };
    auto done = co_await state_.change(std::move(change));
    if (!done) co_return fail(done.error());
    auto service = find_service(call);
    if (!service) co_return fail(service.error());
    const Release* release = (*service)->find(*number);
    if (release == nullptr) co_return fail(Code::kConflict, "{} changed meanwhile", key.second);
    respond(call, 200, view_of(**service, *release, state_));
    co_return Result<>();
}

Task<Result<>> Api::promote_release(Call& call) {
    MakeServiceChange make = [this](const Service& service) -> Result<Change> {
        const Release& target = *service.find(service.target);
        if (target.promoted) {
            return fail(Code::kConflict, "release {} of {} does not wait for a promotion",
                        target.number, service.key.second);
        }
        if (service.paused) {
            return fail(Code::kConflict, "{} is paused; resume it first", service.key.second);
        }
        if (!service.well_since) {
            return fail(Code::kConflict,
                        "release {} of {} is not well yet: promote it when all that runs of it is "
                        "ready",
                        target.number, service.key.second);
        }
        return promote(service, state_.loop().now());
    };
    auto done = co_await change_rollout(call, std::move(make));
    co_return done;
}

Task<Result<>> Api::pause_release(Call& call) {
    MakeServiceChange make = [this](const Service& service) -> Result<Change> {
        if (service.find(service.stable) == nullptr) {
            return fail(Code::kConflict, "{} has no release before this one to go on with",
                        service.key.second);
        }
        return service.paused ? Change() : set_paused(service, true, state_.loop().now());
    };
    auto done = co_await change_rollout(call, std::move(make));
    co_return done;
}

Task<Result<>> Api::resume_release(Call& call) {
    MakeServiceChange make = [this](const Service& service) -> Result<Change> {
        return service.paused ? set_paused(service, false, state_.loop().now()) : Change();
    };
    auto done = co_await change_rollout(call, std::move(make));
    co_return done;
}

Task<Result<>> Api::restart_service(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    auto service = find_service(call);
    if (!service) co_return fail(service.error());
    const Release* target = (*service)->find((*service)->target);
    if (target == nullptr) {
        co_return fail(Code::kConflict, "{} has no release that serves; deploy one",
                       call.param("service"));
    }
    const std::string idempotency_key = json_string_or(*json, "idempotency_key");
    const bool is_asked_again = find_by_key(**service, idempotency_key) != nullptr;
    if (target->rollout == Rollout::kRolling && !is_asked_again) {
        co_return fail(Code::kConflict, "release {} of {} is still rolling out", target->number,
                       call.param("service"));
    }
    Release release = copy_of(*target, "restart");
    release.idempotency_key = idempotency_key;
    const ServiceKey key(call.param("space"), call.param("service"));
    auto begun = co_await begin_release(call, key, std::move(release));
    co_return begun;
}

Task<Result<>> Api::lock_service(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    CO_TRY_ASSIGN(const int64_t seconds, json_int(*json, "seconds"));
    const std::string reason = json_string_or(*json, "reason");
    if (seconds < 1 || seconds > kLockSecondsMax) {
        co_return fail(Code::kInvalid, "seconds must be 1 to {}: a lock expires", kLockSecondsMax);
    }
    if (reason.size() > kReasonBytesMax) {
        co_return fail(Code::kInvalid, "a reason has at most {} bytes", kReasonBytesMax);
    }
    const ServiceKey key(call.param("space"), call.param("service"));
    call.note = fmt::format("for {} s{}{}", seconds, reason.empty() ? "" : ": ", reason);
    State::MakeChange make = [this, key, seconds, reason,
                              writer = call.writer()]() -> Result<Change> {
        CANDELA_TRY_ASSIGN(const Service* found, find_service(key));
        CANDELA_TRY(check_writable(state_, key, writer));
        const WallTime until = state_.loop().wall() + std::chrono::seconds(seconds);
        return set_lock(*found, Lock(writer.who, reason, until));
    };
    auto locked = co_await state_.change(std::move(make));
    if (!locked) co_return fail(locked.error());
    auto service = find_service(call);
    if (!service) co_return fail(service.error());
    respond(call, 200, view_of(**service, state_));
    co_return Result<>();
}

Task<Result<>> Api::unlock_service(Call& call) {
    const ServiceKey key(call.param("space"), call.param("service"));
    State::MakeChange make = [this, key]() -> Result<Change> {
        CANDELA_TRY_ASSIGN(const Service* found, find_service(key));
        return found->lock.holder.empty() ? Change() : set_lock(*found, Lock());
    };
    auto unlocked = co_await state_.change(std::move(make));
    if (!unlocked) co_return fail(unlocked.error());
    auto service = find_service(call);
    if (!service) co_return fail(service.error());
    respond(call, 200, view_of(**service, state_));
    co_return Result<>();
}

Task<Result<>> Api::plan_release(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    const ServiceKey key(call.param("space"), call.param("service"));
    const auto manifest = json->find("manifest");
    if (manifest == json->end()) co_return fail(Code::kInvalid, "\"manifest\" is missing");
    Release release;
    CO_TRY_ASSIGN(release.manifest, service::manifest_from_json(*manifest));
    CO_TRY_ASSIGN(release.bundle, json_string(*json, "bundle"));
    release.instances = release.manifest.instances;
    if (release.manifest.name != key.second) {
        co_return fail(Code::kInvalid, "the manifest's name is '{}', the path says '{}'",
                       release.manifest.name, key.second);
    }
    const auto found = state_.wanted().services.find(key);
    const Service* service = found == state_.wanted().services.end() ? nullptr : &found->second;
    const Release* current = service == nullptr ? nullptr : service->find(service->target);
    Json before;
    if (current != nullptr)
        before = comparable(current->manifest, current->instances, current->bundle);
    const auto changes = service::differences(
        before, comparable(release.manifest, release.instances, release.bundle));
    Json list = Json::array();
    for (const auto& change : changes) {
        list.push_back({{"key", change.key}, {"before", change.before}, {"after", change.after}});
    }
    Json problems = Json::array();
    const auto refused = check_release(state_, key, release, Writer(call.who.name, ""));
    if (!refused) problems.push_back(refused.error().message());
    const auto zones = check_time_zones(state_, release.manifest);
    if (!zones) problems.push_back(zones.error().message());
    // Whether the first of the new instances would find a place beside what runs now.
    const Fleet fleet(state_.wanted(), state_.seen(), state_.loop().now(), state_.limits());
    const bool comes_first = current == nullptr || release.manifest.update.max_surge > 0;
    if (release.instances > 0 && comes_first && !changes.empty() && !fleet.has_room(release)) {
        problems.push_back(fleet.why_no_room(release));
    }
    const Json body = {{"space", key.first},
                       {"service", key.second},
                       {"current", current == nullptr ? 0 : current->number},
                       {"release", (service == nullptr ? 0 : service->last_number) + 1},
                       {"strategy", service::to_string(release.manifest.update.strategy)},
                       {"changes", std::move(list)},
                       {"course", changes.empty() ? Course() : course_of(service, release)},
                       {"problems", std::move(problems)}};
    respond(call, 200, body);
    co_return Result<>();
}

}  // namespace candela::lighthouse
