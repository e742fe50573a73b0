#pragma once

// The cloud's certificate authority on its lighthouse's disk, in DIR/lighthouse/ca (ca.crt for
// whoever shall trust it, ca.key, 0600), and the certificate that it gives to its own node.
// Blocks.

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "node/membership.h"
#include "tls/authority.h"

namespace candela {

inline constexpr Duration kAuthorityLifetime = 24h * 365 * 10;
inline constexpr Duration kOwnCertificateLifetime = 24h * 90;

// Makes it where there is none.
Result<tls::Authority> open_authority(const std::filesystem::path& folder, WallTime now);

// Gives the lighthouse's own node a certificate for these names (DIR/identity/tls, as a node has
// that joined), where it has none, one for other names, or one that is past half of its life.
Result<> keep_own_certificate(const MembershipFiles& files, const tls::Authority& authority,
                              const std::vector<std::string>& names, WallTime now);

}  // namespace candela
