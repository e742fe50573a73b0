#include "auth/claims.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "auth/claims_json.h"
#include "base/encoding.h"
#include "base/json.h"
#include "base/text.h"
#include "crypto/hash.h"

namespace candela::auth {

namespace {

constexpr size_t kJwtBytesMax = 1024 * 1024;
constexpr std::string_view kHeader = R"({"typ":"JWT","alg":"ed25519-nkey"})";

Result<std::string> sign_claims(Claims& claims, Json nats, std::string_view type,
                                const KeyPair& signer, WallTime now) {
    claims.issuer = signer.public_key();
    claims.issued_at = unix_seconds(now);
    nats["type"] = type;
    nats["version"] = 2;
    Json body = {{"iat", claims.issued_at},
                 {"iss", claims.issuer},
                 {"sub", claims.subject},
                 {"nats", std::move(nats)}};
    if (!claims.name.empty()) body["name"] = claims.name;
    if (claims.expires_at != 0) body["exp"] = claims.expires_at;
    if (claims.not_before != 0) body["nbf"] = claims.not_before;
    if (!claims.tags.empty()) body["nats"]["tags"] = claims.tags;
    // The id is a digest of the rest, as the NATS libraries make it: unique, and no secret.
    const std::string unnamed = dump_json(body);
    const crypto::Digest digest = crypto::sha256(as_bytes(unnamed));
    claims.id = base32_encode(digest);
    body["jti"] = claims.id;
    const std::string text = dump_json(body);
    const std::string signed_part =
        base64url_encode(as_bytes(kHeader)) + "." + base64url_encode(as_bytes(text));
    const crypto::Signature signature = signer.sign(signed_part);
    return signed_part + "." + base64url_encode(signature);
}

Result<Json> part(std::string_view text, std::string_view name) {
    Result<std::string> raw = base64url_decode(text);
    if (!raw) return fail(raw.error().in(name));
    return parse_json(*raw).in(name);
}

// Verifies the form and the signature, fills the common claims and returns the "nats" object.
Result<Json> open_claims(std::string_view jwt, std::string_view type, KeyKind subject_kind,
                         KeyKind issuer_kind, Claims& out) {
    if (jwt.size() > kJwtBytesMax)
        return fail(Code::kInvalid, "a JWT above {} bytes", kJwtBytesMax);
    const std::vector<std::string_view> parts = split(jwt, '.');
    if (parts.size() != 3) return fail(Code::kInvalid, "not a JWT: it has three parts with dots");
    CANDELA_TRY_ASSIGN(const Json header, part(parts[0], "JWT header"));
    if (!ascii_iequals(json_string_or(header, "typ"), "JWT") ||
        json_string_or(header, "alg") != "ed25519-nkey") {
        return fail(Code::kInvalid, "the JWT is not of type ed25519-nkey");
    }
    CANDELA_TRY_ASSIGN(Json body, part(parts[1], "JWT claims"));
    CANDELA_TRY_ASSIGN(out.issuer, json_string(body, "iss"));
    CANDELA_TRY_ASSIGN(out.subject, json_string(body, "sub"));
    const std::string_view signed_part = jwt.substr(0, parts[0].size() + 1 + parts[1].size());
    if (!verify_text(out.issuer, signed_part, parts[2])) {
        return fail(Code::kDenied, "the JWT's signature is not that of its issuer");
    }
    if (!is_public_key(out.subject, subject_kind)) {
        return fail(Code::kInvalid, "the JWT's subject is not the key of {} {}",
                    subject_kind == KeyKind::kUser ? "a" : "an", to_string(subject_kind));
    }
    // An operator signs itself and accounts; an account signs users.
    if (!is_public_key(out.issuer, issuer_kind)) {
        return fail(Code::kInvalid, "the JWT's issuer is not the key of an {}",
                    to_string(issuer_kind));
    }
    CANDELA_TRY_ASSIGN(out.issued_at, json_int(body, "iat"));
    out.id = json_string_or(body, "jti");
    out.name = json_string_or(body, "name");
    CANDELA_TRY_ASSIGN(out.expires_at, read_int(body, "exp", 0));
    CANDELA_TRY_ASSIGN(out.not_before, read_int(body, "nbf", 0));
    Json nats = body.value("nats", Json::object());
    if (json_string_or(nats, "type") != type || json_int_or(nats, "version", 0) != 2) {
        return fail(Code::kInvalid, "not a version 2 JWT of type {}", type);
    }
    CANDELA_TRY_ASSIGN(out.tags, read_strings(nats, "tags"));
    return nats;
}

Error wrong_key(std::string_view what) { return Error(Code::kInvalid, std::string(what)); }

}  // namespace

bool OperatorClaims::may_sign_accounts(std::string_view key) const {
    if (std::find(signing_keys.begin(), signing_keys.end(), key) != signing_keys.end()) return true;
    return key == subject && !strict_signing_key_usage;
}

const AccountSigningKey* AccountClaims::find_signing_key(std::string_view key) const {
    const auto found =
        std::find_if(signing_keys.begin(), signing_keys.end(),
                     [&](const AccountSigningKey& candidate) { return candidate.key == key; });
    return found == signing_keys.end() ? nullptr : &*found;
}

bool AccountClaims::is_revoked(std::string_view user_key, int64_t jwt_issued_at) const {
    const auto covers = [&](std::string_view key) {
        const auto found = revocations.find(key);
        return found != revocations.end() && jwt_issued_at <= found->second;
    };
    return covers(user_key) || covers("*");
}

Result<std::string> encode_operator(OperatorClaims claims, const KeyPair& signer, WallTime now) {
    if (signer.kind() != KeyKind::kOperator || !is_public_key(claims.subject, KeyKind::kOperator)) {
        return fail(wrong_key("an operator's JWT is about an operator and signed by one"));
    }
    return sign_claims(claims, operator_to_json(claims), "operator", signer, now);
}

Result<std::string> encode_account(AccountClaims claims, const KeyPair& signer, WallTime now) {
    if (signer.kind() != KeyKind::kOperator || !is_public_key(claims.subject, KeyKind::kAccount)) {
        return fail(wrong_key("an account's JWT is about an account and signed by an operator"));
    }
    return sign_claims(claims, account_to_json(claims), "account", signer, now);
}

Result<std::string> encode_user(UserClaims claims, const KeyPair& signer, WallTime now) {
    if (signer.kind() != KeyKind::kAccount || !is_public_key(claims.subject, KeyKind::kUser)) {
        return fail(wrong_key("a user's JWT is about a user and signed by an account"));
    }
    return sign_claims(claims, user_to_json(claims), "user", signer, now);
}

Result<std::string> encode_generic(GenericClaims claims, const KeyPair& signer, WallTime now) {
    if (signer.kind() != KeyKind::kOperator) {
        return fail(wrong_key("a request to remove accounts is signed by an operator"));
    }
    claims.subject = signer.public_key();
    Json nats = {{"accounts", claims.accounts}};
    return sign_claims(claims, std::move(nats), "generic", signer, now);
}

Result<std::string> encode_activation(ActivationClaims claims, const KeyPair& signer,
                                      WallTime now) {
    if (signer.kind() != KeyKind::kAccount || !is_public_key(claims.subject, KeyKind::kAccount)) {
        return fail(wrong_key("an activation is about an account and signed by an account"));
    }
    return sign_claims(claims, activation_to_json(claims), "activation", signer, now);
}

Result<OperatorClaims> decode_operator(std::string_view jwt) {
    OperatorClaims claims;
    CANDELA_TRY_ASSIGN(const Json nats, open_claims(jwt, "operator", KeyKind::kOperator,
                                                    KeyKind::kOperator, claims));
    CANDELA_TRY(operator_from_json(nats, claims));
    return claims;
}

Result<AccountClaims> decode_account(std::string_view jwt) {
    AccountClaims claims;
    CANDELA_TRY_ASSIGN(const Json nats,
                       open_claims(jwt, "account", KeyKind::kAccount, KeyKind::kOperator, claims));
    CANDELA_TRY(account_from_json(nats, claims));
    return claims;
}

Result<UserClaims> decode_user(std::string_view jwt) {
    UserClaims claims;
    CANDELA_TRY_ASSIGN(const Json nats,
                       open_claims(jwt, "user", KeyKind::kUser, KeyKind::kAccount, claims));
    CANDELA_TRY(user_from_json(nats, claims));
    return claims;
}

Result<GenericClaims> decode_generic(std::string_view jwt) {
    GenericClaims claims;
    CANDELA_TRY_ASSIGN(const Json nats,
                       open_claims(jwt, "generic", KeyKind::kOperator, KeyKind::kOperator, claims));
    CANDELA_TRY_ASSIGN(claims.accounts, read_strings(nats, "accounts"));
    return claims;
}

Result<ActivationClaims> decode_activation(std::string_view jwt) {
    ActivationClaims claims;
    CANDELA_TRY_ASSIGN(const Json nats, open_claims(jwt, "activation", KeyKind::kAccount,
                                                    KeyKind::kAccount, claims));
    CANDELA_TRY(activation_from_json(nats, claims));
    return claims;
}

}  // namespace candela::auth
