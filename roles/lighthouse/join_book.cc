#include "join_book.h"

#include <algorithm>

#include "auth/join_token.h"
#include "base/text.h"
#include "node/profile.h"

namespace candela::lighthouse {

namespace {

// A lighthouse is not joined: it is restored from a backup, with all of the cloud's keys.
const std::string kRoles[] = {"host", "gateway", "bus", "loadbalancer"};

Result<> check_roles(const std::vector<std::string>& roles) {
    for (const std::string& role : roles) {
        if (std::ranges::find(kRoles, role) == std::ranges::end(kRoles)) {
            return fail(Code::kInvalid, "\"{}\" is not a role that joins: {}", printable(role),
                        join(kRoles, ", "));
        }
        if (std::ranges::count(roles, role) > 1) {
            return fail(Code::kInvalid, "the role {} is named twice", role);
        }
    }
    if (roles.empty()) return fail(Code::kInvalid, "which roles? {}", join(kRoles, ", "));
    return {};
}

}  // namespace

JoinBook::JoinBook(State& state, Credentials& credentials, ServerCertificate& certificate,
                   JoinSettings settings, Logger log)
    : state_(state),
      credentials_(credentials),
      certificate_(certificate),
      settings_(std::move(settings)),
      log_(std::move(log)) {}

Task<Result<>> JoinBook::open() {
    auto work = [](store::Connection& db) { return load_join_tokens(db); };
    auto loaded = co_await state_.database().run(std::move(work));
    if (!loaded) co_return fail(loaded.error());
    for (JoinTokenRecord& record : *loaded) {
        std::string digest = record.digest;
        tokens_.emplace(std::move(digest), std::move(record));
    }
    co_return Result<>();
}

// ---- what others call

Task<Result<std::pair<JoinTokenRecord, Secret>>> JoinBook::make(JoinTokenRecord record,
                                                                Duration lifetime) {
    auto fit = check_roles(record.roles);
    if (!fit) co_return fail(fit.error());
    if (lifetime <= Duration::zero() || lifetime > kTokenLifetimeMax) {
        co_return fail(Code::kInvalid, "a join token lives at most {}",
                       format_duration(kTokenLifetimeMax));
    }
    if (!record.node.empty()) {
        auto named = check_name(record.node);
        if (!named) co_return fail(named.error());
    }
    Secret secret = auth::make_join_secret();
    record.digest = auth::join_secret_digest(secret);
    record.created_at = state_.loop().wall();
    record.expires_at = record.created_at + lifetime;
    State::Work work = [this, record] { return do_make(record); };
    auto done = co_await state_.run(std::move(work));
    if (!done) co_return fail(done.error());
    co_return std::pair(std::move(record), std::move(secret));
}

Task<Result<>> JoinBook::withdraw(std::string id) {
    State::Work work = [this, id] { return do_withdraw(id); };
    auto done = co_await state_.run(std::move(work));
    co_return done;
}

Task<Result<Admission>> JoinBook::admit(Secret secret, NodeName name, NodeKeys keys,
                                        std::string from) {
    auto admission = std::make_shared<Admission>();
    State::Work work = [this, digest = auth::join_secret_digest(secret), name, keys, from,
                        admission] { return do_admit(digest, name, keys, from, admission); };
    auto done = co_await state_.run(std::move(work));
    if (!done) co_return fail(done.error());
    co_return std::move(*admission);
}

Task<Result<Admission>> JoinBook::renew(std::string node, NodeKeys keys, std::string from) {
    auto admission = std::make_shared<Admission>();
    admission->node = std::move(node);
    State::Work work = [this, keys, from, admission] { return do_renew(keys, from, admission); };
    auto done = co_await state_.run(std::move(work));
    if (!done) co_return fail(done.error());
    co_return std::move(*admission);
}

Task<Result<>> JoinBook::prune() {
    State::Work work = [this] { return do_prune(); };
    auto done = co_await state_.run(std::move(work));
    co_return done;
}

// ---- the steps

Task<Result<>> JoinBook::do_make(JoinTokenRecord record) {
    if (tokens_.size() >= kTokensMax) {
        co_return fail(Code::kExhausted, "there are {} join tokens; withdraw some", kTokensMax);
    }
    const std::string id = record.id();
    const std::string who = record.made_by;
    CO_TRY(co_await write(std::move(record)));
    EventRecord event("join_token_made", "", "", id, who);
    state_.say(std::move(event));
    co_return Result<>();
}

Task<Result<>> JoinBook::do_withdraw(std::string id) {
    for (const auto& [digest, record] : tokens_) {
        if (record.id() != id) continue;
        auto done = co_await remove(digest);
        co_return done;
    }
    co_return fail(Code::kNotFound, "there is no join token '{}'", printable(id));
}

Task<Result<>> JoinBook::do_admit(std::string digest, NodeName name, NodeKeys keys,
                                  std::string from, std::shared_ptr<Admission> admission) {
    const auto known = tokens_.find(digest);
    if (known == tokens_.end()) {
        log_.warn("join_refused", {{"from", from}, {"cause", "unknown token"}});
        co_return fail(Code::kDenied, "the join token is not one of this cloud, or was withdrawn");
    }
    JoinTokenRecord record = known->second;
    if (record.is_used()) {
        // Somebody else may have had it first: whoever looks at the log shall see that.
        log_.warn("join_refused", {{"from", from},
                                   {"cause", "used token"},
                                   {"token", record.id()},
                                   {"used_by", record.used_by}});
        EventRecord event("join_token_used_again", "", "", record.id(),
                          fmt::format("from {}; {} joined with it from {}", from, record.used_by,
                                      record.used_from));
        state_.say(std::move(event));
        co_return fail(Code::kConflict,
                       "the join token was used at {} by {} from {}; if that was not you, revoke "
                       "that node: candela ctl nodes revoke {}",
                       format_rfc3339(record.used_at), record.used_by, record.used_from,
                       record.used_by);
    }
    const WallTime now = state_.loop().wall();
    if (now >= record.expires_at) {
        co_return fail(Code::kDenied, "the join token ended at {}: make a new one",
                       format_rfc3339(record.expires_at));
    }
    admission->node = !name.wanted.empty()   ? name.wanted
                      : !record.node.empty() ? record.node
                                             : name.host_name;
    if (!record.node.empty() && record.node != admission->node) {
        co_return fail(Code::kDenied, "the join token is for the node {}", record.node);
    }
    CO_TRY(check_name(admission->node));
    const auto node = state_.seen().nodes.find(admission->node);
    if (node != state_.seen().nodes.end() && record.node.empty()) {
        co_return fail(Code::kConflict,
                       "there is a node {} already; give this one another name, or remove that one "
                       "first: candela ctl nodes rm {}",
                       admission->node, admission->node);
    }
    for (const std::string& role : record.roles) {
        const bool is_there = std::ranges::any_of(
            keys.users, [&role](const auto& user) { return user.first == role; });
        if (!is_there) co_return fail(Code::kInvalid, "a key for the role {} is missing", role);
    }
    if (keys.users.size() != record.roles.size()) {
        co_return fail(Code::kDenied, "the join token is for {}", join(record.roles, ", "));
    }
    CO_TRY(certify(keys, from, *admission));
    // Used first: a crash in between costs a token, not a second node.
    record.used_at = now;
    record.used_by = admission->node;
    record.used_from = from;
    CO_TRY(co_await write(record));
    // One that had this name, if the token says that it is to be replaced.
    CO_TRY(co_await credentials_.revoke_node_in_flow(admission->node));
    CO_TRY(co_await give_credentials(keys, *admission));
    EventRecord event("node_joined", "", "", admission->node,
                      fmt::format("{} from {}, by the join token {} of {}",
                                  join(record.roles, " and "), from, record.id(), record.made_by));
    state_.say(std::move(event));
    co_return Result<>();
}

Task<Result<>> JoinBook::do_renew(NodeKeys keys, std::string from,
                                  std::shared_ptr<Admission> admission) {
    for (const auto& [role, key] : keys.users) {
        const auto known = state_.keys().find(key);
        const bool is_its_own =
            known != state_.keys().end() && known->second.kind == KeyKind::kNode &&
            known->second.owner == admission->node && known->second.role == role;
        if (!is_its_own || known->second.revoked_at != 0) {
            log_.warn("renewal_refused", {{"node", admission->node}, {"from", from}});
            co_return fail(Code::kDenied,
                           "the credential of {} was taken back: let it join anew, with a new "
                           "token",
                           admission->node);
        }
    }
    CO_TRY(certify(keys, from, *admission));
    auto given = co_await give_credentials(keys, *admission);
    co_return given;
}

Task<Result<>> JoinBook::do_prune() {
    const WallTime before = state_.loop().wall() - kKept;
    std::vector<std::string> ended;
    for (const auto& [digest, record] : tokens_) {
        if (record.expires_at < before) ended.push_back(digest);
    }
    for (const std::string& digest : ended) CO_TRY(co_await remove(digest));
    co_return Result<>();
}

Task<Result<>> JoinBook::give_credentials(const NodeKeys& keys, Admission& admission) {
    const WallTime now = state_.loop().wall();
    admission.expires_at = now + settings_.lifetime;
    for (const auto& [role, key] : keys.users) {
        KeyRecord record;
        record.public_key = key;
        record.kind = KeyKind::kNode;
        record.name = fmt::format("{} {}", role, admission.node);
        record.role = role;
        record.owner = admission.node;
        record.created_at = unix_seconds(now);
        record.expires_at = unix_seconds(admission.expires_at);
        auto jwt = std::make_shared<std::string>();
        std::vector<std::string> tags;
        CO_TRY(co_await credentials_.issue_in_flow(record, std::move(tags), jwt));
        admission.credentials.emplace_back(role, std::move(*jwt));
    }
    co_return Result<>();
}

Result<> JoinBook::check_name(const std::string& node) const {
    if (!is_node_name(node)) {
        return fail(Code::kInvalid,
                    "\"{}\" can't be a node's name: letters, digits, - and _, at most 63",
                    printable(node));
    }
    // Its certificate would be taken for the lighthouse's.
    if (std::ranges::find(settings_.reserved_names, node) != settings_.reserved_names.end()) {
        return fail(Code::kConflict, "{} is a name of the lighthouse", node);
    }
    return {};
}

Result<> JoinBook::certify(const NodeKeys& keys, const std::string& from,
                           Admission& admission) const {
    tls::CertificateRequest request;
    request.common_name = admission.node;
    request.names = {admission.node};
    // The address that it came from is its own; none that it only names.
    const bool is_reserved =
        std::ranges::find(settings_.reserved_names, from) != settings_.reserved_names.end();
    if (!from.empty() && !is_reserved) request.names.push_back(from);
    request.for_client = true;
    request.now = state_.loop().wall();
    request.lifetime = settings_.lifetime;
    CANDELA_TRY_ASSIGN(admission.certificate_pem,
                       certificate_.authority().certify(request, keys.tls_public_pem));
    return {};
}

Task<Result<>> JoinBook::write(JoinTokenRecord record) {
    auto work = [record](store::Connection& db) { return write_join_token(db, record); };
    auto written = co_await state_.database().run(std::move(work));
    if (!written) co_return fail(written.error());
    const std::string digest = record.digest;
    tokens_[digest] = std::move(record);
    co_return Result<>();
}

Task<Result<>> JoinBook::remove(std::string digest) {
    auto work = [digest](store::Connection& db) { return remove_join_token(db, digest); };
    auto removed = co_await state_.database().run(std::move(work));
    if (!removed) co_return fail(removed.error());
    tokens_.erase(digest);
    co_return Result<>();
}

}  // namespace candela::lighthouse
