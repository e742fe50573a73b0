#include "node/cloud_authority.h"

#include <algorithm>

#include "loop/file.h"

namespace candela {

namespace {

constexpr size_t kPemBytesMax = 1 << 20;

bool is_good(const std::string& pem, const std::vector<std::string>& names, WallTime now) {
    const auto info = tls::inspect_certificate(pem);
    if (!info || now < info->not_before) return false;
    if (now >= info->not_before + (info->not_after - info->not_before) / 2) return false;
    return std::ranges::is_permutation(info->names, names);
}

}  // namespace

Result<tls::Authority> open_authority(const std::filesystem::path& folder, WallTime now) {
    CANDELA_TRY(make_directories(folder, 0700));
    const auto certificate = folder / "ca.crt";
    const auto key = folder / "ca.key";
    auto key_text = read_file(key);
    if (key_text) {
        CANDELA_TRY_ASSIGN(const std::string text, read_file(certificate));
        return tls::Authority::load(text, Secret(std::move(*key_text))).in(folder.string());
    }
    if (key_text.error().code() != Code::kNotFound) return fail(key_text.error());
    CANDELA_TRY_ASSIGN(tls::Authority made,
                       tls::Authority::create("candela", now, kAuthorityLifetime));
    // The key last: with it there, the pair is whole.
    CANDELA_TRY(write_file(certificate, made.ca_pem(), 0644));
    CANDELA_TRY(write_file(key, made.key_pem().reveal(), 0600));
    return made;
}

Result<> keep_own_certificate(const MembershipFiles& files, const tls::Authority& authority,
                              const std::vector<std::string>& names, WallTime now) {
    const auto before = read_file(files.certificate, kPemBytesMax);
    const auto trusted = read_file(files.authority, kPemBytesMax);
    if (before && trusted && *trusted == authority.ca_pem() && is_good(*before, names, now)) {
        return {};
    }
    tls::CertificateRequest request;
    request.common_name = names.empty() ? "lighthouse" : names.front();
    request.names = names;
    request.for_client = true;
    request.now = now;
    request.lifetime = kOwnCertificateLifetime;
    CANDELA_TRY_ASSIGN(const tls::KeyPair pair, authority.issue(request));
    CANDELA_TRY(make_directories(files.authority.parent_path(), 0700));
    CANDELA_TRY(write_file(files.authority, authority.ca_pem(), 0644));
    std::string both = pair.certificate_pem;
    both += pair.key_pem.reveal();
    const Secret pem(std::move(both));
    return write_file(files.certificate, pem.reveal(), 0600);
}

}  // namespace candela
