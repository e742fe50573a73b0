// What people deploy: bundles, releases, rollbacks.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "api.h"
#include "service/bundle.h"
#include "views.h"

namespace candela::lighthouse {

namespace {

constexpr size_t kIdempotencyKeyBytesMax = 128;

// A route can lead to one service only.
Result<> check_routes(const Wanted& wanted, const ServiceKey& key,
                      const service::Manifest& manifest) {
    for (const auto& [other, service] : wanted.services) {
        if (other == key) continue;
        for (const service::Route& taken : routes_of(service)) {
            const auto same = std::ranges::find_if(
                manifest.routes,
                [&](const service::Route& route) { return route.is_same_match(taken); });
            if (same == manifest.routes.end()) continue;
            return fail(Code::kConflict, "the route {}{} leads to {} already",
                        taken.host.empty() ? "*" : taken.host, taken.path, to_string(other));
        }
    }
    return {};
}

bool is_same_wish(const Release& a, const Release& b) {
    if (a.reason != b.reason) return false;
    // A restart asked for again would be of the release that the first one made.
    if (a.reason == "restart") return true;
    return a.bundle == b.bundle && a.manifest == b.manifest;
}

}  // namespace

const Release* find_by_key(const Service& service, std::string_view idempotency_key) {
    if (idempotency_key.empty()) return nullptr;
    const auto found = std::ranges::find_if(service.releases, [&](const auto& entry) {
        return entry.second.idempotency_key == idempotency_key;
    });
    return found == service.releases.end() ? nullptr : &found->second;
}

Result<> check_release(const State& state, const ServiceKey& key, const Release& release,
                       const Writer& writer) {
    const Wanted& wanted = state.wanted();
    const auto space = state.spaces().find(key.first);
    if (space == state.spaces().end()) {
        return fail(Code::kNotFound, "there is no space '{}'", key.first);
    }
    const auto service = wanted.services.find(key);
    if (service != wanted.services.end() && service->second.deleting) {
        return fail(Code::kConflict, "{} is being deleted; deploy it again when it is gone",
                    key.second);
    }
    CANDELA_TRY(check_writable(state, key, writer));
    CANDELA_TRY(check_routes(wanted, key, release.manifest));
    CANDELA_TRY(pin_values(wanted.values, key.first, release.manifest));
    return check_quota(wanted, space->second.quota, key, release.manifest.resources,
                       release.instances);
}

// The key that must have signed: an nkey, or the one that a JWT is for. It must be a credential of
// this cloud; on the unix socket, where the node's own user speaks, any key will do.
Result<std::string> Api::signer_key(const Call& call, std::string_view signer) const {
    if (signer.empty()) return fail(Code::kInvalid, "the signer is missing: a JWT or a user's key");
    std::string key(signer);
    if (signer.find('.') != std::string_view::npos) {
        auto lookup = [this](std::string_view account) { return accounts_.find_claims(account); };
        CANDELA_TRY_ASSIGN(const auth::UserClaims user,
                           auth::verify_user_jwt(signer, lookup, state_.loop().wall()));
        return user.subject;
    }
    if (!auth::is_public_key(key, auth::KeyKind::kUser)) {
        return fail(Code::kInvalid, "the signer is not a user's key, \"U…\"");
    }
    const bool is_local = call.who.user_key.empty();
    const auto known = state_.keys().find(key);
    const bool is_revoked = known != state_.keys().end() && known->second.revoked_at != 0;
    if (is_revoked) return fail(Code::kDenied, "the signer's credential has been revoked");
    if (is_local || key == call.who.user_key || known != state_.keys().end()) return key;
    return fail(Code::kDenied, "the signer is not a credential of this cloud");
}

Task<Result<>> Api::check_bundle(Call& call) {
    auto size = co_await bundles_.size_of(call.param("digest"));
    if (!size) co_return fail(size.error());
    const http::Headers headers = {{"Content-Type", "application/octet-stream"}};
    call.request.respond(200, headers, "");
    co_return Result<>();
}

Task<Result<>> Api::put_bundle(Call& call) {
    const std::string digest = call.param("digest");
    if (!service::is_valid_digest(digest)) {
        co_return fail(Code::kInvalid, "'{}' is not a digest: 64 lower-case hex digits", digest);
    }
    const std::string signature(call.request.header("candela-signature").value_or(""));
    auto signer = signer_key(call, call.request.header("candela-signer").value_or(""));
    if (!signer) co_return fail(signer.error());
    CO_TRY(service::verify_digest(digest, signature, *signer));
    auto upload = bundles_.begin();
    if (!upload) co_return fail(upload.error());
    for (;;) {
        auto chunk = co_await call.request.read_chunk();
        if (!chunk) co_return fail(chunk.error());
        if (!*chunk) break;
        auto written = co_await (*upload)->write(std::move(**chunk));
        if (!written) co_return fail(written.error());
    }
    auto stored = co_await (*upload)->finish(digest);
    if (!stored && stored.error().code() == Code::kCorrupt) {
        co_return fail(Code::kInvalid, "{}", stored.error().message());
    }
    if (!stored) co_return fail(stored.error());
    call.note = fmt::format("{} bytes", *stored);
    const Json body = {{"digest", digest}, {"size_bytes", *stored}};
    respond(call, 201, body);
    co_return Result<>();
}

Task<Result<>> Api::create_release(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    const ServiceKey key(call.param("space"), call.param("service"));
    const auto manifest = json->find("manifest");
    if (manifest == json->end()) co_return fail(Code::kInvalid, "\"manifest\" is missing");
    Release release;
    CO_TRY_ASSIGN(release.manifest, service::manifest_from_json(*manifest));
    CO_TRY_ASSIGN(release.bundle, json_string(*json, "bundle"));
    CO_TRY_ASSIGN(release.signature, json_string(*json, "signature"));
    CO_TRY_ASSIGN(const std::string signer, json_string(*json, "signer"));
    if (release.manifest.name != key.second) {
        co_return fail(Code::kInvalid, "the manifest's name is '{}', the path says '{}'",
                       release.manifest.name, key.second);
    }
    CO_TRY_ASSIGN(release.signer, signer_key(call, signer));
    CO_TRY(service::verify_digest(release.bundle, release.signature, release.signer));
    auto size = co_await bundles_.size_of(release.bundle);
    if (!size) co_return fail(size.error());
    release.bundle_bytes = *size;
    release.instances = release.manifest.instances;
    release.reason = "deploy";
    release.idempotency_key = json_string_or(*json, "idempotency_key");
    auto begun = co_await begin_release(call, key, std::move(release));
    co_return begun;
}

Task<Result<>> Api::rollback(Call& call) {
    auto json = co_await read_json(call);
    if (!json) co_return fail(json.error());
    const uint64_t wanted =
        static_cast<uint64_t>(std::max<int64_t>(0, json_int_or(*json, "to", 0)));
    auto service = find_service(call);
    if (!service) co_return fail(service.error());
    const Release* rolling = (*service)->find((*service)->target);
    const bool is_on_its_way = rolling != nullptr && rolling->rollout == Rollout::kRolling &&
                               (*service)->find((*service)->stable) != nullptr &&
                               (*service)->stable != rolling->number && !(*service)->deleting;
    if (is_on_its_way && (wanted == 0 || wanted == (*service)->stable)) {
        MakeServiceChange make = [this, who = call.who.name](const Service& now) -> Result<Change> {
            if (now.find(now.stable) == nullptr || now.stable == now.target)
                return fail(Code::kConflict, "{} changed meanwhile", now.key.second);
            return take_back(now, who, state_.loop().now(), state_.loop().wall());
        };
        auto taken_back = co_await change_rollout(call, std::move(make));
        co_return taken_back;
    }
    const Release* back = (*service)->find(wanted);
    if (wanted == 0) {
        // The last one that served before what is the target now.
        for (const auto& [number, release] : (*service)->releases) {
            if (number < (*service)->target && release.rollout == Rollout::kDone) back = &release;
        }
    }
    if (back == nullptr) {
        co_return fail(Code::kNotFound, "{} has no release {} to go back to", call.param("service"),
                       wanted == 0 ? std::string("before this one") : std::to_string(wanted));
    }
    Release release = copy_of(*back, "rollback");
    release.idempotency_key = json_string_or(*json, "idempotency_key");
    auto size = co_await bundles_.size_of(release.bundle);
    if (!size) co_return fail(size.error());
    const ServiceKey key(call.param("space"), call.param("service"));
    auto begun = co_await begin_release(call, key, std::move(release));
    co_return begun;
}

Task<Result<>> Api::begin_release(Call& call, ServiceKey key, Release release) {
    if (release.idempotency_key.size() > kIdempotencyKeyBytesMax) {
        co_return fail(Code::kInvalid, "an idempotency key has at most {} bytes",
                       kIdempotencyKeyBytesMax);
    }
    CO_TRY(check_time_zones(state_, release.manifest));
    release.author = call.who.name;
    auto number = std::make_shared<uint64_t>(0);
    auto is_known = std::make_shared<bool>(false);
    auto shared = std::make_shared<Release>(std::move(release));
    State::MakeChange make = [this, key, number, is_known, shared,
                              writer = call.writer()]() -> Result<Change> {
        const auto known = state_.wanted().services.find(key);
        const Release* before = known == state_.wanted().services.end()
                                    ? nullptr
                                    : find_by_key(known->second, shared->idempotency_key);
        if (before != nullptr) {
            if (!is_same_wish(*before, *shared)) {
                return fail(Code::kConflict, "the idempotency key '{}' was used for release {}",
                            shared->idempotency_key, before->number);
            }
            *number = before->number;
            *is_known = true;
            return Change();
        }
        CANDELA_TRY(check_release(state_, key, *shared, writer));
        CANDELA_TRY_ASSIGN(shared->values,
                           pin_values(state_.wanted().values, key.first, shared->manifest));
        Change change = start_release(state_.wanted(), key, std::move(*shared), state_.loop().now(),
                                      state_.loop().wall());
        *number = change.services.front().last_number;
        return change;
    };
    auto committed = co_await state_.change(std::move(make));
    if (!committed) co_return fail(committed.error());
    const auto service = state_.wanted().services.find(key);
    const Release* made =
        service == state_.wanted().services.end() ? nullptr : service->second.find(*number);
    if (made == nullptr) co_return fail(Code::kConflict, "{} was deleted meanwhile", key.second);
    call.note = fmt::format("release {}, bundle {}", *number, made->bundle);
    if (made->copy_of != 0) call.note += fmt::format(", as release {}", made->copy_of);
    respond(call, *is_known ? 200 : 201, view_of(service->second, *made, state_));
    co_return Result<>();
}

}  // namespace candela::lighthouse
