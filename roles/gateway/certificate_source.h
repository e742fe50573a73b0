#pragma once

// Where the gateway's certificates come from, besides a folder of its own: pulled from the
// lighthouse over the bus as routes are (route_source.h), page by page, with the private keys
// sealed for a key that this process alone has; kept in DIR/gateway/certificates, 0600, so that a
// start without lighthouse or bus serves what was served last. Lives on the control loop.

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "crypto/sealed_box.h"
#include "lighthouse_puller.h"
#include "loop/flow.h"
#include "node/context.h"
#include "proto/messages.h"
#include "tls/ticket_keys.h"

namespace candela::gateway {

using CertificatesPtr = std::shared_ptr<const std::vector<proto::Certificate>>;

// What the lighthouse wants served. `certificates` is the same object as long as none has changed;
// their keys are plain.
struct CertificateSet {
    uint64_t version = 0;  // 0: as kept on disk
    CertificatesPtr certificates;
    std::vector<proto::Challenge> challenges;
    std::shared_ptr<const std::vector<tls::TicketKey>> ticket_keys;  // null: none known
};
using CertificateSetPtr = std::shared_ptr<const CertificateSet>;

class CertificateSource {
public:
    static constexpr size_t kCertificatesMax = 10'000;

    using OnSet = std::function<void(CertificateSetPtr)>;

    CertificateSource(NodeContext& context, OnSet on_set);

    // Hands out what is kept on disk, if there is something. Blocks: for the role's start.
    void load();
    void start() { puller_.start(); }

private:
    Task<Result<>> pull();
    Task<Result<proto::CertificateTable>> ask(proto::CertificatesPull pull);
    Result<> take_ticket_keys(std::vector<proto::TicketKey> sealed, CertificateSet& set) const;
    void adopt(CertificateSet set, uint64_t certificates_version);
    Task<void> keep(CertificatesPtr certificates);

    NodeContext& context_;
    OnSet on_set_;
    std::filesystem::path file_;
    const crypto::BoxKey box_;
    CertificateSetPtr set_;
    uint64_t certificates_version_ = 0;  // 0: none has been pulled
    AsyncMutex disk_;
    TaskGroup flows_;
    LighthousePuller puller_;  // last: ends first
};

// The file's form: pages, each an encoded CertificateTable behind its length (four bytes, the
// lowest first), since one message may not hold all.
std::string encode_pages(const std::vector<proto::Certificate>& certificates);
Result<std::vector<proto::Certificate>> decode_pages(std::string_view bytes);

}  // namespace candela::gateway
