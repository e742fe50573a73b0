#include "auth/creds_file.h"

#include <optional>

#include "auth/claims.h"
#include "auth/identity_files.h"
#include "base/text.h"

namespace candela::auth {

namespace {

// A line of three or more dashes with `label` between them, as the NATS clients accept it.
bool is_marker(std::string_view line, std::string_view label) {
    const size_t begin = line.find_first_not_of('-');
    if (begin == std::string_view::npos || begin < 3) return false;
    const size_t end = line.find_last_not_of('-') + 1;
    return line.size() - end >= 3 && trim(line.substr(begin, end - begin)) == label;
}

// The one line of text between a BEGIN and an END marker.
std::optional<std::string_view> section(std::string_view text, std::string_view label) {
    const std::string begin = "BEGIN " + std::string(label);
    const std::string end = "END " + std::string(label);
    bool is_inside = false;
    std::string_view found;
    for (std::string_view line : split(text, '\n')) {
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        line = trim(line);
        if (!is_inside) {
            is_inside = is_marker(line, begin);
        } else if (is_marker(line, end)) {
            if (found.empty()) return std::nullopt;
            return found;
        } else if (!line.empty()) {
            if (!found.empty()) return std::nullopt;
            found = line;
        }
    }
    return std::nullopt;
}

}  // namespace

Secret format_creds(std::string_view jwt, const KeyPair& user) {
    std::string text;
    text.reserve(jwt.size() + 512);
    text += "-----BEGIN NATS USER JWT-----\n";
    text += jwt;
    text +=
        "\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n"
        "NKEY Seed printed below can be used to sign and prove identity.\n"
        "NKEYs are sensitive and should be treated as secrets.\n\n"
        "-----BEGIN USER NKEY SEED-----\n";
    const Secret seed = user.seed();
    text += seed.reveal();
    text +=
        "\n------END USER NKEY SEED------\n\n"
        "*************************************************************\n";
    return Secret(std::move(text));
}

Result<Credentials> parse_creds(std::string_view text) {
    const std::optional<std::string_view> jwt = section(text, "NATS USER JWT");
    if (!jwt) return fail(Code::kInvalid, "no user JWT between BEGIN and END lines");
    const std::optional<std::string_view> seed = section(text, "USER NKEY SEED");
    if (!seed) return fail(Code::kInvalid, "no user seed between BEGIN and END lines");
    CANDELA_TRY_ASSIGN(KeyPair key, KeyPair::from_seed(*seed));
    CANDELA_TRY_ASSIGN(const UserClaims claims, decode_user(*jwt));
    if (claims.subject != key.public_key()) {
        return fail(Code::kInvalid, "the seed is not that of the JWT's user");
    }
    return Credentials{std::string(*jwt), std::move(key)};
}

Result<Credentials> load_creds(const std::filesystem::path& path) {
    Result<Secret> text = read_small_file(path);
    if (!text) return fail(text.error().in("credentials"));
    return parse_creds(text->reveal()).in("credentials " + path.string());
}

}  // namespace candela::auth
