#pragma once

// Fetches the key sets that routes name by URL, each once for all routes and loops: at its first
// mention, when its answer's max-age is over, and when a token names a key that is not in it. While
// a URL can't be had the keys that are there go on being used. Lives on the control loop.

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "http/client.h"
#include "http/jwt_keys.h"
#include "loop/flow.h"
#include "node/context.h"

namespace candela::gateway {

class JwksKeeper {
public:
    static constexpr Duration kTimeout = 10s;  // of one fetch
    static constexpr Duration kRefreshMin = 1min;
    static constexpr Duration kRefreshDefault = 10min;  // where the answer does not say
    static constexpr Duration kRefreshMax = 24h;
    static constexpr Duration kRetryMin = 1s;  // doubling, up to
    static constexpr Duration kRetryMax = 1min;

    // `unknown_interval`: how often at most a key that is not known has a set fetched again.
    JwksKeeper(NodeContext& context, Duration unknown_interval);
    ~JwksKeeper();

    // The keys of that URL, whose server must show a certificate of this authority (PEM; empty: of
    // one that the system trusts). As long as anybody holds them, they are kept up to date.
    std::shared_ptr<http::JwtKeys> keys_of(const std::string& url, const std::string& ca_pem);
    size_t size() const { return sets_.size(); }

private:
    struct Set;
    Task<void> run(Set* set);
    Task<Result<>> fetch(Set* set);
    Task<void> wait(Set* set, bool has_failed);
    void drop_unused();

    NodeContext& context_;
    const Duration unknown_interval_;
    http::Client client_;
    // Calls from other loops find the keeper gone.
    const std::shared_ptr<JwksKeeper*> alive_;
    std::map<std::pair<std::string, std::string>, std::unique_ptr<Set>> sets_;
};

// How long an answer may be used (RFC 9111 §5.2.2): of Cache-Control, between the bounds.
Duration jwks_refresh_of(std::string_view cache_control);

}  // namespace candela::gateway
