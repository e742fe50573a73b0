#include "api.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace candela::lighthouse {

namespace {

// Splits a path at its slashes; each part decoded.
Result<std::vector<std::string>> parts_of(std::string_view path) {
    std::vector<std::string> parts;
    if (path.starts_with('/')) path.remove_prefix(1);
    for (const std::string_view part : split(path, '/')) {
        CANDELA_TRY_ASSIGN(std::string text, http::percent_decode(part));
        parts.push_back(std::move(text));
    }
    return parts;
}

bool matches(std::string_view pattern, const std::vector<std::string>& parts,
             std::map<std::string, std::string, std::less<>>& params) {
    params.clear();
    pattern.remove_prefix(1);
    const auto wanted = split(pattern, '/');
    if (wanted.size() != parts.size()) return false;
    for (size_t i = 0; i < wanted.size(); ++i) {
        if (wanted[i].starts_with('{')) {
            if (parts[i].empty()) return false;
            params.emplace(wanted[i].substr(1, wanted[i].size() - 2), parts[i]);
        } else if (wanted[i] != parts[i]) {
            return false;
        }
    }
    return true;
}

std::string_view hint_for(const Error& error) {
    if (error.code() == Code::kDenied) return "candela ctl keys create makes a credential";
    if (error.system_errno() == ENOSPC) return "make room on the lighthouse's disk";
    return "";
}

}  // namespace

int status_of(const Error& error) {
    switch (error.code()) {
        case Code::kInvalid: return 400;
        case Code::kDenied: return 403;
        case Code::kNotFound: return 404;
        case Code::kConflict: return error.system_errno() == ESTALE ? 412 : 409;
        // What is too large stays so; what is too much now may pass later.
        case Code::kExhausted: return error.system_errno() == EMSGSIZE ? 413 : 429;
        case Code::kUnreachable: return 503;
        case Code::kTimeout: return 504;
        case Code::kIo: return error.system_errno() == ENOSPC ? 507 : 500;
        default: return 500;
    }
}

Json error_json(const Error& error, std::string_view hint) {
    Json inner = {{"code", to_string(error.code())}, {"message", error.message()}};
    if (!hint.empty()) inner["hint"] = hint;
    return Json{{"error", inner}};
}

Api::Api(ApiParts parts, uint32_t own_uid, Logger log)
    : state_(parts.state),
      accounts_(parts.accounts),
      credentials_(parts.credentials),
      bundles_(parts.bundles),
      logs_(parts.logs),
      bus_(parts.bus),
      certificates_(parts.certificates),
      vault_(parts.vault),
      audit_(parts.audit),
      backup_(parts.backup),
      joins_(parts.joins),
      space_clients_(parts.space_clients),
      acme_(parts.acme),
      version_(parts.version),
      own_uid_(own_uid),
      log_(std::move(log)),
      sessions_([&accounts = parts.accounts](std::string_view key) {
          return accounts.find_claims(key);
      }) {}

Task<void> Api::handle(http::ServerRequest& request) {
    const auto answered = co_await dispatch(request);
    if (answered) co_return;
    const Error& error = answered.error();
    // A stream that breaks in the middle is cut: the client sees that it is not whole.
    if (request.has_begun_response()) co_return;
    int status = status_of(error);
    const bool is_anonymous = !request.header("authorization") && !request.peer().uid;
    if (error.code() == Code::kDenied && is_anonymous) status = 401;
    if (status >= 500) {
        log_.error("request_failed",
                   {{"method", request.method()}, {"path", request.path()}, {"error", error}});
    }
    const std::string body = dump_json(error_json(error, hint_for(error)));
    http::Headers headers = {{"Content-Type", "application/json"}};
    if (status == 401) headers.add("WWW-Authenticate", "Bearer");
    if (status == 429 || status == 503) headers.add("Retry-After", "1");
    request.respond(status, headers, body);
}

