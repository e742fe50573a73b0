#include "ctl/target.h"

#include <signal.h>

#include <cstdlib>

#include <nlohmann/json.hpp>

#include "auth/identity.h"
#include "base/config.h"
#include "base/json.h"
#include "base/text.h"
#include "loop/file.h"
#include "node/dev.h"

namespace candela::ctl {

namespace {

constexpr std::string_view kHttps = "https://";
constexpr std::string_view kDefaultPort = ":7400";
constexpr size_t kSmallFileMax = 1 << 16;

const ConfigSchema& context_schema() {
    static const ConfigSchema schema({
        config_string("address", "", "unix:PATH or https://HOST:PORT of the lighthouse."),
        config_string("creds", "", "The .creds file to log in with."),
        config_string("ca", "", "PEM file of the cloud's certificate authority."),
        config_string("fingerprint", "", "SHA-256 of the lighthouse's certificate."),
        config_string("space", "", "The space that commands act in."),
    });
    return schema;
}

// A flag wins over what was there.
void fill(std::string& slot, std::string_view value) {
    if (slot.empty()) slot = value;
}

// What the context file says; nothing where there is none.
Result<TargetOptions> read_context(const std::filesystem::path& path) {
    const auto text = read_file(path, kConfigTextMax + 1);
    if (!text) {
        if (text.error().code() == Code::kNotFound) return TargetOptions();
        return fail(text.error());
    }
    ConfigProblems problems(path.string());
    const Config config = read_config(*text, context_schema(), problems);
    if (!problems.empty()) return fail(problems.as_error());
    TargetOptions out;
    out.address = config.string("address");
    out.creds = config.string("creds");
    out.ca = config.string("ca");
    out.fingerprint = config.string("fingerprint");
    out.space = config.string("space");
    return out;
}

// The address of a `candela dev` that is running.
std::string dev_address(const std::filesystem::path& path) {
    const auto text = read_file(path, kSmallFileMax);
    if (!text) return "";
    const auto state = parse_json(*text);
    if (!state) return "";
    const int64_t pid = json_int_or(*state, "pid", 0);
    if (pid <= 1) return "";
    // EPERM: it runs, as somebody else.
    if (::kill(static_cast<pid_t>(pid), 0) != 0 && errno != EPERM) return "";
    return json_string_or(*state, "address");
}

}  // namespace

TargetPlaces TargetPlaces::usual() {
    TargetPlaces places;
    places.environment = [](const char* name) {
        const char* value = std::getenv(name);
        return std::string(value != nullptr ? value : "");
    };
    places.context_file = user_folder("XDG_CONFIG_HOME", ".config") / "candela/context.toml";
    places.dev_state_file = candela::dev_state_file();
    places.sockets = {"/run/candela/lighthouse.sock", "/var/lib/candela/lighthouse.sock"};
    return places;
}

Result<std::pair<Address, bool>> parse_target_address(std::string_view text) {
    if (text.starts_with("unix:")) {
        CANDELA_TRY_ASSIGN(Address address, Address::parse(text));
        return std::pair(std::move(address), false);
    }
    if (!text.starts_with(kHttps)) {
        return fail(Code::kInvalid,
                    "\"{}\" is not a lighthouse's address; write unix:PATH or "
                    "https://HOST:PORT",
                    printable(text));
    }
    std::string_view rest = text.substr(kHttps.size());
    if (rest.ends_with('/')) rest.remove_suffix(1);
    const bool has_port = rest.rfind(':') != std::string_view::npos && !rest.ends_with(']');
    const std::string authority = std::string(rest) + (has_port ? "" : std::string(kDefaultPort));
    auto address = Address::parse(authority);
    if (!address || address->kind != Address::Kind::kTcp) {
        return fail(Code::kInvalid, "\"{}\" is not an address; write https://HOST:PORT",
                    printable(text));
    }
    return std::pair(std::move(*address), true);
}

Result<Target> find_target(const TargetOptions& options, const TargetPlaces& places) {
    TargetOptions wanted = options;
    std::string origin = "--address";
    if (wanted.address.empty()) {
        wanted.address = places.environment("CANDELA_ADDRESS");
        origin = "CANDELA_ADDRESS";
    }
    fill(wanted.creds, places.environment("CANDELA_CREDS"));
    fill(wanted.space, places.environment("CANDELA_SPACE"));
    CANDELA_TRY_ASSIGN(const TargetOptions context, read_context(places.context_file));
    // What the context says about TLS is about its own address.
    if (wanted.address.empty() && !context.address.empty()) {
        wanted.address = context.address;
        fill(wanted.creds, context.creds);
        fill(wanted.ca, context.ca);
        fill(wanted.fingerprint, context.fingerprint);
        origin = places.context_file.string();
    }
    fill(wanted.space, context.space);
    if (wanted.address.empty()) {
        wanted.address = dev_address(places.dev_state_file);
        origin = "candela dev";
    }
    for (const auto& socket : places.sockets) {
        std::error_code ignored;
        if (!wanted.address.empty() || !std::filesystem::exists(socket, ignored)) continue;
        wanted.address = "unix:" + socket.string();
        origin = socket.string();
    }
    if (wanted.address.empty()) {
        return fail(
            Code::kUnreachable,
            "no lighthouse found on this machine\n"
            "try: candela dev, or --address unix:PATH, or --address https://HOST:PORT --creds FILE");
    }
    auto address = parse_target_address(wanted.address);
    if (!address) return fail(address.error().in(origin));
    Target target;
    target.address = std::move(address->first);
    target.tls = address->second;
    target.creds_file = wanted.creds;
    target.ca_file = wanted.ca;
    target.fingerprint = wanted.fingerprint;
    target.space = wanted.space.empty() ? std::string(auth::kDefaultSpace) : wanted.space;
    target.origin = origin;
    if (target.tls && target.creds_file.empty()) {
        return fail(Code::kDenied,
                    "{} needs a credential\ntry: --creds FILE, or CANDELA_CREDS=FILE",
                    wanted.address);
    }
    return target;
}

}  // namespace candela::ctl
