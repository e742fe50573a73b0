#pragma once

// What a new machine is told so that it can join: where the lighthouse is, how to know that it is
// the right one, and a secret that is good once. One
// line of text, "cj1." and base64url of JSON.
// Values.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace candela::auth {

struct JoinToken {
    std::string url;                    // "https://HOST:PORT" of the lighthouse's API
    std::string authority_fingerprint;  // SHA-256 of the cloud's authority, 64 hex digits
    std::vector<std::string> roles;     // what the machine will be
    Secret secret;
};

inline constexpr size_t kJoinSecretBytes = 20;

Secret make_join_secret();
// What the lighthouse keeps of a secret: it can't be turned back.
std::string join_secret_digest(const Secret& secret);

Secret format_join_token(const JoinToken& token);
// kInvalid says what is wrong, and never quotes the text.
Result<JoinToken> parse_join_token(std::string_view text);

}  // namespace candela::auth
