#pragma once

// What a node has that joined a cloud (design.md §5): where the lighthouse is, whom to trust, and
// what it is itself. On disk, below DATA_DIR/identity:
//
//   membership.json      the lighthouse, the node's name, its roles
//   creds/ROLE.creds     what each role logs in to the bus with
//   tls/ca.crt           the cloud's certificate authority
//   tls/node.pem         the node's certificate and its key, in one file so that they always fit
//
// Functions block on small files: offload() them from a loop.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "auth/creds_file.h"
#include "base/json.h"
#include "base/result.h"
#include "base/time.h"

namespace candela {

struct Membership {
    std::string url;  // "https://HOST:PORT" of the lighthouse
    std::string node;
    std::vector<std::string> roles;
};

struct MembershipFiles {
    explicit MembershipFiles(const std::filesystem::path& data_dir);

    std::filesystem::path membership;
    std::filesystem::path authority;
    std::filesystem::path certificate;
    std::filesystem::path creds_folder;
    std::filesystem::path accounts_folder;
    std::filesystem::path operator_jwt;

    std::filesystem::path creds(const std::string& role) const;
};

// kNotFound where the node has not joined.
Result<Membership> load_membership(const MembershipFiles& files);

// The secret halves, which never leave the machine.
struct NodeSecrets {
    std::map<std::string, auth::KeyPair> users;  // by role
    Secret tls_key_pem;
    std::string tls_public_pem;

    static Result<NodeSecrets> make(const std::vector<std::string>& roles);
};

// What the lighthouse has given for them (api_join.cc): checked and written, the membership last.
Result<> keep_admission(const MembershipFiles& files, const Membership& membership,
                        const NodeSecrets& secrets, const Json& admission);

// When the credentials and the certificate are to be renewed: at half of the shortest life.
struct RenewalTimes {
    WallTime due{};
    WallTime end{};
};
Result<RenewalTimes> renewal_times(const MembershipFiles& files, const Membership& membership);

}  // namespace candela
