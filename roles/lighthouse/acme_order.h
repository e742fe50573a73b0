#pragma once

// One order of a certificate for one host, from a new order to the chain (RFC 8555 §7.1.6), by
// HTTP-01 or TLS-ALPN-01. Each step may be the last before a restart: what has to be known then is
// in OrderProgress, which is saved before anything depends on it. Lives on one loop.

#include <functional>
#include <string>

#include "acme_client.h"
#include "base/json.h"
#include "proto/messages.h"

namespace candela::lighthouse {

// Where the answers to challenges become visible to the world.
class ChallengeBoard {
public:
    // Returns once it is, or after a bounded time.
    virtual Task<Result<>> show(proto::Challenge challenge) = 0;
    virtual void hide(const std::string& token) = 0;

protected:
    ~ChallengeBoard() = default;
};

struct OrderProgress {
    std::string host;
    std::string order_url;  // empty: there is no order
    Secret key_pem;         // of the certificate
};

class AcmeOrder {
public:
    static constexpr Duration kPollMin = 500ms;
    static constexpr Duration kPollMax = 15s;
    static constexpr Duration kPollDeadline = 3min;  // for the server to make up its mind
    static constexpr size_t kAuthorizationsMax = 4;
    static constexpr size_t kTokenBytesMax = 256;

    using Save = std::function<Task<Result<>>(OrderProgress&)>;

    // `kind` is "http-01" or "tls-alpn-01"; where the server offers only the other, that is taken.
    AcmeOrder(Loop& loop, AcmeClient& client, ChallengeBoard& board, std::string kind, Save save);

    // Goes on with the progress's order, or begins one. After a failure progress.order_url is empty
    // where that order has come to its end. kConflict: the server did not come to a decision.
    Task<Result<tls::KeyPair>> run(OrderProgress& progress);

private:
    struct Order {
        std::string status;
        std::vector<std::string> authorizations;
        std::string finalize;
        std::string certificate;
        std::string error;
        std::optional<Duration> retry_after;
    };
    Task<Result<Order>> begin(OrderProgress& progress);
    Task<Result<Order>> fetch(std::string url);
    Task<Result<Order>> poll(OrderProgress& progress, std::string while_status);
    Result<Order> read_order(const AcmeReply& reply) const;
    Task<Result<>> authorize(std::string url, std::string host);
    Task<Result<>> prove(Json challenge, std::string authorization_url, std::string host);
    Task<Result<tls::KeyPair>> download(std::string url, const OrderProgress& progress);

    Loop& loop_;
    AcmeClient& client_;
    ChallengeBoard& board_;
    const std::string kind_;
    Save save_;
};

}  // namespace candela::lighthouse
