#include "login.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"

namespace candela::bus_role {

namespace {

constexpr size_t kTextMax = 256;  // of what a client calls itself

struct Network {
    std::array<uint8_t, 16> bytes{};
    unsigned bits = 0;
    int family = 0;
};

std::optional<Network> parse_ip(std::string_view text) {
    Network out;
    const std::string terminated(text);
    if (::inet_pton(AF_INET, terminated.c_str(), out.bytes.data()) == 1) {
        out.family = AF_INET;
        out.bits = 32;
    } else if (::inet_pton(AF_INET6, terminated.c_str(), out.bytes.data()) == 1) {
        out.family = AF_INET6;
        out.bits = 128;
    } else {
        return std::nullopt;
    }
    return out;
}

bool is_within(const Network& address, std::string_view cidr) {
    const auto pair = split_once(cidr, '/');
    if (!pair) return false;
    const std::optional<Network> network = parse_ip(pair->first);
    const Result<uint64_t> bits = parse_uint(pair->second);
    if (!network || !bits || *bits > network->bits || network->family != address.family)
        return false;
    for (unsigned bit = 0; bit < *bits; ++bit) {
        const auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
        if ((network->bytes[bit / 8] & mask) != (address.bytes[bit / 8] & mask)) return false;
    }
    return true;
}

// A user bound to networks comes over TCP from one of them, or not at all.
bool may_come_from(const std::vector<std::string>& networks, const Address& peer) {
    if (networks.empty()) return true;
    if (peer.kind != Address::Kind::kTcp) return false;
    const std::optional<Network> address = parse_ip(peer.host);
    return address && std::any_of(networks.begin(), networks.end(), [&](const std::string& cidr) {
               return is_within(*address, cidr);
           });
}

// The roles of this process count as either of two kinds: users were made before there was a word
// for them.
bool may_connect_by(const std::vector<std::string>& types, ConnectionType type) {
    const auto covers = [&](const std::string& name) {
        if (ascii_iequals(name, "WEBSOCKET")) return type == ConnectionType::kWebSocket;
        if (ascii_iequals(name, "STANDARD")) return type != ConnectionType::kWebSocket;
        return ascii_iequals(name, "IN_PROCESS") && type == ConnectionType::kInProcess;
    };
    return types.empty() || std::any_of(types.begin(), types.end(), covers);
}

bool is_unrestricted(const auth::Permissions& permissions) {
    return permissions == auth::Permissions();
}

// Permissions and limits come from the user, from the scope of the key that signed it, or, where
// the user has no permissions, from the account's defaults.
Result<> apply_permissions(const auth::UserClaims& user, const Account& account, Login& login,
                           auth::UserBounds& bounds, bool& bearer) {
    const auth::AccountSigningKey* key = account.claims.find_signing_key(user.issuer);
    if (user.issuer != account.key() && key == nullptr) {
        return fail(Code::kDenied, "the user is not signed by a key of its account");
    }
    if (key != nullptr && key->scope) {
        if (!user.scoped) {
            return fail(Code::kDenied, "a user under a scoped key has permissions of its own");
        }
        login.permissions = key->scope->permissions;
        login.limits = key->scope->limits;
        bounds = key->scope->bounds;
        bearer = key->scope->bearer_token;
        return {};
    }
    login.permissions =
        is_unrestricted(user.permissions) ? account.claims.default_permissions : user.permissions;
    login.limits = user.limits;
    bounds = user.bounds();
    bearer = user.bearer_token;
    return {};
}

// Where, how and when.
Result<> apply_bounds(const auth::UserBounds& bounds, TimeZones& zones, const Address& peer,
                      ConnectionType type, Login& login) {
    if (!may_come_from(bounds.source_networks, peer)) {
        return fail(Code::kDenied, "the user may not come from {}", peer.to_string());
    }
    if (!may_connect_by(bounds.allowed_connection_types, type)) {
        return fail(Code::kDenied, "the user may not connect in this way");
    }
    if (bounds.times.empty()) return {};
    const std::shared_ptr<const TimeZone> zone = zones.find(bounds.times_zone);
    if (zone == nullptr) {
        return fail(Code::kDenied, "the user's time zone \"{}\" is not known here",
                    printable(bounds.times_zone, 64));
    }
    login.hours = std::make_shared<const DayHours>(bounds.times, *zone);
    return {};
}

}  // namespace

std::optional<WallTime> Login::good_until(WallTime now) const {
    std::optional<WallTime> end;
    const auto consider = [&](WallTime time) {
        if (!end || time < *end) end = time;
    };
    const int64_t account_end = account->claims.expires_at;
    if (expires_at != 0) consider(WallTime(std::chrono::seconds(expires_at)));
    if (account_end != 0) consider(WallTime(std::chrono::seconds(account_end)));
    if (hours != nullptr) consider(hours->good_until(now).value_or(now));
    return end;
}

Result<ConnectOptions> parse_connect(std::string_view text) {
    CANDELA_TRY_ASSIGN(const Json json, parse_json(text));
    if (!json.is_object()) return fail(Code::kInvalid, "CONNECT without an object");
    ConnectOptions out;
    out.jwt = json_string_or(json, "jwt");
    out.signature = json_string_or(json, "sig");
    out.name = json_string_or(json, "name").substr(0, kTextMax);
    out.language = json_string_or(json, "lang").substr(0, kTextMax);
    out.version = json_string_or(json, "version").substr(0, kTextMax);
    // Whoever does not say gets much told, as by nats-server.
    out.verbose = json_bool_or(json, "verbose", true);
    out.pedantic = json_bool_or(json, "pedantic", true);
    out.echo = json_bool_or(json, "echo", true);
    out.headers = json_bool_or(json, "headers", false);
    out.no_responders = json_bool_or(json, "no_responders", false);
    out.protocol = json_int_or(json, "protocol", 0);
    return out;
}

std::optional<std::string_view> reason_to_end(const Login& login, WallTime now) {
    const auth::AccountClaims& account = login.account->claims;
    if (login.expires_at != 0 && login.expires_at <= unix_seconds(now)) {
        return "User Authentication Expired";
    }
    if (login.hours != nullptr && !login.hours->good_until(now)) {
        return "User Authentication Expired";
    }
    if (account.is_expired(now)) return "Account Authentication Expired";
    if (account.is_revoked(login.user_key, login.issued_at)) return "User Authentication Revoked";
    const bool is_signed =
        login.issuer == account.subject || account.find_signing_key(login.issuer) != nullptr;
    if (!is_signed) return "Authorization Violation";
    return std::nullopt;
}

Result<Login> log_in(Accounts& accounts, const ConnectOptions& options, std::string_view nonce,
                     const Address& peer, WallTime now, ConnectionType type) {
    if (options.jwt.empty()) return fail(Code::kDenied, "no credentials");
    Result<auth::UserClaims> user = auth::decode_user(options.jwt);
    if (!user) return fail(Code::kDenied, "{}", user.error().message());
    Login login;
    login.account = accounts.find(user->account());
    if (login.account == nullptr)
        return fail(Code::kDenied, "the user's account is not known here");
    bool bearer = false;
    auth::UserBounds bounds;
    CANDELA_TRY(apply_permissions(*user, *login.account, login, bounds, bearer));
    CANDELA_TRY(apply_bounds(bounds, accounts.time_zones(), peer, type, login));
    login.user_key = user->subject;
    login.user_name = user->name;
    login.tags = user->tags;
    login.issuer = user->issuer;
    login.issued_at = user->issued_at;
    login.expires_at = user->expires_at;
    if (user->not_before > unix_seconds(now))
        return fail(Code::kDenied, "the user is not valid yet");
    if (const auto reason = reason_to_end(login, now)) return fail(Code::kDenied, "{}", *reason);
    if (!bearer && !auth::verify_text(user->subject, nonce, options.signature)) {
        return fail(Code::kDenied, "the signature over the nonce is not the user's");
    }
    return login;
}

}  // namespace candela::bus_role