Task<Result<>> Api::dispatch(http::ServerRequest& request) {
    auto parts = parts_of(request.path());
    if (!parts) co_return fail(parts.error());
    Call call{request, {}, {}, {}, {}};
    const Endpoint* found = nullptr;
    bool is_path_known = false;
    for (const Endpoint& endpoint : endpoints()) {
        std::map<std::string, std::string, std::less<>> params;
        if (!matches(endpoint.path, *parts, params)) continue;
        is_path_known = true;
        if (endpoint.method != request.method()) continue;
        found = &endpoint;
        call.params = std::move(params);
        call.pattern = endpoint.path;
        break;
    }
    if (found == nullptr && is_path_known) {
        co_return fail(Code::kInvalid, "{} does not take {}", request.path(), request.method());
    }
    if (found == nullptr) co_return fail(Code::kNotFound, "there is nothing at {}", request.path());
    if (found->access != Access::kAnyone) {
        auto who = principal_of(request);
        if (!who) co_return fail(who.error());
        call.who = std::move(*who);
        auto may = check_access(*found, call);
        if (!may) co_return fail(may.error());
    }
    // A backup changes nothing, but it has all of the cloud's keys; a plan is asked by POST for its
    // body's sake alone.
    const bool is_change =
        found->access != Access::kAnyone && !found->path.ends_with("/plan") &&
        ((found->method != "GET" && found->method != "HEAD") || found->path == "/v1/backup");
    if (is_change) {
        auto answered = co_await answer_audited(*found, call);
        co_return answered;
    }
    auto answered = co_await (this->*found->answer)(call);
    co_return answered;
}

Task<Result<>> Api::answer_audited(const Endpoint& endpoint, Call& call) {
    AuditRecord asked;
    asked.who = call.who.name;
    asked.key = call.who.user_key;
    const http::PeerInfo& peer = call.request.peer();
    asked.source = peer.uid ? "unix socket" : peer.address.host;
    asked.action = fmt::format("{} {}", call.request.method(), call.request.path());
    if (const auto space = call.params.find("space"); space != call.params.end()) {
        asked.space = space->second;
    }
    auto mark = co_await audit_.note(std::move(asked));
    if (!mark) co_return fail(mark.error());
    auto answered = co_await (this->*endpoint.answer)(call);
    mark->end(answered, call.note);
    co_return answered;
}

Result<auth::Principal> Api::principal_of(const http::ServerRequest& request) const {
    constexpr std::string_view kBearer = "Bearer ";
    const auto header = request.header("authorization");
    if (header && header->starts_with(kBearer)) {
        CANDELA_TRY_ASSIGN(auth::Principal who,
                           sessions_.verify(header->substr(kBearer.size()), state_.loop().wall()));
        fill_grants(who);
        return who;
    }
    const auto uid = request.peer().uid;
    if (!uid)
        return fail(Code::kDenied, "no token: log in by /v1/auth/challenge and /v1/auth/token");
    if (*uid != own_uid_ && *uid != 0) {
        return fail(Code::kDenied, "the socket admits uid {} and root; you are uid {}", own_uid_,
                    *uid);
    }
    auth::Principal local;
    local.name = fmt::format("uid {}", *uid);
    local.role = auth::AccessRole::kOperator;
    return local;
}

// From what is kept here, not from the credential: so that a change is in force at once.
void Api::fill_grants(auth::Principal& who) const {
    const auto record = state_.keys().find(who.user_key);
    if (record == state_.keys().end() || record->second.grants.empty()) return;
    who.role = auth::AccessRole::kViewer;
    who.spaces.clear();
    who.grants.clear();
    for (const std::string& grant : record->second.grants) {
        const auto pair = split_once(grant, '=');
        const auto role = auth::parse_access_role(pair ? pair->second : "");
        if (!pair || !role) continue;
        who.grants.emplace(pair->first, *role);
        who.role = std::max(who.role, *role);
    }
    // It has no right anywhere, not those of one without grants.
    if (who.grants.empty()) who.grants.emplace(std::string(kNoGrant), who.role);
}

Result<> Api::check_still_valid(const auth::Principal& who) const {
    if (who.user_key.empty()) return {};
    const auth::AccountClaims* account = accounts_.find_claims(who.account_key);
    const bool is_expired =
        who.expires_at != 0 && who.expires_at <= unix_seconds(state_.loop().wall());
    auth::Principal now = who;
    fill_grants(now);
    const bool may_as_before = now.grants == who.grants;
    if (account != nullptr && !is_expired && may_as_before &&
        !account->is_revoked(who.user_key, who.issued_at)) {
        return {};
    }
    return fail(Code::kDenied, "the credential has been revoked or has expired");
}

