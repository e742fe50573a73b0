#include "server_certificate.h"

#include "loop/file.h"

namespace candela::lighthouse {

namespace {

Result<tls::Authority> load_or_make(const std::filesystem::path& folder, WallTime now) {
    CANDELA_TRY(make_directories(folder, 0700));
    const auto certificate = folder / "ca.crt";
    const auto key = folder / "ca.key";
    auto key_text = read_file(key);
    if (key_text) {
        CANDELA_TRY_ASSIGN(const std::string text, read_file(certificate));
        return tls::Authority::load(text, Secret(std::move(*key_text))).in(folder.string());
    }
    if (key_text.error().code() != Code::kNotFound) return fail(key_text.error());
    CANDELA_TRY_ASSIGN(
        tls::Authority made,
        tls::Authority::create("candela", now, ServerCertificate::kAuthorityLifetime));
    // The key last: with it there, the pair is whole.
    CANDELA_TRY(write_file(certificate, made.ca_pem(), 0644));
    CANDELA_TRY(write_file(key, made.key_pem().reveal(), 0600));
    return made;
}

}  // namespace

ServerCertificate::ServerCertificate(Loop& loop, std::filesystem::path folder,
                                     std::vector<std::string> names)
    : loop_(loop), folder_(std::move(folder)), names_(std::move(names)) {}

Task<Result<>> ServerCertificate::open() {
    auto work = [folder = folder_,
                 now = loop_.wall()]() -> Result<std::shared_ptr<tls::Authority>> {
        CANDELA_TRY_ASSIGN(tls::Authority authority, load_or_make(folder, now));
        return std::make_shared<tls::Authority>(std::move(authority));
    };
    auto loaded = co_await offload(loop_, std::move(work));
    if (!loaded) co_return fail(loaded.error());
    authority_ = std::make_unique<tls::Authority>(std::move(**loaded));
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
    return authority_->issue(request);
}

Result<> ServerCertificate::renew_if_due() {
    const WallTime now = loop_.wall();
    // A clock that was set back counts too: the certificate might not be valid yet.
    if (now >= issued_at_ && now < issued_at_ + kLifetime - kRenewBefore) return {};
    CANDELA_TRY_ASSIGN(const tls::KeyPair pair, issue());
    return context_->swap(pair);
}

}  // namespace candela::lighthouse
