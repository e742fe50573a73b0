#pragma once

// The bus credentials of instances: a key pair made here, a JWT from the lighthouse, a .creds file
// (0600) that is renewed in place before it expires and goes with the instance. The lighthouse
// revokes it when the instance is gone. Lives on the control loop.

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "auth/key_pair.h"
#include "base/log.h"
#include "loop/flow.h"
#include "proto/messages.h"

namespace candela::host {

// Who issues: the lighthouse, over the bus.
class CredentialIssuer {
public:
    virtual ~CredentialIssuer() = default;
    virtual Task<Result<proto::Credential>> issue(proto::CredentialRequest request) = 0;
};

struct CredentialFile {
    std::filesystem::path path;
    std::optional<uint32_t> owner;  // who alone may read it, where that is not us
    // Whoever comes to its folder may read it: nobody but a container, of whose users we know none.
    bool is_readable_by_all = false;
};

class Credentials {
public:
    Credentials(Loop& loop, CredentialIssuer& issuer, std::string node, Logger log);
    ~Credentials();

    // Makes sure that the file holds a valid credential; one from an earlier life of this host is
    // used on. After a failure it is tried again in the background until forget().
    Task<Result<>> provide(std::string instance, std::string space, CredentialFile file);
    void forget(const std::string& instance);

    static constexpr Duration kRenewInterval = 15s;  // how often we look

private:
    struct Entry {
        std::string space;
        CredentialFile file;
        auth::KeyPair key;
        int64_t expires_at = 0;  // unix seconds; 0: none yet
        int64_t renew_at = 0;
    };

    Task<Result<>> request(std::string instance);
    Task<void> renew_forever();

    Loop& loop_;
    CredentialIssuer& issuer_;
    std::string node_;
    Logger log_;
    std::map<std::string, Entry> entries_;
    TaskGroup tasks_;
};

}  // namespace candela::host
