#include "credentials.h"

#include <algorithm>

#include "base/text.h"
#include "loop/flow.h"

namespace candela::lighthouse {

namespace {

// How late a key that was rotated may be revoked, beyond what the bus takes for it.
constexpr Duration kEndingTick = 500ms;

std::string account_of(const KeyRecord& record) {
    return record.space.empty() ? std::string(auth::kPlatformAccount) : record.space;
}

bool is_platform(std::string_view account) {
    return account == auth::kPlatformAccount || account == auth::kSystemAccount;
}

}  // namespace

Credentials::Credentials(State& state, Accounts& accounts, Logger log)
    : state_(state), accounts_(accounts), log_(std::move(log)) {}

// ---- what others call: each hands a step to the state's flow

Task<Result<>> Credentials::reconcile() {
    State::Work work = [this] { return do_reconcile(); };
    auto result = co_await state_.run(std::move(work));
    if (result && !std::exchange(is_ending_, true)) {
        for (const auto& [key, record] : state_.keys()) {
            if (record.ends_at != 0 && record.revoked_at == 0) ending_.insert(key);
        }
        tasks_.spawn(end_rotated());
    }
    co_return result;
}

// Few are rotated at a time, and most of the time none is.
Task<void> Credentials::end_rotated() {
    for (;;) {
        co_await sleep_for(state_.loop(), kEndingTick);
        std::vector<std::string> due;
        const int64_t now = unix_seconds(state_.loop().wall());
        for (const std::string& key : ending_) {
            const auto record = state_.keys().find(key);
            if (record == state_.keys().end() || record->second.ends_at <= now) due.push_back(key);
        }
        for (const std::string& key : due) {
            const auto done = co_await revoke(key);
            // Tried again with the next turn, but where somebody has forgotten it meanwhile.
            if (!done && done.error().code() != Code::kNotFound) {
                log_.error("rotated_key_not_revoked", {{"key", key}, {"error", done.error()}});
                continue;
            }
            ending_.erase(key);
        }
    }
}

Task<Result<Credentials::Issued>> Credentials::rotate(std::string public_key, std::string new_key,
                                                      Duration overlap) {
    auto issued = std::make_shared<Issued>();
    State::Work work = [this, public_key, new_key, overlap, issued] {
        return do_rotate(public_key, new_key, overlap, issued);
    };
    auto done = co_await state_.run(std::move(work));
    if (!done) co_return fail(done.error());
    co_return *issued;
}

Task<Result<Credentials::Issued>> Credentials::issue(IssueRequest request) {
    KeyRecord record;
    record.public_key = request.public_key;
    record.name = request.name;
    const bool has_space = request.role != "operator" && request.grants.empty();
    record.space = has_space ? request.space : "";
    record.grants = request.grants;
    record.role = request.role;
    record.tags = request.tags;
    record.created_at = unix_seconds(state_.loop().wall());
    if (request.lifetime > Duration::zero()) {
        record.expires_at = unix_seconds(state_.loop().wall() + request.lifetime);
    }
    auto jwt = std::make_shared<std::string>();
    State::Work work = [this, record, tags = request.tags, jwt] {
        return issue_in_flow(record, tags, jwt);
    };
    auto done = co_await state_.run(std::move(work));
    if (!done) co_return fail(done.error());
    Issued issued;
    issued.jwt = *jwt;
    issued.record = std::move(record);
    co_return issued;
}

Task<Result<>> Credentials::revoke(std::string public_key) {
    State::Work work = [this, public_key] { return do_revoke(public_key); };
    auto result = co_await state_.run(std::move(work));
    co_return result;
}

Task<proto::Credential> Credentials::answer(proto::CredentialRequest request) {
    proto::Credential reply;
    auto record = record_for(request);
    if (!record) {
        reply.failure = proto::Failure(record.error());
        co_return reply;
    }
    auto jwt = std::make_shared<std::string>();
    State::Work work = [this, record = *record, jwt] {
        return issue_in_flow(record, std::vector<std::string>(), jwt);
    };
    auto done = co_await state_.run(std::move(work));
    if (!done) {
        reply.failure = proto::Failure(done.error());
        co_return reply;
    }
    reply.jwt = *jwt;
    reply.expires_at = static_cast<uint64_t>(record->expires_at) * 1000;
    co_return reply;
}

void Credentials::revoke_of(std::vector<std::string> instances) {
    tasks_.spawn(revoke_soon(std::move(instances)));
}

Task<void> Credentials::revoke_soon(std::vector<std::string> instances) {
    State::Work work = [this, instances] { return do_revoke_of(instances); };
    const auto done = co_await state_.run(std::move(work));
    // They end by themselves within kNodeCredentialLifetime, and reconcile() tries again.
    if (!done) log_.error("credentials_not_revoked", {{"error", done.error()}});
}

Task<Result<size_t>> Credentials::revoke_node(std::string node) {
    size_t count = 0;
    for (const auto& [key, record] : state_.keys()) {
        if (record.kind == KeyKind::kNode && record.owner == node && record.revoked_at == 0)
            ++count;
    }
    State::Work work = [this, node] { return revoke_node_in_flow(node); };
    auto done = co_await state_.run(std::move(work));
    if (!done) co_return fail(done.error());
    co_return count;
}

Task<Result<>> Credentials::prune() {
    State::Work work = [this] { return do_prune(); };
    auto result = co_await state_.run(std::move(work));
    co_return result;
}

Task<Result<>> Credentials::create_space(std::string name) {
    State::Work work = [this, name] { return do_create_space(name); };
    auto result = co_await state_.run(std::move(work));
    co_return result;
}

Task<Result<>> Credentials::delete_space(std::string name) {
    State::Work work = [this, name] { return do_delete_space(name); };
    auto result = co_await state_.run(std::move(work));
    co_return result;
}

// ---- the steps

Task<Result<>> Credentials::do_reconcile() {
    for (const std::string& name : accounts_.names()) {
        if (is_platform(name) || state_.spaces().contains(name)) continue;
        SpaceRecord space(name, state_.loop().wall());
        CO_TRY(co_await state_.put_space(std::move(space)));
    }
    std::vector<std::string> spaces;
    for (const auto& [name, space] : state_.spaces()) spaces.push_back(name);
    for (const std::string& name : spaces) CO_TRY(co_await accounts_.create(name));

    std::map<std::string, std::vector<std::string>> missing;
    std::vector<std::string> orphans;
    for (const auto& [key, record] : state_.keys()) {
        const auth::Account* account = accounts_.find(account_of(record));
        if (account == nullptr) continue;
        if (record.revoked_at != 0 && !account->claims.is_revoked(key, record.created_at)) {
            missing[account_of(record)].push_back(key);
        }
        const bool is_gone = record.kind == KeyKind::kInstance && record.revoked_at == 0 &&
                             !state_.wanted().instances.contains(record.owner);
        if (is_gone) orphans.push_back(record.owner);
    }
    for (auto& [account, keys] : missing) CO_TRY(co_await accounts_.revoke(account, keys));
    auto done = co_await do_revoke_of(std::move(orphans));
    co_return done;
}

Result<std::string> Credentials::mint(const KeyRecord& record,
                                      const std::vector<std::string>& tags) const {
    auth::UserRequest request;
    request.public_key = record.public_key;
    request.name = record.name;
    request.expires_at = record.expires_at;
    if (record.kind == KeyKind::kPerson && !record.grants.empty()) {
        // What it may in which space is asked for at each request. It is on the bus in none.
        request.tags = {"role:viewer"};
        request.permissions.publish.deny = {">"};
        request.permissions.subscribe.deny = {">"};
    } else if (record.kind == KeyKind::kPerson) {
        request.tags = {"role:" + record.role};
        if (record.role == "operator") {
            CANDELA_TRY_ASSIGN(request.permissions,
                               auth::role_permissions("admin", record.public_key));
        } else {
            request.permissions = auth::space_permissions(record.role);
        }
    } else if (record.kind == KeyKind::kNode) {
        request.tags = {"node:" + record.owner};
        CANDELA_TRY_ASSIGN(request.permissions,
                           auth::role_permissions(record.role, record.public_key, record.owner));
    } else {
        request.tags = {(record.kind == KeyKind::kInstance ? "instance:" : "gateway:") +
                        record.owner};
        request.permissions = auth::space_permissions("developer");
    }
    request.tags.insert(request.tags.end(), tags.begin(), tags.end());
    return accounts_.mint(account_of(record), request);
}

Task<Result<>> Credentials::issue_in_flow(KeyRecord record, std::vector<std::string> tags,
                                          std::shared_ptr<std::string> jwt) {
    if (!auth::is_public_key(record.public_key, auth::KeyKind::kUser)) {
        co_return fail(Code::kInvalid, "public_key must be a user's key, \"U…\"");
    }
    const auto known = state_.keys().find(record.public_key);
    if (known != state_.keys().end()) {
        const KeyRecord& before = known->second;
        if (before.kind == KeyKind::kPerson || record.kind == KeyKind::kPerson ||
            before.owner != record.owner || before.space != record.space) {
            co_return fail(Code::kConflict, "a credential for this key was issued before");
        }
        if (before.revoked_at != 0) co_return fail(Code::kDenied, "the key has been revoked");
    } else if (state_.keys().size() >= kKeysMax) {
        co_return fail(Code::kExhausted, "there are {} credentials already", kKeysMax);
    }
    auto minted = mint(record, tags);
    if (!minted) co_return fail(minted.error());
    CO_TRY(co_await state_.put_key(record));
    if (record.kind == KeyKind::kPerson) {
        EventRecord event("key_issued", record.space, "", record.public_key, record.name);
        state_.say(std::move(event));
    }
    *jwt = std::move(*minted);
    co_return Result<>();
}

Task<Result<>> Credentials::set_grants(std::string public_key, std::vector<std::string> grants) {
    State::Work work = [this, public_key, grants]() -> Task<Result<>> {
        const auto known = state_.keys().find(public_key);
        const bool is_fit = known != state_.keys().end() && known->second.revoked_at == 0 &&
                            !known->second.grants.empty();
        if (!is_fit) {
            co_return fail(Code::kNotFound, "there is no credential by grants with the key {}",
                           public_key);
        }
        KeyRecord record = known->second;
        record.grants = grants;
        const std::string name = record.name;
        CO_TRY(co_await state_.put_key(std::move(record)));
        EventRecord event("key_granted", "", "", public_key,
                          fmt::format("{}: {}", name, join(grants, " ")));
        state_.say(std::move(event));
        co_return Result<>();
    };
    auto done = co_await state_.run(std::move(work));
    co_return done;
}

Task<Result<>> Credentials::do_revoke(std::string public_key) {
    const auto known = state_.keys().find(public_key);
    if (known == state_.keys().end()) {
        co_return fail(Code::kNotFound, "there is no credential with the key {}", public_key);
    }
    KeyRecord record = known->second;
    if (record.revoked_at == 0) {
        record.revoked_at = unix_seconds(state_.loop().wall());
        CO_TRY(co_await state_.put_key(record));
        EventRecord event("key_revoked", record.space, "", record.public_key, record.name);
        state_.say(std::move(event));
    }
    std::vector<std::string> keys = {public_key};
    auto done = co_await accounts_.revoke(account_of(record), std::move(keys));
    co_return done;
}

Task<Result<>> Credentials::do_rotate(std::string public_key, std::string new_key, Duration overlap,
                                      std::shared_ptr<Issued> issued) {
    const auto known = state_.keys().find(public_key);
    if (known == state_.keys().end() || known->second.kind != KeyKind::kPerson) {
        co_return fail(Code::kNotFound, "there is no credential with the key {}", public_key);
    }
    KeyRecord old = known->second;
    const int64_t now = unix_seconds(state_.loop().wall());
    if (old.revoked_at != 0 || (old.expires_at != 0 && old.expires_at <= now)) {
        co_return fail(Code::kConflict, "{} is not valid any more: create another", public_key);
    }
    if (!old.rotated_to.empty()) {
        co_return fail(Code::kConflict, "{} was rotated already, to {}", public_key,
                       old.rotated_to);
    }
    if (state_.keys().contains(new_key)) {
        co_return fail(Code::kConflict, "a credential for this key was issued before");
    }
    KeyRecord fresh = old;
    fresh.public_key = new_key;
    fresh.created_at = now;
    if (old.expires_at != 0) fresh.expires_at = now + (old.expires_at - old.created_at);
    auto jwt = std::make_shared<std::string>();
    CO_TRY(co_await issue_in_flow(fresh, fresh.tags, jwt));
    old.rotated_to = new_key;
    old.ends_at = std::max<int64_t>(
        now + std::chrono::duration_cast<std::chrono::seconds>(overlap).count(), 1);
    CO_TRY(co_await state_.put_key(old));
    EventRecord event("key_rotated", old.space, "", public_key,
                      fmt::format("{}: {} takes its place", old.name, new_key));
    state_.say(std::move(event));
    issued->jwt = *jwt;
    issued->record = std::move(fresh);
    if (overlap > Duration::zero()) {
        ending_.insert(public_key);
        co_return Result<>();
    }
    auto done = co_await do_revoke(public_key);
    co_return done;
}

Task<Result<>> Credentials::do_revoke_of(std::vector<std::string> instances) {
    std::vector<KeyRecord> records;
    for (const auto& [key, record] : state_.keys()) {
        if (record.kind != KeyKind::kInstance || record.revoked_at != 0) continue;
        if (std::ranges::find(instances, record.owner) != instances.end())
            records.push_back(record);
    }
    auto done = co_await revoke_all(std::move(records));
    co_return done;
}

Task<Result<>> Credentials::revoke_node_in_flow(std::string node) {
    std::vector<KeyRecord> records;
    for (const auto& [key, record] : state_.keys()) {
        const bool is_its_own = record.kind == KeyKind::kNode || record.kind == KeyKind::kGateway;
        if (is_its_own && record.owner == node && record.revoked_at == 0) records.push_back(record);
    }
    auto done = co_await revoke_all(std::move(records));
    co_return done;
}

Task<Result<>> Credentials::revoke_all(std::vector<KeyRecord> records) {
    std::map<std::string, std::vector<std::string>> by_account;
    for (KeyRecord& record : records) {
        record.revoked_at = unix_seconds(state_.loop().wall());
        CO_TRY(co_await state_.put_key(record));
        by_account[account_of(record)].push_back(record.public_key);
    }
    for (auto& [account, keys] : by_account) CO_TRY(co_await accounts_.revoke(account, keys));
    co_return Result<>();
}

Task<Result<>> Credentials::do_prune() {
    const int64_t now = unix_seconds(state_.loop().wall());
    std::map<std::string, std::vector<std::string>> by_account;
    std::vector<std::string> expired;
    for (const auto& [key, record] : state_.keys()) {
        // A node that was off for long is known when it comes back.
        if (record.kind == KeyKind::kNode && record.revoked_at == 0) continue;
        // A clock that differs a little must not bring a revoked credential back to life.
        if (record.expires_at == 0 || record.expires_at + 600 > now) continue;
        by_account[account_of(record)].push_back(key);
        expired.push_back(key);
    }
    if (expired.empty()) co_return Result<>();
    for (auto& [account, keys] : by_account) {
        CO_TRY(co_await accounts_.forget_revocations(account, keys));
    }
    auto done = co_await state_.drop_keys(std::move(expired));
    co_return done;
}

Task<Result<>> Credentials::do_create_space(std::string name) {
    if (state_.spaces().contains(name))
        co_return fail(Code::kConflict, "the space {} exists", name);
    // The account first: a space that SQL knows always has one (reconcile() sees to the rest).
    CO_TRY(co_await accounts_.create(name));
    SpaceRecord space(name, state_.loop().wall());
    auto done = co_await state_.put_space(std::move(space));
    co_return done;
}

Task<Result<>> Credentials::do_delete_space(std::string name) {
    if (!state_.spaces().contains(name)) {
        co_return fail(Code::kNotFound, "there is no space '{}'", name);
    }
    for (const auto& [key, service] : state_.wanted().services) {
        if (key.first == name) {
            co_return fail(Code::kConflict, "the space {} has the service {}; delete it first",
                           name, key.second);
        }
    }
    // Who was granted something in it gets nothing in another of the same name.
    std::vector<KeyRecord> granted;
    for (const auto& [key, record] : state_.keys()) {
        KeyRecord changed = record;
        std::erase_if(changed.grants,
                      [&](const std::string& grant) { return grant.starts_with(name + "="); });
        if (changed.grants.size() == record.grants.size()) continue;
        if (changed.grants.empty()) changed.grants = {std::string(kNoGrant)};
        granted.push_back(std::move(changed));
    }
    for (KeyRecord& record : granted) CO_TRY(co_await state_.put_key(std::move(record)));
    CO_TRY(co_await state_.drop_space(name));
    auto done = co_await accounts_.remove(name);
    co_return done;
}

Result<KeyRecord> Credentials::record_for(const proto::CredentialRequest& request) const {
    KeyRecord record;
    record.public_key = request.public_key;
    record.created_at = unix_seconds(state_.loop().wall());
    record.expires_at = unix_seconds(state_.loop().wall() + kNodeCredentialLifetime);
    if (!request.instance.empty()) {
        const auto instance = state_.wanted().instances.find(request.instance);
        if (instance == state_.wanted().instances.end() || instance->second.node != request.node) {
            return fail(Code::kDenied, "{} is not an instance of {}", request.instance,
                        request.node);
        }
        record.kind = KeyKind::kInstance;
        record.space = instance->second.service.first;
        record.owner = request.instance;
        record.name = request.instance;
        return record;
    }
    const auto node = state_.seen().nodes.find(request.node);
    if (node == state_.seen().nodes.end() || !node->second.has_role("gateway")) {
        return fail(Code::kDenied, "{} is not a gateway of this cloud", request.node);
    }
    if (!state_.spaces().contains(request.space)) {
        return fail(Code::kNotFound, "there is no space '{}'", request.space);
    }
    record.kind = KeyKind::kGateway;
    record.space = request.space;
    record.owner = request.node;
    record.name = "gateway " + request.node;
    return record;
}

}  // namespace candela::lighthouse
