#pragma once

// Issues credentials, and takes them back: those of people and programs through the API, those of
// instances and gateways over the bus. Each is a row in SQL first. All of it runs in the state's
// flow; revocation follows from SQL, so that one that was cut short by a crash is done at the next
// start.

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "accounts.h"
#include "base/log.h"
#include "proto/messages.h"
#include "state.h"

namespace candela::lighthouse {

// Of instances and gateways; they ask anew at half of it.
inline constexpr Duration kNodeCredentialLifetime = 2h;
inline constexpr size_t kKeysMax = 100'000;

// A credential by grants that has none left.
inline constexpr std::string_view kNoGrant = "-";

struct IssueRequest {
    std::string name;
    std::string space;                // ignored for operators
    std::vector<std::string> grants;  // "SPACE=ROLE"; where there are some, `space` is ignored
    std::string role;                 // viewer, developer, operator
    std::string public_key;
    Duration lifetime{};            // zero: no end
    std::vector<std::string> tags;  // beside what the lighthouse writes itself
};

class Credentials {
public:
    Credentials(State& state, Accounts& accounts, Logger log);

    // At start: an account for each space and a space for each account; revocations that are
    // missing.
    Task<Result<>> reconcile();

    struct Issued {
        std::string jwt;
        KeyRecord record;
    };
    Task<Result<Issued>> issue(IssueRequest request);
    Task<Result<>> revoke(std::string public_key);
    // Issues the same for another key: name, space, role, grants, limits, and a life of the same
    // length. The old one is revoked after the overlap, at once where that is zero; it is a row in
    // SQL, so that a restart changes nothing of it. Only of people and programs.
    Task<Result<Issued>> rotate(std::string public_key, std::string new_key, Duration overlap);
    // What a credential by grants may from now on: "SPACE=ROLE" each, or kNoGrant alone.
    Task<Result<>> set_grants(std::string public_key, std::vector<std::string> grants);
    // What a host or gateway asks for.
    Task<proto::Credential> answer(proto::CredentialRequest request);
    // Takes back what these instances were given. Returns at once; the state's flow does it.
    void revoke_of(std::vector<std::string> instances);
    // Takes back what a node was given that has joined; the bus cuts it off. Zero: it had nothing.
    Task<Result<size_t>> revoke_node(std::string node);
    // Forgets what has expired.
    Task<Result<>> prune();

    // ---- within State::run()
    Task<Result<>> issue_in_flow(KeyRecord record, std::vector<std::string> tags,
                                 std::shared_ptr<std::string> jwt);
    Task<Result<>> revoke_node_in_flow(std::string node);

    Task<Result<>> create_space(std::string name);
    Task<Result<>> delete_space(std::string name);

private:
    // Steps that run in the state's flow.
    Task<Result<>> do_reconcile();
    Task<Result<>> do_revoke(std::string public_key);
    Task<Result<>> do_rotate(std::string public_key, std::string new_key, Duration overlap,
                             std::shared_ptr<Issued> issued);
    Task<void> end_rotated();
    Task<Result<>> do_revoke_of(std::vector<std::string> instances);
    Task<Result<>> revoke_all(std::vector<KeyRecord> records);
    Task<Result<>> do_prune();
    Task<Result<>> do_create_space(std::string name);
    Task<Result<>> do_delete_space(std::string name);
    Result<std::string> mint(const KeyRecord& record, const std::vector<std::string>& tags) const;
    Result<KeyRecord> record_for(const proto::CredentialRequest& request) const;
    Task<void> revoke_soon(std::vector<std::string> instances);

    State& state_;
    Accounts& accounts_;
    Logger log_;
    std::set<std::string> ending_;  // keys that were rotated and are not revoked yet
    bool is_ending_ = false;        // end_rotated() runs
    TaskGroup tasks_;
};

}  // namespace candela::lighthouse
