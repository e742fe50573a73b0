#pragma once

// Who signs bundles: the credential's key where there is one; under the unix socket a deployer key
// that is made at the first deployment and kept in ~/.config/candela/deployer.seed (0600).
// Blocking, small files.

#include <string>

#include "auth/key_pair.h"
#include "base/result.h"
#include "ctl/api.h"

namespace candela::ctl {

Result<auth::KeyPair> signing_key(Api& api);
// The deployer key in that file, made where there is none.
Result<auth::KeyPair> deployer_key(const std::filesystem::path& file);

}  // namespace candela::ctl
