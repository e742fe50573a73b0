#include "server_certificate.h"

#include "node/cloud_authority.h"

namespace candela::lighthouse {

ServerCertificate::ServerCertificate(Loop& loop, std::filesystem::path data_dir,
                                     std::vector<std::string> names)
    : loop_(loop), data_dir_(std::move(data_dir)), names_(std::move(names)) {}

Task<Result<>> ServerCertificate::open() {
    auto work = [data_dir = data_dir_, names = names_,
                 now = loop_.wall()]() -> Result<std::shared_ptr<tls::Authority>> {
        CANDELA_TRY_ASSIGN(tls::Authority authority,
                           open_authority(data_dir / "lighthouse/ca", now));
        CANDELA_TRY(keep_own_certificate(MembershipFiles(data_dir), authority, names, now));
        return std::make_shared<tls::Authority>(std::move(authority));
    };
    auto loaded = co_await offload(loop_, std::move(work));
    if (!loaded) co_return fail(loaded.error());
    authority_ = std::move(*loaded);
    auto pair = issue();
    if (!pair) co_return fail(pair.error());
    auto context = tls::ServerContext::create(*pair, tls::ServerOptions());
    if (!context) co_return fail(context.error());
    context_ = std::move(*context);
    co_return Result<>();
}

Result<tls::KeyPair> ServerCertificate::issue() {
    tls::CertificateRequest request;
    request.common_name = names_.empty() ? "lighthouse" : names_.front();
    request.names = names_;
    request.now = loop_.wall();
    request.lifetime = kLifetime;
    issued_at_ = loop_.wall();
    CANDELA_TRY_ASSIGN(tls::KeyPair pair, authority_->issue(request));
    // Who joins knows the authority by its fingerprint only.
    pair.certificate_pem += authority_->ca_pem();
    return pair;
}

Task<Result<>> ServerCertificate::renew_if_due() {
    auto work = [data_dir = data_dir_, names = names_, authority = authority_,
                 now = loop_.wall()]() -> Result<> {
        return keep_own_certificate(MembershipFiles(data_dir), *authority, names, now);
    };
    auto kept = co_await offload(loop_, std::move(work));
    if (!kept) co_return fail(kept.error());
    co_return renew_own_if_due();
}

Result<> ServerCertificate::renew_own_if_due() {
    const WallTime now = loop_.wall();
    // A clock that was set back counts too: the certificate might not be valid yet.
    if (now >= issued_at_ && now < issued_at_ + kLifetime - kRenewBefore) return {};
    CANDELA_TRY_ASSIGN(const tls::KeyPair pair, issue());
    return context_->swap(pair);
}

}  // namespace candela::lighthouse
