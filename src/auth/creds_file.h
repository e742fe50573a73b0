#pragma once

// The .creds form: a user's JWT and seed between BEGIN and END lines, as every NATS client reads
// it.

#include <filesystem>
#include <string>
#include <string_view>

#include "auth/key_pair.h"
#include "base/result.h"
#include "base/secret.h"

namespace candela::auth {

struct Credentials {
    std::string jwt;
    KeyPair key;
};

Secret format_creds(std::string_view jwt, const KeyPair& user);
// Checks that the JWT is a well-formed user JWT whose subject is the seed's key.
Result<Credentials> parse_creds(std::string_view text);
// Blocking, of a small file.
Result<Credentials> load_creds(const std::filesystem::path& path);

}  // namespace candela::auth
