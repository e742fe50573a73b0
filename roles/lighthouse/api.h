#pragma once

// The lighthouse's REST API (docs/architecture.md "API"), the same over the unix socket and TLS.
// One table of routes says for each what it is, who may, and what it takes and gives; /openapi.json
// is made from it. Handlers look at the state, and change it only through State and Credentials.
// Lives on the control loop.

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accounts.h"
#include "acme_keeper.h"
#include "audit.h"
#include "auth/session.h"
#include "backup.h"
#include "base/json.h"
#include "bundle_store.h"
#include "bus_side.h"
#include "certificate_book.h"
#include "credentials.h"
#include "http/flow_server.h"
#include "join_book.h"
#include "log_store.h"
#include "space_clients.h"
#include "state.h"
#include "vault.h"

namespace candela::lighthouse {

// Who wants a change of a service, and which revision of it they have seen.
struct Writer {
    std::string who;
    std::string if_match;  // the field, as it came; empty: any revision will do
};

// One request on its way through a handler.
struct Call {
    http::ServerRequest& request;
    auth::Principal who;
    std::map<std::string, std::string, std::less<>> params;  // of the path, decoded
    std::string_view pattern;                                // of the endpoint
    std::string note;  // for the audit log: what the path does not say of a change. No secrets

    const std::string& param(std::string_view name) const { return params.find(name)->second; }
    Writer writer() const {
        return Writer(who.name, std::string(request.header("if-match").value_or("")));
    }
    std::string query(std::string_view name) const {
        return std::string(request.query(name).value_or(""));
    }
};

struct ApiParts {
    State& state;
    Accounts& accounts;
    Credentials& credentials;
    BundleStore& bundles;
    LogStore& logs;
    BusSide& bus;
    CertificateBook& certificates;
    Vault& vault;
    Audit& audit;
    Backup& backup;
    JoinBook& joins;
    SpaceClients& space_clients;
    const AcmeKeeper* acme;  // null: no certificates are ordered
    const std::string& version;
};

class Api final : public http::Handler {
public:
    static constexpr size_t kBodyBytesMax = 1 << 20;  // of what is JSON
    static constexpr size_t kFollowersMax = 200;      // logs and events that go on
    static constexpr size_t kLogTailDefault = 100;
    static constexpr Duration kPushWait = 3s;  // for the bus to be told of what changed
    static constexpr size_t kJoinedMax = 256;  // connections into instances
    // How soon a connection into an instance ends when its credential has.
    static constexpr Duration kRecheckInterval = 2s;

    Api(ApiParts parts, uint32_t own_uid, Logger log);

    Task<void> handle(http::ServerRequest& request) override;

    enum class Access : uint8_t { kAnyone, kViewer, kDeveloper, kOperator };
    using Answer = Task<Result<>> (Api::*)(Call&);
    struct Endpoint {
        std::string_view method;
        std::string_view path;  // "/v1/spaces/{space}"
        Access access;          // in the space of the path, where it names one
        Answer answer;
        std::string_view summary;
        std::string_view takes;  // the JSON body's members, "name: string, …"; empty: none
        std::string_view query;  // the parameters' names, separated by blanks
    };
    static std::span<const Endpoint> endpoints();

private:
    // api.cc: finding out who asks for what
    Result<auth::Principal> principal_of(const http::ServerRequest& request) const;
    void fill_grants(auth::Principal& who) const;
    // For answers that go on: a credential may end meanwhile.
    Result<> check_still_valid(const auth::Principal& who) const;
    Result<> check_access(const Endpoint& endpoint, const Call& call) const;
    Task<Result<>> dispatch(http::ServerRequest& request);
    Task<Result<>> answer_audited(const Endpoint& endpoint, Call& call);
    Task<Result<Json>> read_json(Call& call);
    void respond(Call& call, int status, const Json& body);

    // api_access.cc
    Task<Result<>> get_version(Call& call);
    Task<Result<>> post_challenge(Call& call);
    Task<Result<>> post_token(Call& call);
    Task<Result<>> get_openapi(Call& call);
    Task<Result<>> list_keys(Call& call);
    Task<Result<>> create_key(Call& call);
    Task<Result<>> revoke_key(Call& call);
    Task<Result<>> set_grants(Call& call);
    Task<Result<>> rotate_key(Call& call);
    Task<Result<>> list_spaces(Call& call);
    Task<Result<>> create_space(Call& call);
    Task<Result<>> delete_space(Call& call);
    Task<Result<>> set_quota(Call& call);

    // api_nodes.cc
    Task<Result<>> list_nodes(Call& call);
    Task<Result<>> get_node(Call& call);
    Task<Result<>> cordon_node(Call& call);
    Task<Result<>> uncordon_node(Call& call);
    Task<Result<>> drain_node(Call& call);
    Task<Result<>> delete_node(Call& call);
    Task<Result<>> set_mode(Call& call, NodeMode mode);
    Result<const Node*> find_node(const std::string& name) const;
    Json view_with_instances(const Node& node, const auth::Principal& who) const;

    // api_join.cc
    Task<Result<>> list_join_tokens(Call& call);
    Task<Result<>> create_join_token(Call& call);
    Task<Result<>> delete_join_token(Call& call);
    Task<Result<>> join_node(Call& call);
    Task<Result<>> renew_node(Call& call);
    Task<Result<>> revoke_node(Call& call);
    Result<NodeKeys> proven_keys(const Call& call, const Json& json);
    Json admission_view(const Admission& admission) const;
    Json bus_view() const;

