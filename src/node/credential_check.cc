#include "node/credential_check.h"

#include <algorithm>

#include "auth/creds_file.h"
#include "auth/identity.h"

namespace candela {

namespace {

// Subjects of `needed` that `granted` does not name; where nothing is named, all are allowed.
void add_lacking(std::string_view verb, const auth::SubjectPermission& needed,
                 const auth::SubjectPermission& by_any, const auth::SubjectPermission& granted,
                 std::vector<std::string>& out) {
    if (granted.allow.empty()) return;
    for (size_t i = 0; i < needed.allow.size(); ++i) {
        const bool is_there =
            std::ranges::find(granted.allow, needed.allow[i]) != granted.allow.end() ||
            std::ranges::find(granted.allow, by_any.allow[i]) != granted.allow.end();
        if (!is_there) out.push_back(fmt::format("{} {}", verb, needed.allow[i]));
    }
}

}  // namespace

Result<std::vector<std::string>> lacking_permissions(const std::filesystem::path& creds_file,
                                                     std::string_view role, std::string_view node) {
    CANDELA_TRY_ASSIGN(const auth::Credentials creds, auth::load_creds(creds_file));
    CANDELA_TRY_ASSIGN(const auth::UserClaims claims, auth::decode_user(creds.jwt));
    // One that was made by `candela init` is for a node of any name.
    CANDELA_TRY_ASSIGN(const auth::Permissions needed,
                       auth::role_permissions(role, claims.subject, node));
    CANDELA_TRY_ASSIGN(const auth::Permissions by_any,
                       auth::role_permissions(role, claims.subject));
    std::vector<std::string> out;
    add_lacking("publish", needed.publish, by_any.publish, claims.permissions.publish, out);
    add_lacking("subscribe", needed.subscribe, by_any.subscribe, claims.permissions.subscribe, out);
    return out;
}

std::string renewal_advice(const std::filesystem::path& creds_file) {
    return fmt::format(
        "run candela init --data-dir DIR with this version where the cloud's identity is (DIR/"
        "identity/operator.seed); if that is another machine, copy its identity/creds/{} to {}; a "
        "node that has joined renews it by itself when the lighthouse is of this version",
        creds_file.filename().string(), creds_file.string());
}

}  // namespace candela
