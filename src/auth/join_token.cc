#include "auth/join_token.h"

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/json_lists.h"
#include "base/text.h"
#include "crypto/entropy.h"
#include "crypto/hash.h"

namespace candela::auth {

namespace {

constexpr std::string_view kPrefix = "cj1.";
constexpr size_t kTokenBytesMax = 4096;

}  // namespace

Secret make_join_secret() { return Secret(crypto::random_token(kJoinSecretBytes)); }

std::string join_secret_digest(const Secret& secret) {
    return hex_encode(crypto::sha256(as_bytes(secret.reveal())));
}

Secret format_join_token(const JoinToken& token) {
    const Json json = {{"url", token.url},
                       {"ca", token.authority_fingerprint},
                       {"roles", token.roles},
                       {"secret", token.secret.reveal()}};
    return Secret(std::string(kPrefix) + base64url_encode(as_bytes(dump_json(json))));
}

Result<JoinToken> parse_join_token(std::string_view text) {
    const Error wrong(Code::kInvalid,
                      "that is not a join token, or a part of it is missing: it begins with "
                      "\"cj1.\", and is one line");
    // As it comes from a terminal or a file.
    const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    if (!text.starts_with(kPrefix) || text.size() > kTokenBytesMax) return fail(wrong);
    const auto bytes = base64url_decode(text.substr(kPrefix.size()));
    if (!bytes) return fail(wrong);
    const auto json = parse_json(*bytes);
    if (!json || !json->is_object()) return fail(wrong);
    JoinToken token;
    token.url = json_string_or(*json, "url");
    token.authority_fingerprint = json_string_or(*json, "ca");
    auto roles = json_strings(*json, "roles");
    if (!roles) return fail(wrong);
    token.roles = std::move(*roles);
    token.secret = Secret(json_string_or(*json, "secret"));
    if (token.url.empty() || token.authority_fingerprint.empty() || token.roles.empty() ||
        token.secret.reveal().empty()) {
        return fail(wrong);
    }
    return token;
}

}  // namespace candela::auth
