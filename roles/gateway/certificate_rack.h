#pragma once

// What the gateway shows its clients: the certificates of its folder, those of the lighthouse, and
// the answers to challenges of a certificate authority, brought to every worker before the
// lighthouse is told that they are served; and the keys of the sessions that they may resume, which
// outlast every change of certificates. Of equal names the folder's certificate is shown; exact
// names go before wildcards. Contexts are made on pool threads. Lives on the control loop.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "certificate_source.h"
#include "loop/flow.h"
#include "node/context.h"
#include "tls/certificate_asks.h"
#include "tls/context.h"

namespace candela::gateway {

// By token: RFC 8555 §8.3.
struct ChallengeAnswer {
    std::string host;
    std::string text;
};
using ChallengeAnswers = std::map<std::string, ChallengeAnswer, std::less<>>;
using ChallengeAnswersPtr = std::shared_ptr<const ChallengeAnswers>;

inline constexpr std::string_view kChallengePath = "/.well-known/acme-challenge/";

class CertificateRack {
public:
    // Returns once every worker gives these answers.
    using SetAnswers = std::function<Task<void>(ChallengeAnswersPtr)>;

    CertificateRack(NodeContext& context, SetAnswers set_answers);

    // Makes the context from the folder (empty: none) and what take() was given. Without it only
    // challenges are answered.
    Task<Result<>> open(std::string folder, tls::ServerOptions options);
    // Reads the folder anew; an error changes nothing.
    Task<Result<>> reload(std::string folder);
    // Null before open().
    const std::shared_ptr<tls::ServerContext>& context() const { return tls_; }

    // Whom to ask for a certificate from now on.
    void set_asks(std::vector<tls::CertificateAsk> asks);
    // Serves that set from soon on; of several in a row the last.
    void take(CertificateSetPtr set);
    void start();
    // Of the last set that every worker serves in full.
    uint64_t served_version() const { return served_version_; }

private:
    using KeyPairs = std::vector<tls::KeyPair>;
    Task<void> run();
    Task<void> apply(CertificateSetPtr set);
    void advance_tickets();
    Task<Result<>> show(std::shared_ptr<const KeyPairs> own, CertificatesPtr pulled);

    NodeContext& context_;
    SetAnswers set_answers_;
    tls::ServerOptions options_;
    std::vector<tls::CertificateAsk> asks_;
    Timer ticket_timer_;
    std::shared_ptr<tls::ServerContext> tls_;
    std::shared_ptr<const KeyPairs> own_;  // of the folder
    CertificateSetPtr wanted_;
    CertificatesPtr shown_;
    uint64_t served_version_ = 0;
    AsyncMutex changing_;
    Event wake_;
    TaskGroup flows_;  // last: ends first
};

}  // namespace candela::gateway
