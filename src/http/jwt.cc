#include "http/jwt.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/json.h"
#include "base/text.h"
#include "crypto/hash.h"

namespace candela::http {
namespace {

std::unexpected<Error> denied(std::string_view what) { return fail(Code::kDenied, "{}", what); }

Result<std::string> bytes_of(const Json& key, std::string_view name) {
    CANDELA_TRY_ASSIGN(const std::string text, json_string(key, name));
    return base64url_decode(text);
}

// Nothing where the key is of a kind that is not used here.
Result<std::optional<tls::VerifyKey>> read_key(const Json& key) {
    const std::string type = json_string_or(key, "kty");
    const std::string curve = json_string_or(key, "crv");
    const std::string use = json_string_or(key, "use", "sig");
    if (use != "sig") return std::nullopt;
    if (type == "RSA") {
        const std::string algorithm = json_string_or(key, "alg", "RS256");
        if (algorithm != "RS256") return std::nullopt;
        CANDELA_TRY_ASSIGN(const std::string n, bytes_of(key, "n"));
        CANDELA_TRY_ASSIGN(const std::string e, bytes_of(key, "e"));
        CANDELA_TRY_ASSIGN(auto made, tls::VerifyKey::from_rsa(n, e));
        return made;
    }
    if (type == "EC" && curve == "P-256") {
        CANDELA_TRY_ASSIGN(const std::string x, bytes_of(key, "x"));
        CANDELA_TRY_ASSIGN(const std::string y, bytes_of(key, "y"));
        CANDELA_TRY_ASSIGN(auto made, tls::VerifyKey::from_p256(x, y));
        return made;
    }
    if (type == "OKP" && curve == "Ed25519") {
        CANDELA_TRY_ASSIGN(const std::string x, bytes_of(key, "x"));
        CANDELA_TRY_ASSIGN(auto made, tls::VerifyKey::from_ed25519(x));
        return made;
    }
    return std::nullopt;
}

std::optional<tls::SignatureAlgorithm> algorithm_of(std::string_view name) {
    if (name == "RS256") return tls::SignatureAlgorithm::kRs256;
    if (name == "ES256") return tls::SignatureAlgorithm::kEs256;
    if (name == "EdDSA") return tls::SignatureAlgorithm::kEdDsa;
    return std::nullopt;
}

// A NumericDate may have a fraction (RFC 7519 §2).
std::optional<int64_t> date_of(const Json& claims, const char* name) {
    const auto found = claims.find(name);
    if (found == claims.end() || !found->is_number()) return std::nullopt;
    const double seconds = found->get<double>();
    constexpr double kFarthest = 253402300799;  // the year 9999
    if (!std::isfinite(seconds) || seconds < 0 || seconds > kFarthest) return std::nullopt;
    return static_cast<int64_t>(seconds);
}

bool is_among(const Json& audience, const std::vector<std::string>& allowed) {
    const auto is_allowed = [&](const Json& one) {
        return one.is_string() &&
               std::ranges::find(allowed, one.get_ref<const std::string&>()) != allowed.end();
    };
    if (audience.is_array()) return std::ranges::any_of(audience, is_allowed);
    return is_allowed(audience);
}

// What a claim says as a field's value; empty where it can't stand in one.
std::string text_of(const Json& claims, const std::string& name) {
    const auto found = claims.find(name);
    if (found == claims.end() || found->is_null()) return {};
    std::string text;
    if (found->is_string()) {
        text = found->get<std::string>();
    } else if (found->is_array()) {
        std::vector<std::string> parts;
        for (const Json& part : *found) {
            if (part.is_string()) parts.push_back(part.get<std::string>());
        }
        text = join(parts, ",");
    } else {
        text = dump_json(*found);
    }
    return is_field_value(text) && text.size() <= 1024 ? text : std::string();
}

}  // namespace

Result<std::vector<JwtKey>> parse_jwks(std::string_view json) {
    if (json.size() > kJwksBytesMax) {
        return fail(Code::kInvalid, "a key set has at most {} bytes", kJwksBytesMax);
    }
    CANDELA_TRY_ASSIGN(const Json set, parse_json(json, 16));
    const auto list = set.is_object() ? set.find("keys") : set.end();
    if (!set.is_object() || list == set.end() || !list->is_array()) {
        return fail(Code::kInvalid, "a key set has a list \"keys\"");
    }
    std::vector<JwtKey> keys;
    for (const Json& one : *list) {
        const std::string id = json_string_or(one, "kid");
        auto key = read_key(one);
        if (!key) return fail(key.error().in(fmt::format("key \"{}\"", printable(id))));
        if (!key->has_value()) continue;
        if (keys.size() == kJwksKeysMax) {
            return fail(Code::kInvalid, "a key set has at most {} keys", kJwksKeysMax);
        }
        keys.push_back(JwtKey{id, std::move(**key)});
    }
    if (keys.empty()) {
        return fail(Code::kInvalid, "no key for RS256, ES256 or EdDSA is in the set");
    }
    return keys;
}

Result<> JwtCheck::check(const Headers& request, WallTime now, Headers& added) const {
    if (request.count(FieldId::kAuthorization) > 1) return denied("more than one Authorization");
    const std::string_view token =
        credentials_of(request.get(FieldId::kAuthorization).value_or(""), "bearer");
    if (token.empty()) return denied("a bearer token is needed");
    if (token.size() > kJwtBytesMax) return denied("the token is too long");
    const uint64_t generation = rules_.fetched == nullptr ? 0 : rules_.fetched->generation();
    const auto digest = crypto::sha256(as_bytes(token));
    size_t place = 0;
    for (size_t i = 0; i < sizeof place; ++i) place = place << 8 | digest[i];
    place %= kKnownMax;
    {
        const std::unique_lock lock(mutex_, std::try_to_lock);
        if (lock.owns_lock() && known_.size() == kKnownMax && known_[place].digest == digest &&
            known_[place].generation == generation) {
            return apply(known_[place], now, added);
        }
    }
    auto known = verify(token);
    if (!known) return fail(known.error());
    known->digest = digest;
    known->generation = generation;
    Result<> applied = apply(*known, now, added);
    if (!applied) return applied;
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (lock.owns_lock()) {
        known_.resize(kKnownMax);
        known_[place] = std::move(*known);
    }
    return {};
}

Result<> JwtCheck::apply(const Known& known, WallTime now, Headers& added) const {
    const int64_t leeway = std::chrono::duration_cast<std::chrono::seconds>(kJwtLeeway).count();
    const int64_t seconds = unix_seconds(now);
    if (seconds >= known.until + leeway) return denied("the token has expired");
    if (seconds + leeway < known.from) return denied("the token is not valid yet");
    for (size_t i = 0; i < rules_.claim_fields.size(); ++i) {
        if (!known.values[i].empty()) added.add(rules_.claim_fields[i].second, known.values[i]);
    }
    return {};
}

namespace {

const JwtKey* find_key(const std::vector<JwtKey>& keys, std::string_view id,
                       tls::SignatureAlgorithm algorithm) {
    const JwtKey* only = nullptr;
    for (const JwtKey& key : keys) {
        if (key.key.algorithm() != algorithm) continue;
        if (!id.empty() && key.id == id) return &key;
        // Without names there is no choice, so that there must be one only.
        if (id.empty() || key.id.empty()) {
            if (only != nullptr) return nullptr;
            only = &key;
        }
    }
    return only;
}

}  // namespace

Result<> JwtCheck::check_signature(std::string_view signed_part, const std::string& signature,
                                   std::string_view id, tls::SignatureAlgorithm algorithm) const {
    JwtKeySet fetched;
    if (rules_.fetched != nullptr) {
        fetched = rules_.fetched->current();
        if (fetched == nullptr) {
            return fail(Code::kUnreachable, "the keys that tokens are checked with are not here");
        }
    }
    const JwtKey* const key = find_key(fetched == nullptr ? rules_.keys : *fetched, id, algorithm);
    if (key == nullptr) {
        if (rules_.fetched != nullptr) rules_.fetched->tell_unknown();
        return denied("the token's key is not known");
    }
    if (!key->key.verify(signed_part, signature)) return denied("the token's signature is wrong");
    return {};
}

Result<JwtCheck::Known> JwtCheck::verify(std::string_view token) const {
    const size_t head_end = token.find('.');
    const size_t body_end = token.rfind('.');
    if (head_end == std::string_view::npos || body_end == head_end ||
        token.substr(head_end + 1, body_end - head_end - 1).find('.') != std::string_view::npos) {
        return denied("the token is malformed");
    }
    const auto head_text = base64url_decode(token.substr(0, head_end));
    const auto body_text = base64url_decode(token.substr(head_end + 1, body_end - head_end - 1));
    const auto signature = base64url_decode(token.substr(body_end + 1));
    if (!head_text || !body_text || !signature) return denied("the token is malformed");
    const auto head = parse_json(*head_text, 8);
    if (!head || !head->is_object()) return denied("the token is malformed");
    if (head->contains("crit")) return denied("the token has critical extensions");
    const auto algorithm = algorithm_of(json_string_or(*head, "alg"));
    if (!algorithm) return denied("the token's algorithm is not RS256, ES256 or EdDSA");
    CANDELA_TRY(check_signature(token.substr(0, body_end), *signature, json_string_or(*head, "kid"),
                                *algorithm));
    Known known;
    CANDELA_TRY(check_claims(*body_text, known));
    return known;
}

Result<> JwtCheck::check_claims(const std::string& json, Known& out) const {
    const auto claims = parse_json(json, 16);
    if (!claims || !claims->is_object()) return denied("the token is malformed");
    if (!rules_.issuer.empty() && json_string_or(*claims, "iss") != rules_.issuer) {
        return denied("the token is of another issuer");
    }
    if (!rules_.audience.empty()) {
        const auto audience = claims->find("aud");
        if (audience == claims->end() || !is_among(*audience, rules_.audience)) {
            return denied("the token is for somebody else");
        }
    }
    const auto until = date_of(*claims, "exp");
    if (!until) return denied("the token has no end");
    out.until = *until;
    if (claims->contains("nbf")) {
        const auto from = date_of(*claims, "nbf");
        if (!from) return denied("the token is malformed");
        out.from = *from;
    }
    for (const auto& [claim, field] : rules_.claim_fields) {
        out.values.push_back(text_of(*claims, claim));
    }
    return {};
}

}  // namespace candela::http