    // api_services.cc
    Task<Result<>> get_status(Call& call);
    Task<Result<>> list_services(Call& call);
    Task<Result<>> get_service(Call& call);
    Task<Result<>> remove_service(Call& call);
    Task<Result<>> list_releases(Call& call);
    Task<Result<>> get_release(Call& call);
    Task<Result<>> list_instances(Call& call);
    Task<Result<>> scale_service(Call& call);
    Task<Result<>> purge_service(Call& call);
    Task<Result<>> set_maintenance(Call& call);
    Task<Json> wait_for_gateways(uint64_t version);

    // api_releases.cc
    Task<Result<>> create_release(Call& call);
    Task<Result<>> rollback(Call& call);
    Task<Result<>> check_bundle(Call& call);
    Task<Result<>> put_bundle(Call& call);
    Task<Result<>> begin_release(Call& call, ServiceKey key, Release release);
    Result<std::string> signer_key(const Call& call, std::string_view signer) const;

    // api_updates.cc
    using MakeServiceChange = std::function<Result<Change>(const Service& service)>;
    Task<Result<>> plan_release(Call& call);
    Task<Result<>> promote_release(Call& call);
    Task<Result<>> pause_release(Call& call);
    Task<Result<>> resume_release(Call& call);
    Task<Result<>> restart_service(Call& call);
    Task<Result<>> lock_service(Call& call);
    Task<Result<>> unlock_service(Call& call);
    Task<Result<>> change_rollout(Call& call, MakeServiceChange make);

    // api_certificates.cc
    Task<Result<>> list_certificates(Call& call);
    Task<Result<>> add_certificate(Call& call);
    Task<Result<>> delete_certificate(Call& call);

    // api_values.cc; secrets and config values are told apart by the path
    Task<Result<>> list_values(Call& call);
    Task<Result<>> get_value(Call& call);
    Task<Result<>> set_value(Call& call);
    Task<Result<>> remove_value(Call& call);
    Task<Result<>> roll_value_back(Call& call);
    Task<Result<>> rotate_sealing_key(Call& call);
    Task<Result<>> put_value(Call& call, NewValue value);
    Task<Result<Secret>> open_value(ValueKey key, uint64_t version);

    // api_jobs.cc
    Task<Result<>> list_jobs(Call& call);
    Task<Result<>> get_job(Call& call);
    Task<Result<>> start_job_run(Call& call);
    Task<Result<>> get_job_run(Call& call);
    Task<Result<>> cancel_job_run(Call& call);
    Task<Result<>> pause_job(Call& call);
    Task<Result<>> resume_job(Call& call);
    Task<Result<>> change_job(Call& call, bool paused);
    Result<> answer_run(Call& call, uint64_t number, int status);
    Result<const JobState*> find_job_state(const Call& call) const;
    const service::Job* find_job_spec(const JobKey& key) const;

    // api_flags.cc
    Task<Result<>> list_flags(Call& call);
    Task<Result<>> get_flag(Call& call);
    Task<Result<>> set_flag(Call& call);
    Task<Result<>> remove_flag(Call& call);
    Result<> check_flag_revision(const FlagKey& key, const std::string& if_match) const;
    void add_flag_delivery(Json& body, const std::string& space) const;

    // api_audit.cc
    Task<Result<>> list_audit(Call& call);
    Task<Result<>> verify_audit(Call& call);
    Task<Result<>> get_backup(Call& call);

    // api_streams.cc
    Task<Result<>> stream_logs(Call& call);
    Task<Result<>> get_usage(Call& call);
    Task<Result<>> get_node_usage(Call& call);
    Task<Result<std::vector<UsageSample>>> usage_samples(std::string key, uint64_t step_ms);
    Task<Result<>> stream_events(Call& call);

    // api_sessions.cc
    Task<Result<>> exec(Call& call);
    Result<std::string> choose_builder(const std::string& wanted) const;
    Task<Result<>> build(Call& call);
    Task<Result<>> forward(Call& call);
    Task<Result<>> join_streams(Call& call, std::string subject, std::string target);
    Result<const Instance*> find_running(const Call& call) const;

    Result<const Service*> find_service(const Call& call) const;
    Result<const Service*> find_service(const ServiceKey& key) const;
    bool may_see(const auth::Principal& who, std::string_view space) const;

    State& state_;
    Accounts& accounts_;
    Credentials& credentials_;
    BundleStore& bundles_;
    LogStore& logs_;
    BusSide& bus_;
    CertificateBook& certificates_;
    Vault& vault_;
    Audit& audit_;
    Backup& backup_;
    JoinBook& joins_;
    SpaceClients& space_clients_;
    const AcmeKeeper* const acme_;
    const std::string& version_;
    const uint32_t own_uid_;
    Logger log_;
    auth::Sessions sessions_;
    size_t followers_ = 0;
    size_t sessions_open_ = 0;
};

// kConflict where somebody else has locked the service.
// Whether this writer may change the service now: nobody else has locked it, and it is as the
// writer has seen it (RFC 9110 §13.1.1). Only in the state's flow does that stay so.
Result<> check_writable(const State& state, const ServiceKey& key, const Writer& writer);
// Whether a release of the service would be taken as it is: space, lock, routes, quotas.
Result<> check_release(const State& state, const ServiceKey& key, const Release& release,
                       const Writer& writer);
// Whether this machine knows the time zones of its jobs.
Result<> check_time_zones(State& state, const service::Manifest& manifest);
// Whether an If-Match field names the revision (RFC 9110 §13.1.1): a list of entity tags, or "*".
bool names_revision(std::string_view if_match, const std::string& revision);
// The release that was asked for by this key before; null where there is none, or no key.
const Release* find_by_key(const Service& service, std::string_view idempotency_key);

// The one form of errors, and the HTTP status that goes with it.
int status_of(const Error& error);
Json error_json(const Error& error, std::string_view hint);

}  // namespace candela::lighthouse