Result<> Api::check_access(const Endpoint& endpoint, const Call& call) const {
    const auth::AccessRole needed =
        endpoint.access == Access::kOperator    ? auth::AccessRole::kOperator
        : endpoint.access == Access::kDeveloper ? auth::AccessRole::kDeveloper
                                                : auth::AccessRole::kViewer;
    const auto space = call.params.find("space");
    if (space == call.params.end()) {
        if (call.who.role >= needed) return {};
        return fail(Code::kDenied, "this needs the role {}; {} is {}", auth::to_string(needed),
                    call.who.name, auth::to_string(call.who.role));
    }
    if (!call.who.may(needed, space->second)) {
        return fail(Code::kDenied, "this needs the role {} in the space {}; {} has not",
                    auth::to_string(needed), space->second, call.who.name);
    }
    const bool makes_it = endpoint.path == "/v1/spaces/{space}";
    if (!makes_it && !state_.spaces().contains(space->second)) {
        return fail(Code::kNotFound, "there is no space '{}'", space->second);
    }
    return {};
}

Task<Result<Json>> Api::read_json(Call& call) {
    auto body = co_await call.request.read_all(kBodyBytesMax);
    if (!body && body.error().code() == Code::kExhausted) {
        co_return fail(Error(Code::kExhausted, body.error().message(), EMSGSIZE));
    }
    if (!body) co_return fail(body.error());
    auto json = parse_json(*body);
    if (!json) co_return fail(Code::kInvalid, "the body is not JSON: {}", json.error().message());
    if (!json->is_object()) co_return fail(Code::kInvalid, "the body must be a JSON object");
    co_return json;
}

void Api::respond(Call& call, int status, const Json& body) {
    call.request.respond(status, "application/json", dump_json(body));
}

Result<const Service*> Api::find_service(const Call& call) const {
    return find_service(ServiceKey(call.param("space"), call.param("service")));
}

Result<const Service*> Api::find_service(const ServiceKey& key) const {
    const auto found = state_.wanted().services.find(key);
    if (found != state_.wanted().services.end()) return &found->second;
    return fail(Code::kNotFound, "there is no service '{}' in the space {}", key.second, key.first);
}

bool Api::may_see(const auth::Principal& who, std::string_view space) const {
    return space.empty() ? who.is_operator() : who.may(auth::AccessRole::kViewer, space);
}

