#pragma once

// How machines become nodes of this cloud: tokens that admit one each, credentials and certificates
// for those that come with one, and new ones for those that have joined, before or after the old
// ones end (design.md §5). What changes something runs in the state's flow: of two that come with
// one token, one is admitted. Lives on the control loop.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/secret.h"
#include "credentials.h"
#include "join_storage.h"
#include "server_certificate.h"

namespace candela::lighthouse {

struct JoinSettings {
    std::string api_url;               // https://HOST:PORT of this lighthouse; empty: not known
    std::string bus_url;               // HOST:PORT for nodes on other machines; empty: not known
    bool is_bus_by_authority = false;  // whether its certificate is from the cloud's authority
    Duration lifetime{};               // of a node's credentials and certificate
    std::vector<std::string> reserved_names;  // the lighthouse's own
};

// What a node shows to be admitted or to be renewed.
struct NodeKeys {
    std::vector<std::pair<std::string, std::string>> users;  // role, and its public nkey
    std::string tls_public_pem;
};

// As it wants to be called, and what it is called where neither it nor the token says more.
struct NodeName {
    std::string wanted;
    std::string host_name;
};

// What it goes away with.
struct Admission {
    std::string node;
    std::vector<std::pair<std::string, std::string>> credentials;  // role, and its JWT
    std::string certificate_pem;
    WallTime expires_at{};
};

class JoinBook {
public:
    static constexpr size_t kTokensMax = 1000;
    static constexpr Duration kTokenLifetimeMax = 24h * 7;
    static constexpr Duration kKept = 24h * 30;  // after its end, so that one can ask who used it

    JoinBook(State& state, Credentials& credentials, ServerCertificate& certificate,
             JoinSettings settings, Logger log);

    Task<Result<>> open();

    const std::map<std::string, JoinTokenRecord>& tokens() const { return tokens_; }  // by digest
    const JoinSettings& settings() const { return settings_; }
    const std::string& authority_pem() const { return certificate_.authority().ca_pem(); }

    // `record` without digest and times. Returns the secret.
    Task<Result<std::pair<JoinTokenRecord, Secret>>> make(JoinTokenRecord record,
                                                          Duration lifetime);
    Task<Result<>> withdraw(std::string id);
    // kDenied: no such token, or it has ended. kConflict: it is used, or the name is taken.
    Task<Result<Admission>> admit(Secret secret, NodeName name, NodeKeys keys, std::string from);
    // `keys` have proved that they are held. kDenied where they were not given to this node, or
    // were taken back.
    Task<Result<Admission>> renew(std::string node, NodeKeys keys, std::string from);
    // Forgets tokens that ended long ago.
    Task<Result<>> prune();

private:
    using Step = Task<Result<>>;
    Step do_make(JoinTokenRecord record);
    Step do_withdraw(std::string id);
    Step do_admit(std::string digest, NodeName name, NodeKeys keys, std::string from,
                  std::shared_ptr<Admission> admission);
    Step do_renew(NodeKeys keys, std::string from, std::shared_ptr<Admission> admission);
    Step do_prune();
    Step give_credentials(const NodeKeys& keys, Admission& admission);
    Result<> check_name(const std::string& node) const;
    Result<> certify(const NodeKeys& keys, const std::string& from, Admission& admission) const;
    Task<Result<>> write(JoinTokenRecord record);
    Task<Result<>> remove(std::string digest);

    State& state_;
    Credentials& credentials_;
    ServerCertificate& certificate_;
    const JoinSettings settings_;
    Logger log_;
    std::map<std::string, JoinTokenRecord> tokens_;
};

}  // namespace candela::lighthouse
