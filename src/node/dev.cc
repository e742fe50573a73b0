#include "node/dev.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "auth/identity.h"
#include "base/json.h"
#include "base/text.h"
#include "loop/file.h"
#include "node/node.h"

namespace candela {

namespace {

// "scheme://" or nothing, then an address on loopback or on all interfaces: the port moves, and the
// host becomes 127.0.0.1. Anything else stays as it is.
std::string move_address(const std::string& text, uint16_t offset) {
    const size_t scheme_end = text.find("://");
    const size_t begin = scheme_end == std::string::npos ? 0 : scheme_end + 3;
    auto address = Address::parse(std::string_view(text).substr(begin));
    if (!address || address->kind != Address::Kind::kTcp) return text;
    const bool is_any = address->host == "0.0.0.0" || address->host == "::";
    if (is_any) address->host = "127.0.0.1";
    if (!address->is_loopback()) return text;
    if (address->port != 0) address->port = static_cast<uint16_t>(address->port + offset);
    return text.substr(0, begin) + address->to_string();
}

std::string dev_profile_text(std::span<const RoleSpec> table, const DevOptions& options) {
    std::string roles;
    std::string sections;
    for (const RoleSpec& spec : table) {
        roles += fmt::format("{}\"{}\"", roles.empty() ? "" : ", ", spec.name);
        if (!spec.dev_profile.empty()) {
            sections += fmt::format("[{}]\n{}\n", spec.name, spec.dev_profile);
        }
    }
    // JSON's form of a string is one of TOML's.
    return fmt::format(
        "[node]\nroles = [{}]\ndata_dir = {}\nlog_level = \"{}\"\ndrain_timeout = \"5s\"\n{}",
        roles, dump_json(options.data_dir.string()), to_string(options.log_level), sections);
}

// The text of a key that a section may have.
std::string find_text(const Config& config, std::string_view section, std::string_view key) {
    if (config.schema().find(section) == nullptr) return "";
    const Config& table = config.table(section);
    const ConfigKey* found = table.schema().find(key);
    if (found == nullptr || found->type != ConfigType::kAddress) return "";
    return std::string(table.string(key));
}

struct Reached {
    std::string socket;  // the API for ctl
    std::string api;     // the same over TLS
    std::string gateway;
    std::string bus;
    std::string endpoint;
};

Reached where(const Profile& profile) {
    const auto url = [&](std::string_view scheme, std::string_view section) {
        const std::string address = find_text(profile.config, section, "listen");
        return address.empty() ? "" : fmt::format("{}://{}", scheme, address);
    };
    Reached out;
    out.socket = fmt::format("unix:{}", (profile.data_dir / "lighthouse.sock").string());
    out.api = url("https", "lighthouse");
    out.gateway = url("http", "gateway");
    out.bus = url("nats", "bus");
    out.endpoint = fmt::format("http://{}", profile.endpoint.to_string());
    return out;
}

Result<> write_state_file(const Profile& profile) {
    const Reached reached = where(profile);
    const Json state = {{"pid", getpid()},
                        {"version", CANDELA_VERSION},
                        {"data_dir", profile.data_dir.string()},
                        {"address", reached.socket},
                        {"api", reached.api},
                        {"gateway", reached.gateway},
                        {"bus", reached.bus},
                        {"endpoint", reached.endpoint}};
    const auto path = dev_state_file();
    CANDELA_TRY(make_directories(path.parent_path(), 0700));
    return write_file(path, dump_json_pretty(state) + "\n", 0600);
}

// Another `candela dev` may have written its own since.
void remove_state_file() {
    const auto text = read_file(dev_state_file(), 1 << 16);
    if (!text) return;
    const auto state = parse_json(*text);
    if (!state || json_int_or(*state, "pid", 0) != getpid()) return;
    if (const auto removed = remove_file(dev_state_file()); !removed) {
        fmt::print(stderr, "candela: {}\n", removed.error().message());
    }
}

void print_banner(const Profile& profile, Duration took) {
    const Reached reached = where(profile);
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
    fmt::print("candela {} is ready in {} ms, all of it in this process (pid {})\n\n",
               CANDELA_VERSION, milliseconds, getpid());
    const auto row = [](std::string_view name, const std::string& value) {
        if (!value.empty()) fmt::print("  {:<10} {}\n", name, value);
    };
    row("gateway", reached.gateway);
    row("bus", reached.bus);
    row("API", reached.api);
    row("health", reached.endpoint + "/readyz");
    row("data", profile.data_dir.string());
    fmt::print(
        "\nNext, in another terminal:\n"
        "  candela ctl deploy DIR     deploy the service in DIR (examples/hello-node, say)\n"
        "  candela ctl status         what is running\n"
        "  candela ctl logs NAME -f   what it says\n"
        "Ctrl-C stops everything.\n");
    std::fflush(stdout);
}

int fail_with(const Error& error) {
    fmt::print(stderr, "candela dev: {}\n", error.message());
    return static_cast<int>(error.code() == Code::kConflict ? NodeExit::kConflict
                                                            : NodeExit::kFailed);
}

}  // namespace

std::filesystem::path dev_data_dir(const DevOptions& options) {
    if (options.data_dir.empty())
        return user_folder("XDG_DATA_HOME", ".local/share") / "candela/dev";
    return std::filesystem::absolute(options.data_dir).lexically_normal();
}

std::filesystem::path user_folder(const char* variable, std::string_view fallback) {
    const char* set = std::getenv(variable);
    if (set != nullptr && set[0] == '/')
        return set;  // a relative one is to be ignored, says the XDG
    const char* home = std::getenv("HOME");
    if (home == nullptr || home[0] == '\0') {
        const passwd* user = getpwuid(getuid());
        home = user != nullptr ? user->pw_dir : "/";
    }
    return std::filesystem::path(home) / fallback;
}

std::filesystem::path dev_state_file() {
    return user_folder("XDG_STATE_HOME", ".local/state") / "candela/dev.json";
}

std::optional<Profile> dev_profile(std::span<const RoleSpec> table, const DevOptions& options,
                                   ConfigProblems& problems) {
    Config config = read_config(dev_profile_text(table, options), profile_schema(table), problems);
    config.rewrite_texts([&](const ConfigKey&, const std::string& text) {
        return move_address(text, options.port_offset);
    });
    return check_profile(std::move(config), table, problems);
}

int run_dev(std::span<const RoleSpec> table, const DevOptions& given) {
    DevOptions options = given;
    options.data_dir = dev_data_dir(given);
    const std::string& folder = options.data_dir.native();
    constexpr size_t kFolderMax = 107 - std::string_view("/lighthouse.sock").size();
    if (folder.size() > kFolderMax) {
        return fail_with(Error(
            Code::kInvalid,
            fmt::format(
                "{} is longer than {} bytes, which a unix socket in it can't be; use --data-dir",
                folder, kFolderMax)));
    }
    if (const auto made = make_directories(options.data_dir, 0700); !made) {
        return fail_with(made.error());
    }
    const auto lock = FileLock::acquire(options.data_dir / ".dev.lock");
    if (!lock && lock.error().code() == Code::kConflict) {
        return fail_with(Error(
            Code::kConflict,
            fmt::format(
                "another candela dev is already running in {}; stop it, or start this one with "
                "--data-dir DIR --port-offset 100",
                folder)));
    }
    if (!lock) return fail_with(lock.error());
    const WallTime now = std::chrono::system_clock::now();
    if (const auto identity = auth::init_identity(options.data_dir, now); !identity) {
        return fail_with(identity.error());
    }
    ConfigProblems problems("candela dev");
    auto profile = dev_profile(table, options, problems);
    if (!profile) return fail_with(problems.as_error());
    if (const auto written = write_state_file(*profile); !written)
        return fail_with(written.error());
    NodeOptions node_options;
    node_options.is_dev = true;
    node_options.on_ready = print_banner;
    Node node(std::move(*profile), std::move(node_options));
    const NodeExit exit = node.run();
    remove_state_file();
    return static_cast<int>(exit);
}

}  // namespace candela