std::span<const Api::Endpoint> Api::endpoints() {
    using enum Access;
    static constexpr Endpoint kEndpoints[] = {
        {"GET", "/v1/version", kAnyone, &Api::get_version, "The version of the lighthouse.", "",
         ""},
        {"GET", "/openapi.json", kAnyone, &Api::get_openapi, "This document.", "", ""},
        {"POST", "/v1/auth/challenge", kAnyone, &Api::post_challenge,
         "A nonce to sign with a credential's key.", "", ""},
        {"POST", "/v1/auth/token", kAnyone, &Api::post_token,
         "A short-lived token for a credential's JWT and the signature over a nonce.",
         "jwt: string, nonce: string, signature: string", ""},
        {"GET", "/v1/status", kViewer, &Api::get_status, "Counts of everything, and what is wrong.",
         "", ""},
        {"GET", "/v1/nodes", kViewer, &Api::list_nodes, "The nodes of the cloud.", "",
         "after limit"},
        {"GET", "/v1/nodes/{node}", kViewer, &Api::get_node,
         "One node, what is placed on it, and why its services wait.", "", ""},
        {"DELETE", "/v1/nodes/{node}", kOperator, &Api::delete_node,
         "Forgets a node that is gone; what was on it is placed elsewhere at once.", "", ""},
        {"POST", "/v1/nodes/{node}/cordon", kOperator, &Api::cordon_node,
         "Places nothing new on a node.", "", ""},
        {"POST", "/v1/nodes/{node}/uncordon", kOperator, &Api::uncordon_node,
         "Uses a node again that was cordoned or drained.", "", ""},
        {"POST", "/v1/nodes/{node}/drain", kOperator, &Api::drain_node,
         "Moves what is on a node elsewhere, successors first, and places nothing new on it.", "",
         ""},
        {"POST", "/v1/nodes/{node}/revoke", kOperator, &Api::revoke_node,
         "Takes back what a node was given when it joined: the bus cuts it off.", "", ""},
        {"POST", "/v1/nodes/{node}/renew", kAnyone, &Api::renew_node,
         "New credentials and a new certificate for a node that has joined, for signatures over a "
         "nonce; also after the old ones have ended.",
         "nonce: string, credentials: array, tls_key: string", ""},
        {"GET", "/v1/join-tokens", kOperator, &Api::list_join_tokens,
         "Join tokens, used ones too; their secrets are not known to anyone.", "", "after limit"},
        {"POST", "/v1/join-tokens", kOperator, &Api::create_join_token,
         "Makes a token that lets one machine join.",
         "roles: array, node: string, seconds: integer, url: string", ""},
        {"DELETE", "/v1/join-tokens/{id}", kOperator, &Api::delete_join_token,
         "Withdraws a join token.", "", ""},
        {"POST", "/v1/join", kAnyone, &Api::join_node,
         "Makes a node of whoever shows the secret of a join token.",
         "secret: string, node: string, host_name: string, keys: object, tls_key: string", ""},
        {"GET", "/v1/spaces", kViewer, &Api::list_spaces, "The spaces that the caller may see.", "",
         "after limit"},
        {"POST", "/v1/spaces", kOperator, &Api::create_space, "Makes a space.", "name: string", ""},
        {"DELETE", "/v1/spaces/{space}", kOperator, &Api::delete_space,
         "Deletes a space that has no services, with its account and credentials.", "", ""},
        {"PUT", "/v1/spaces/{space}/quota", kOperator, &Api::set_quota,
         "How much the space's services may want, together; 0 or absent: no limit.",
         "services: integer, instances: integer, cpu_millis: integer, memory_bytes: integer", ""},
        {"HEAD", "/v1/bundles/{digest}", kDeveloper, &Api::check_bundle,
         "Whether the bundle with this SHA-256 is there.", "", ""},
        {"PUT", "/v1/bundles/{digest}", kDeveloper, &Api::put_bundle,
         "Stores a bundle; headers Candela-Signature and Candela-Signer.", "bytes", ""},
        {"GET", "/v1/spaces/{space}/services", kViewer, &Api::list_services,
         "The services of a space.", "", "after limit"},
        {"GET", "/v1/spaces/{space}/services/{service}", kViewer, &Api::get_service, "One service.",
         "", ""},
        {"DELETE", "/v1/spaces/{space}/services/{service}", kDeveloper, &Api::remove_service,
         "Drains and stops a service's instances and deletes it.", "", ""},
        {"GET", "/v1/spaces/{space}/services/{service}/releases", kViewer, &Api::list_releases,
         "The releases of a service, the newest first.", "", "after limit"},
        {"POST", "/v1/spaces/{space}/services/{service}/releases", kDeveloper, &Api::create_release,
         "Deploys: makes a release and rolls it out.",
         "manifest: object, bundle: string, signature: string, signer: string, "
         "idempotency_key: string",
         ""},
        {"GET", "/v1/spaces/{space}/services/{service}/releases/{number}", kViewer,
         &Api::get_release, "One release: its rollout, and why it failed.", "", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/rollback", kDeveloper, &Api::rollback,
         "Makes a new release of an old one; 0: the last that served before this one. Takes one "
         "back that is rolling out.",
         "to: integer, idempotency_key: string", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/plan", kViewer, &Api::plan_release,
         "What a release would change, and what would be in its way; changes nothing.",
         "manifest: object, bundle: string", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/promote", kDeveloper, &Api::promote_release,
         "Lets the canary, or green, take over.", "", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/pause", kDeveloper, &Api::pause_release,
         "Lets a rollout stand still.", "", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/resume", kDeveloper, &Api::resume_release,
         "Lets it go on.", "", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/restart", kDeveloper, &Api::restart_service,
         "Makes a new release of the one that serves.", "idempotency_key: string", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/lock", kDeveloper, &Api::lock_service,
         "Keeps everybody else from changing the service, for a while.",
         "seconds: integer, reason: string", ""},
        {"DELETE", "/v1/spaces/{space}/services/{service}/lock", kDeveloper, &Api::unlock_service,
         "Ends a lock before its time.", "", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/scale", kDeveloper, &Api::scale_service,
         "Sets how many instances a service has.", "instances: integer", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/purge", kDeveloper, &Api::purge_service,
         "Drops what gateways keep of a service's answers.",
         "path: string, host: string, exact: boolean", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/maintenance", kDeveloper,
         &Api::set_maintenance, "Has gateways answer 503 in the service's stead, or no longer.",
         "on: boolean", ""},
        {"GET", "/v1/spaces/{space}/instances", kViewer, &Api::list_instances,
         "The instances of a space or a service.", "", "service after limit"},
        {"GET", "/v1/spaces/{space}/usage", kViewer, &Api::get_usage,
         "CPU, memory, I/O and network of instances over time; step is 1s (of five minutes), 10s "
         "(of an hour) or 5m (of a week).",
         "", "service instance step"},
        {"GET", "/v1/nodes/{node}/usage", kViewer, &Api::get_node_usage,
         "CPU, memory and network of a node over time; step as for instances.", "", "step"},
        {"POST", "/v1/spaces/{space}/instances/{instance}/exec", kDeveloper, &Api::exec,
         "Runs a program within an instance's walls; the connection becomes its input and output "
         "(Upgrade: candela-stream).",
         "", "argument terminal kind rows columns"},
        {"POST", "/v1/spaces/{space}/instances/{instance}/forward", kDeveloper, &Api::forward,
         "Connects to an instance's port; the connection becomes that one (Upgrade: "
         "candela-stream).",
         "", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/build", kDeveloper, &Api::build,
         "Builds sources on a host; the connection becomes the way of the sources and of what is "
         "made of them (Upgrade: candela-stream). Without a node the host with the least load does.",
         "", "node"},
        {"GET", "/v1/spaces/{space}/logs", kViewer, &Api::stream_logs,
         "What services write, as NDJSON; follow=1 goes on, access=1 adds requests, since and until "
         "are times or how long ago.",
         "", "service instance release since until level grep trace access tail follow"},
        {"GET", "/v1/keys", kViewer, &Api::list_keys, "Credentials that were issued.", "",
         "space after limit"},
        {"POST", "/v1/keys", kOperator, &Api::create_key, "Issues a credential for a public key.",
         "name: string, space: string, role: string, expires: string, public_key: string, "
         "grants: array, publish_rate: integer, publish_bytes: string",
         ""},
        {"PUT", "/v1/keys/{public}/grants", kOperator, &Api::set_grants,
         "What a credential by grants may in which space, from now on.", "grants: array", ""},
        {"POST", "/v1/keys/{public}/rotate", kOperator, &Api::rotate_key,
         "Issues the same for another key; the old one is revoked after the overlap.",
         "public_key: string, overlap: string", ""},
        {"DELETE", "/v1/keys/{public}", kOperator, &Api::revoke_key, "Revokes a credential.", "",
         ""},
        {"GET", "/v1/certificates", kViewer, &Api::list_certificates,
         "The certificates that gateways serve; their private keys are never shown.", "",
         "after limit"},
        {"POST", "/v1/certificates", kOperator, &Api::add_certificate,
         "Takes a certificate with its chain and key, in PEM; replaces one of the same name.",
         "name: string, certificate: string, key: string", ""},
        {"DELETE", "/v1/certificates/{name}", kOperator, &Api::delete_certificate,
         "Deletes a certificate.", "", ""},
        {"GET", "/v1/spaces/{space}/secrets", kViewer, &Api::list_values,
         "The secrets of a space, without what is in them: nobody can read that back.", "",
         "after limit"},
        {"GET", "/v1/spaces/{space}/secrets/{name}", kViewer, &Api::get_value,
         "The versions of a secret, and who uses it.", "", ""},
        {"PUT", "/v1/spaces/{space}/secrets/{name}", kDeveloper, &Api::set_value,
         "Makes a new version of a secret; what uses it is restarted or told, as it asks for.",
         "value: string, base64: string, restart: boolean", ""},
        {"DELETE", "/v1/spaces/{space}/secrets/{name}", kDeveloper, &Api::remove_value,
         "Deletes a secret that nothing uses.", "", ""},
        {"POST", "/v1/spaces/{space}/secrets/{name}/rollback", kDeveloper, &Api::roll_value_back,
         "Makes a new version of an old one; 0: the one before the last.",
         "to: integer, restart: boolean", ""},
        {"GET", "/v1/spaces/{space}/config", kViewer, &Api::list_values,
         "The config values of a space.", "", "after limit"},
        {"GET", "/v1/spaces/{space}/config/{name}", kViewer, &Api::get_value,
         "A config value, its versions, and who uses it.", "", "version"},
        {"PUT", "/v1/spaces/{space}/config/{name}", kDeveloper, &Api::set_value,
         "Makes a new version of a config value; what uses it is restarted or told.",
         "value: string, base64: string, restart: boolean", ""},
        {"DELETE", "/v1/spaces/{space}/config/{name}", kDeveloper, &Api::remove_value,
         "Deletes a config value that nothing uses.", "", ""},
        {"POST", "/v1/spaces/{space}/config/{name}/rollback", kDeveloper, &Api::roll_value_back,
         "Makes a new version of an old one; 0: the one before the last.",
         "to: integer, restart: boolean", ""},
        {"GET", "/v1/spaces/{space}/flags", kViewer, &Api::list_flags,
         "The feature flags of a space, and whether its bus has them.", "", "after limit"},
        {"GET", "/v1/spaces/{space}/flags/{flag}", kViewer, &Api::get_flag,
         "A feature flag and its versions; what it says to a client, and why.", "", "client"},
        {"PUT", "/v1/spaces/{space}/flags/{flag}", kDeveloper, &Api::set_flag,
         "Makes a new version of a feature flag; services read it at once, from the bucket "
         "candela_flags of the space's bus.",
         "kind: string, value: any, percent: number, rules: objects, description: string", ""},
        {"DELETE", "/v1/spaces/{space}/flags/{flag}", kDeveloper, &Api::remove_flag,
         "Deletes a feature flag, for services as well.", "", ""},
        {"POST", "/v1/sealing-key/rotate", kOperator, &Api::rotate_sealing_key,
         "Seals all that is kept sealed with a new key.", "", ""},
        {"GET", "/v1/spaces/{space}/jobs", kViewer, &Api::list_jobs,
         "The jobs of a space or a service: schedule, next time, last run.", "",
         "service after limit"},
        {"GET", "/v1/spaces/{space}/services/{service}/jobs/{job}", kViewer, &Api::get_job,
         "One job and its runs, the newest first.", "", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/jobs/{job}/runs", kDeveloper,
         &Api::start_job_run, "Runs a job once, behind its command these arguments.",
         "arguments: array, idempotency_key: string", ""},
        {"GET", "/v1/spaces/{space}/services/{service}/jobs/{job}/runs/{run}", kViewer,
         &Api::get_job_run, "One run: its state, and how its last attempt ended.", "", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/jobs/{job}/runs/{run}/cancel", kDeveloper,
         &Api::cancel_job_run, "Stops a run; it is not tried again.", "", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/jobs/{job}/pause", kDeveloper,
         &Api::pause_job, "Lets the job's times pass.", "", ""},
        {"POST", "/v1/spaces/{space}/services/{service}/jobs/{job}/resume", kDeveloper,
         &Api::resume_job, "Lets the schedule go on from now on.", "", ""},
        {"GET", "/v1/audit", kOperator, &Api::list_audit,
         "Who changed what, the newest first; before and limit go through the pages.", "",
         "before limit space who"},
        {"GET", "/v1/audit/verdict", kOperator, &Api::verify_audit,
         "Whether the audit log is whole; head is a head that was noted earlier.", "", "head"},
        {"GET", "/v1/backup", kOperator, &Api::get_backup,
         "The lighthouse's state, keys and bundles as one stream.", "", ""},
        {"GET", "/v1/events", kViewer, &Api::stream_events, "What happens, as server-sent events.",
         "", "after"},
    };
    return kEndpoints;
}

}  // namespace candela::lighthouse
