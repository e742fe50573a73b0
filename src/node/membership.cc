#include "node/membership.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "auth/claims.h"
#include "base/json_lists.h"
#include "base/text.h"
#include "loop/file.h"
#include "tls/authority.h"

namespace candela {

namespace {

constexpr size_t kSmallFileMax = 1 << 20;

WallTime half_of(WallTime from, WallTime until) { return from + (until - from) / 2; }

Result<> keep_credential(const MembershipFiles& files, const std::string& role,
                         const auth::KeyPair& key, const Json& credentials) {
    CANDELA_TRY_ASSIGN(const std::string jwt, json_string(credentials, role));
    CANDELA_TRY_ASSIGN(const auth::UserClaims claims, auth::decode_user(jwt));
    if (claims.subject != key.public_key()) {
        return fail(Code::kCorrupt, "the lighthouse sent the credential of another key");
    }
    const Secret creds = auth::format_creds(jwt, key);
    return write_file(files.creds(role), creds.reveal(), 0600);
}

// What a bus knows of the cloud when it starts; nothing of it is secret.
Result<> keep_accounts(const MembershipFiles& files, const Json& admission) {
    const std::string operator_jwt = json_string_or(admission, "operator");
    const auto accounts = admission.find("accounts");
    if (operator_jwt.empty() || accounts == admission.end() || !accounts->is_object()) return {};
    CANDELA_TRY(make_directories(files.accounts_folder, 0700));
    for (const auto& [name, jwt] : accounts->items()) {
        CANDELA_TRY_ASSIGN(const auth::AccountClaims claims,
                           auth::decode_account(jwt.is_string() ? jwt.get<std::string>() : ""));
        // It becomes a file's name.
        if (claims.name != name || name.find('/') != std::string::npos) {
            return fail(Code::kCorrupt, "the lighthouse sent an account of another name");
        }
        CANDELA_TRY(
            write_file(files.accounts_folder / (name + ".jwt"), jwt.get<std::string>(), 0600));
    }
    return write_file(files.operator_jwt, operator_jwt, 0600);
}

}  // namespace

MembershipFiles::MembershipFiles(const std::filesystem::path& data_dir)
    : membership(data_dir / "identity/membership.json"),
      authority(data_dir / "identity/tls/ca.crt"),
      certificate(data_dir / "identity/tls/node.pem"),
      creds_folder(data_dir / "identity/creds"),
      accounts_folder(data_dir / "identity/accounts"),
      operator_jwt(data_dir / "identity/operator.jwt") {}

std::filesystem::path MembershipFiles::creds(const std::string& role) const {
    return creds_folder / (role + ".creds");
}

Result<Membership> load_membership(const MembershipFiles& files) {
    const std::string where = files.membership.string();
    CANDELA_TRY_ASSIGN(const std::string text, read_file(files.membership, kSmallFileMax));
    const auto json = parse_json(text);
    if (!json) return fail(json.error().in(where));
    Membership membership;
    membership.url = json_string_or(*json, "lighthouse");
    membership.node = json_string_or(*json, "node");
    CANDELA_TRY_ASSIGN(membership.roles, json_strings(*json, "roles"));
    if (membership.url.empty() || membership.node.empty() || membership.roles.empty()) {
        return fail(Code::kCorrupt, "{}: lighthouse, node and roles are needed", where);
    }
    return membership;
}

Result<NodeSecrets> NodeSecrets::make(const std::vector<std::string>& roles) {
    NodeSecrets secrets;
    for (const std::string& role : roles) {
        secrets.users.emplace(role, auth::KeyPair::generate(auth::KeyKind::kUser));
    }
    CANDELA_TRY_ASSIGN(tls::OwnKey key, tls::make_own_key());
    secrets.tls_key_pem = std::move(key.key_pem);
    secrets.tls_public_pem = std::move(key.public_pem);
    return secrets;
}

Result<> keep_admission(const MembershipFiles& files, const Membership& membership,
                        const NodeSecrets& secrets, const Json& admission) {
    CANDELA_TRY_ASSIGN(const std::string authority, json_string(admission, "authority"));
    CANDELA_TRY_ASSIGN(const std::string certificate, json_string(admission, "certificate"));
    CANDELA_TRY(tls::inspect_certificate(authority));
    CANDELA_TRY(tls::inspect_certificate(certificate));
    const auto credentials = admission.find("credentials");
    if (credentials == admission.end() || !credentials->is_object()) {
        return fail(Code::kCorrupt, "the lighthouse sent no credentials");
    }
    CANDELA_TRY(make_directories(files.creds_folder, 0700));
    CANDELA_TRY(make_directories(files.authority.parent_path(), 0700));
    for (const auto& [role, key] : secrets.users) {
        CANDELA_TRY(keep_credential(files, role, key, *credentials));
    }
    const bool has_bus = std::ranges::find(membership.roles, "bus") != membership.roles.end();
    if (has_bus) CANDELA_TRY(keep_accounts(files, admission));
    CANDELA_TRY(write_file(files.authority, authority, 0644));
    std::string both = certificate;
    both += secrets.tls_key_pem.reveal();
    const Secret pem(std::move(both));
    CANDELA_TRY(write_file(files.certificate, pem.reveal(), 0600));
    const Json json = {
        {"lighthouse", membership.url}, {"node", membership.node}, {"roles", membership.roles}};
    return write_file(files.membership, dump_json(json) + "\n", 0600);
}

Result<RenewalTimes> renewal_times(const MembershipFiles& files, const Membership& membership) {
    CANDELA_TRY_ASSIGN(const std::string pem, read_file(files.certificate, kSmallFileMax));
    CANDELA_TRY_ASSIGN(const tls::CertificateInfo certificate, tls::inspect_certificate(pem));
    RenewalTimes times;
    times.end = certificate.not_after;
    times.due = half_of(certificate.not_before, certificate.not_after);
    for (const std::string& role : membership.roles) {
        CANDELA_TRY_ASSIGN(const auth::Credentials creds, auth::load_creds(files.creds(role)));
        CANDELA_TRY_ASSIGN(const auth::UserClaims claims, auth::decode_user(creds.jwt));
        if (claims.expires_at == 0) continue;
        const WallTime from = from_unix_millis(claims.issued_at * 1000);
        const WallTime until = from_unix_millis(claims.expires_at * 1000);
        times.due = std::min(times.due, half_of(from, until));
        times.end = std::min(times.end, until);
    }
    return times;
}

}  // namespace candela
