#include "node/joined_profile.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"

namespace candela {

namespace {

constexpr int kBusPort = 4222;

// TOML's basic strings are escaped as JSON's are.
std::string quoted(const std::string& text) { return dump_json(Json(text)); }

std::string list_of(const std::vector<std::string>& texts) {
    std::string out;
    for (const std::string& text : texts) out += (out.empty() ? "" : ", ") + quoted(text);
    return "[" + out + "]";
}

}  // namespace

std::string joined_profile(const JoinResult& joined, const std::filesystem::path& data_dir,
                           const std::string& address) {
    const Membership& membership = joined.membership;
    const MembershipFiles files(data_dir);
    const bool has_bus = std::ranges::find(membership.roles, "bus") != membership.roles.end();
    std::string out = fmt::format(
        "# Written by candela join. All that can be set: candela node --example {}\n\n"
        "[node]\nname = {}\nroles = {}\ndata_dir = {}\n",
        join(membership.roles, ","), quoted(membership.node), list_of(membership.roles),
        quoted(data_dir.string()));
    if (!address.empty()) out += fmt::format("address = {}\n", quoted(address));
    out += "\n[bus]\n";
    if (has_bus) {
        out += fmt::format("listen = \"0.0.0.0:{}\"\n", kBusPort);
        if (joined.trusts_authority) {
            const std::string pem = quoted(files.certificate.string());
            out += fmt::format("\n[bus.tls]\ncertificate = {}\nkey = {}\n", pem, pem);
        }
        return out;
    }
    out += fmt::format("url = {}\n", quoted(joined.bus_url));
    if (joined.trusts_authority) out += fmt::format("ca = {}\n", quoted(files.authority.string()));
    return out;
}

}  // namespace candela
