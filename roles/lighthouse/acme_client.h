#pragma once

// Requests to one ACME server (RFC 8555): its directory, nonces, signed posts, its errors. Whatever
// comes back is checked and bounded: a server is somebody else's program. Lives on one loop; one
// request at a time.

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "http/client.h"
#include "loop/flow.h"
#include "tls/context.h"
#include "tls/signing_key.h"

namespace candela::lighthouse {

struct AcmeReply {
    int status = 0;
    std::string location;
    std::string body;
    std::optional<Duration> retry_after;  // at most kRetryAfterMax
};

// What the server said of the last request that it refused.
struct AcmeProblem {
    std::string type;  // without "urn:ietf:params:acme:error:"
    std::optional<Duration> retry_after;
};

class AcmeClient {
public:
    static constexpr size_t kBodyBytesMax = 256 * 1024;
    static constexpr size_t kNoncesMax = 16;
    static constexpr size_t kNonceBytesMax = 512;
    static constexpr int kTriesMax = 5;  // of one request whose nonce is refused
    static constexpr Duration kRequestTimeout = 60s;
    static constexpr Duration kRetryAfterMax = 24h * 8;

    struct Options {
        std::string directory;
        std::shared_ptr<tls::ClientContext> tls;
        bool allow_plain = false;  // http://: for tests
    };

    AcmeClient(Loop& loop, Options options, Logger log);

    void set_key(tls::SigningKey key) { key_.emplace(std::move(key)); }
    void set_account_url(std::string url) { account_url_ = std::move(url); }
    const std::string& account_url() const { return account_url_; }
    const tls::SigningKey& key() const { return *key_; }

    // Reads the directory, unless it has been read.
    Task<Result<>> open();
    // Registers the key, or finds the account that it has; returns its address.
    Task<Result<std::string>> make_account(std::string email);
    // A signed request; `payload` is JSON, or empty for a POST-as-GET. What the server refuses is
    // an error: kExhausted where it has had enough of us, kUnreachable where it can't at present,
    // otherwise kInvalid.
    Task<Result<AcmeReply>> post(std::string url, std::string payload, std::string accept = "");

    const std::string& new_order_url() const { return new_order_; }
    const AcmeProblem& problem() const { return problem_; }
    void clear_problem() { problem_ = AcmeProblem(); }

private:
    Task<Result<AcmeReply>> exchange(std::string method, std::string url, std::string body,
                                     std::string accept);
    Task<Result<AcmeReply>> exchange_once(http::ClientRequest request);
    Task<Result<std::string>> take_nonce();
    Task<Result<AcmeReply>> post_signed(std::string url, std::string payload, std::string accept,
                                        bool by_key);
    Result<> refuse(const AcmeReply& reply);

    Loop& loop_;
    const Options options_;
    Logger log_;
    http::Client http_;
    std::optional<tls::SigningKey> key_;
    std::string account_url_;
    std::string new_nonce_;
    std::string new_account_;
    std::string new_order_;
    std::deque<std::string> nonces_;
    AcmeProblem problem_;
};

// RFC 9110 §10.2.3: seconds, or a date.
std::optional<Duration> parse_retry_after(std::string_view text, WallTime now);

}  // namespace candela::lighthouse
