#pragma once

// The certificates that gateways serve besides their own, the challenges that they answer for a
// certificate authority, and the keys of the session tickets that all of them take: certificates
// in SQL first, then here, the others here only; with versions that grow whenever something
// changes. Gateways pull them, and say in heartbeats what they serve. Lives on the control loop;
// changes run in the state's flow.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "certificate_storage.h"
#include "node/metrics.h"
#include "state.h"
#include "tls/acme_certificates.h"
#include "tls/ticket_keys.h"
#include "vault.h"

namespace candela::lighthouse {

enum class CertificateSource : uint8_t {
    kAdded,  // by a person
    kAcme,   // ordered from a certificate authority
};
std::string_view to_string(CertificateSource source);

struct HeldCertificate {
    std::string name;
    CertificateSource source = CertificateSource::kAdded;
    tls::KeyPair key_pair;
    tls::CertificateInfo info;
    WallTime created_at{};
};

class CertificateBook {
public:
    static constexpr size_t kCertificatesMax = 10'000;
    static constexpr size_t kPageBytesMax = 256 * 1024;  // of one answer to a pull, about
    static constexpr size_t kNameBytesMax = 253;

    CertificateBook(State& state, const Vault& vault, Metrics& metrics, Duration ticket_rotation,
                    Logger log);

    // Told of each new version, from within the state's flow or set_challenges(): must not block.
    std::function<void(uint64_t version)> on_changed = [](uint64_t) {};

    // After the state. One that can't be read is logged and left out.
    Task<Result<>> open();

    const std::map<std::string, HeldCertificate>& all() const { return held_; }
    uint64_t version() const { return version_; }

    // Checks it first (tls::check_key_pair); kInvalid says what is wrong. An empty name becomes the
    // certificate's first one. Replaces what has that name.
    Task<Result<std::string>> put(std::string name, CertificateSource source, tls::KeyPair pair);
    Task<Result<>> remove(std::string name);

    // Replaces those that there were; not kept.
    void set_challenges(std::vector<proto::Challenge> challenges);

    // One page of what a gateway lacks, its keys sealed for that gateway.
    Result<proto::CertificateTable> page_for(const proto::CertificatesPull& pull) const;
    // Whether every gateway that is heard serves this version.
    bool is_served(uint64_t version) const;
    // Whether any gateway is heard.
    bool has_gateway() const;

private:
    struct Added;
    Task<Result<>> store(std::shared_ptr<Added> added);
    Task<Result<>> drop(std::string name);
    void changed(bool certificates);
    void rotate_tickets();
    Result<> add_ticket_keys(proto::CertificateTable& page, const crypto::BoxPublicKey& box) const;
    void measure(const std::string& name);
    std::vector<const Node*> gateways() const;

    State& state_;
    const Vault& vault_;
    Metrics& metrics_;
    Logger log_;
    std::map<std::string, HeldCertificate> held_;
    std::map<std::string, Metrics::Sampled> measured_;  // seconds to expiry
    std::vector<proto::Challenge> challenges_;
    const Duration ticket_rotation_;
    std::vector<tls::TicketKey> ticket_keys_;
    Timer ticket_timer_;
    uint64_t version_ = 0;
    uint64_t certificates_version_ = 0;
};

}  // namespace candela::lighthouse
