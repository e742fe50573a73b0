// The candela executable: picks what to be.

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "auth/identity.h"
#include "base/secret.h"
#include "base/text.h"
#include "crypto/password.h"
#include "ctl/ctl.h"
#include "ctl/verb.h"
#include "loop/file.h"
#include "loop/uv_loop.h"
#include "node/cloud_authority.h"
#include "node/command_line.h"
#include "node/dev.h"
#include "node/doctor.h"
#include "node/example_profile.h"
#include "node/inheritance.h"
#include "node/join.h"
#include "node/joined_profile.h"
#include "node/node.h"
#include "node/ownership.h"
#include "node/passphrase.h"
#include "node/restore.h"
#include "node/upgrade.h"
#include "registry.h"
#include "service/static_files.h"

using namespace candela;

namespace {

using Arguments = std::span<const std::string_view>;
using Takes = CommandOption::Takes;

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

constexpr CommandOption kHelpOption{"--help", "", "Shows this.", Takes::kNothing};

int usage_error(std::string_view verb, std::string_view message) {
    fmt::print(stderr, "candela {}: {}\ntry: candela {} --help\n", verb, message, verb);
    return kExitUsage;
}

void print_help(std::string_view verb, std::string_view arguments, std::string_view summary,
                std::span<const CommandOption> options) {
    fmt::print("usage: candela {} {}\n\n{}\n\noptions:\n{}", verb, arguments, summary,
               format_options(options));
}

// All mistakes on stderr, or the profile.
std::optional<Profile> load_profile(const std::string& file) {
    ConfigProblems problems(file);
    const auto text = read_file(file, kConfigTextMax + 1);
    if (!text) {
        fmt::print(stderr, "candela: {}\n", text.error().message());
        return std::nullopt;
    }
    auto profile = read_profile(*text, role_table(), problems);
    if (!profile) fmt::print(stderr, "{}\n", problems.format());
    return profile;
}

Result<Profile> reload_profile(const std::string& file) {
    ConfigProblems problems(file);
    CANDELA_TRY_ASSIGN(const std::string text, read_file(file, kConfigTextMax + 1));
    auto profile = read_profile(text, role_table(), problems);
    if (!profile) return fail(problems.as_error());
    return std::move(*profile);
}

// As it is named now: after an upgrade of the package another file has that name.
std::string own_executable() {
    std::error_code ignored;
    return std::filesystem::read_symlink("/proc/self/exe", ignored).string();
}

int run_node(Arguments arguments) {
    constexpr CommandOption kOptions[] = {
        {"--config", "FILE", "Runs the node that the profile describes."},
        {"--check", "[FILE]", "Reports every mistake in the profile and starts nothing.",
         Takes::kMaybeValue},
        {"--example", "ROLES", "Prints a profile with every key: gateway,host"},
        kHelpOption};
    const auto options = parse_options(arguments, kOptions);
    if (!options) return usage_error("node", options.error().message());
    if (options->has("--help")) {
        print_help("node", "--config FILE | --check FILE | --example ROLES",
                   "Runs the roles that a profile (TOML) names. SIGTERM drains, SIGHUP reloads, "
                   "SIGUSR2 upgrades.",
                   kOptions);
        return 0;
    }
    if (options->has("--example")) {
        const auto text = example_profile(options->value_or("--example", ""), role_table());
        if (!text) return usage_error("node", text.error().message());
        fmt::print("{}", *text);
        return 0;
    }
    std::string file = options->value_or("--config", "");
    if (file.empty()) file = options->value_or("--check", "");
    if (file.empty()) return usage_error("node", "which profile? Say --config FILE");
    auto inheritance = Inheritance::from_environment();
    if (!inheritance) {
        fmt::print(stderr, "candela node: {}\n", inheritance.error().message());
        return kExitFailed;
    }
    auto profile = load_profile(file);
    if (!profile) {
        if (*inheritance) (*inheritance)->tell_failure(file + " has mistakes");
        return static_cast<int>(NodeExit::kProfile);
    }
    if (options->has("--check")) {
        fmt::print("{}: ok\n", file);
        return 0;
    }
    NodeOptions node_options;
    node_options.reload = [file] { return reload_profile(file); };
    node_options.executable = own_executable();
    node_options.command = {"candela", "node"};
    node_options.command.insert(node_options.command.end(), arguments.begin(), arguments.end());
    node_options.inheritance = std::move(*inheritance);
    Node node(std::move(*profile), std::move(node_options));
    return static_cast<int>(node.run());
}

int run_upgrade(Arguments arguments) {
    constexpr CommandOption kOptions[] = {
        {"--config", "FILE", "The profile of the node that runs."},
        {"--executable", "PATH", "What it shall go on as. Default: this executable."},
        kHelpOption};
    const auto options = parse_options(arguments, kOptions);
    if (!options) return usage_error("upgrade", options.error().message());
    if (options->has("--help")) {
        print_help(
            "upgrade", "--config FILE [--executable PATH]",
            "Has a running gateway or load balancer go on as another executable, with the "
            "same\nlistening sockets: no connection is refused, what is in flight finishes. "
            "Prints the\nnew process's id once it serves. Where that fails, the old one serves on.\n"
            "Exit codes: 0 done, 1 failed, 5 another upgrade is under way, 6 no node runs here "
            "that can\nbe upgraded: restart it.",
            kOptions);
        return 0;
    }
    const std::string file = options->value_or("--config", "");
    if (file.empty()) return usage_error("upgrade", "which node? Say --config FILE");
    const auto profile = load_profile(file);
    if (!profile) return static_cast<int>(NodeExit::kProfile);
    const std::string path = options->value_or("--executable", own_executable());
    const std::string executable = std::filesystem::absolute(path).string();
    const auto pid = ask_for_upgrade(*profile, executable);
    if (pid) {
        fmt::print("{}\n", *pid);
        return 0;
    }
    fmt::print(stderr, "candela upgrade: {}\n", pid.error().message());
    constexpr int kExitUnreachable = 6;
    switch (pid.error().code()) {
        case Code::kConflict: return static_cast<int>(NodeExit::kConflict);
        case Code::kUnreachable:
        case Code::kUnsupported: return kExitUnreachable;
        default: return kExitFailed;
    }
}

// `candela ctl watch DIR` beside us, which ends with us, whatever ends us.
int start_watch(const std::string& folder, const DevOptions& dev) {
    const std::string address =
        fmt::format("unix:{}", (dev_data_dir(dev) / "lighthouse.sock").string());
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child != 0) return child < 0 ? errno : 0;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(kExitFailed);
    execl("/proc/self/exe", "candela", "ctl", "watch", folder.c_str(), "--wait", "--address",
          address.c_str(), nullptr);
    _exit(kExitFailed);
}

int run_dev_verb(Arguments arguments) {
    constexpr CommandOption kOptions[] = {
        {"--data-dir", "DIR", "Its data. Default: ~/.local/share/candela/dev"},
        {"--port-offset", "N", "Added to every default port, 0 to 50000."},
        {"--watch", "DIR", "Deploys the folder, and again whenever its sources change."},
        {"--log-level", "LEVEL", "debug, info, warn (default) or error."},
        kHelpOption};
    const auto options = parse_options(arguments, kOptions);
    if (!options) return usage_error("dev", options.error().message());
    if (options->has("--help")) {
        print_help("dev", "[--data-dir DIR] [--port-offset N] [--watch DIR]",
                   "Runs every role in one process, on loopback only. Needs no profile.", kOptions);
        return 0;
    }
    DevOptions dev;
    dev.data_dir = options->value_or("--data-dir", "");
    const auto offset = parse_uint(options->value_or("--port-offset", "0"));
    constexpr uint64_t kOffsetMax = 50'000;
    if (!offset || *offset > kOffsetMax) {
        return usage_error("dev", "--port-offset takes a number from 0 to 50000");
    }
    dev.port_offset = static_cast<uint16_t>(*offset);
    const auto level = parse_log_level(options->value_or("--log-level", "warn"));
    if (!level) return usage_error("dev", level.error().message());
    dev.log_level = *level;
    if (options->has("--watch")) {
        if (const int error = start_watch(options->value_or("--watch", "."), dev); error != 0) {
            fmt::print(stderr, "candela dev: {}\n", Error::system("watching", error).message());
            return kExitFailed;
        }
    }
    return run_dev(role_table(), dev);
}

int run_init(Arguments arguments) {
    constexpr CommandOption kOptions[] = {
        {"--data-dir", "DIR", "Where the cloud's identity is made: DIR/identity."}, kHelpOption};
    const auto options = parse_options(arguments, kOptions);
    if (!options) return usage_error("init", options.error().message());
    if (options->has("--help")) {
        print_help("init", "--data-dir DIR",
                   "Makes the keys and credentials of a new cloud. What is there already, stays.",
                   kOptions);
        return 0;
    }
    const std::filesystem::path data_dir = options->value_or("--data-dir", "");
    if (data_dir.empty()) return usage_error("init", "where? Say --data-dir DIR");
    const WallTime now = std::chrono::system_clock::now();
    const auto identity = auth::init_identity(data_dir, now);
    if (!identity) {
        fmt::print(stderr, "candela init: {}\n", identity.error().message());
        return kExitFailed;
    }
    const auto authority = open_authority(data_dir / "lighthouse/ca", now);
    const std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
    const Result<> kept =
        authority ? keep_own_certificate(MembershipFiles(data_dir), *authority, names, now)
                  : Result<>(fail(authority.error()));
    if (!kept) {
        fmt::print(stderr, "candela init: {}\n", kept.error().message());
        return kExitFailed;
    }
    const std::string folder = (data_dir / "identity").string();
    fmt::print("{}\n", folder);
    fmt::print(stderr,
               "This folder is the cloud's identity: keep a copy of it, offline.\n"
               "A node on another machine needs only its role's file from {}/creds.\n"
               "next: candela node --config FILE\n",
               folder);
    return 0;
}

int run_version(Arguments arguments) {
    if (!arguments.empty()) return usage_error("version", "takes nothing");
    fmt::print("candela {}\n", CANDELA_VERSION);
    return 0;
}

// What the host runs for services of kind "static".
int run_serve_static(Arguments arguments) {
    if (arguments.size() != 1 || arguments.front().starts_with("-")) {
        fmt::print(stderr, "usage: PORT=8000 candela serve-static DIR\n");
        return kExitUsage;
    }
    return service::run_static_server(arguments.front());
}

int run_hash_password(Arguments arguments) {
    constexpr CommandOption kOptions[] = {kHelpOption};
    const auto options = parse_options(arguments, kOptions);
    if (!options) return usage_error("hash-password", options.error().message());
    if (options->has("--help")) {
        print_help("hash-password", "< FILE",
                   "Reads a password and prints its hash, for [route.basic_auth] users.", kOptions);
        return 0;
    }
    const auto password = read_secret_line("password");
    if (!password) return usage_error("hash-password", password.error().message());
    const auto hash = crypto::hash_password(password->reveal());
    if (!hash) {
        fmt::print(stderr, "candela hash-password: {}\n", hash.error().message());
        return kExitFailed;
    }
    fmt::print("{}\n", *hash);
    return 0;
}

// Profiles of the units that systemd starts on this machine: of roles, and of candela@NAME.
std::vector<std::string> enabled_profiles() {
    std::vector<std::string> out;
    std::error_code ignored;
    const std::filesystem::directory_iterator enabled("/etc/systemd/system/multi-user.target.wants",
                                                      ignored);
    for (const auto& entry : enabled) {
        const std::string unit = entry.path().filename().native();
        constexpr std::string_view kEnd = ".service";
        if (!unit.ends_with(kEnd)) continue;
        const std::string_view name(unit.data(), unit.size() - kEnd.size());
        const bool is_of_profile = name.starts_with("candela@");
        const bool is_of_role = std::ranges::any_of(role_table(), [&](const RoleSpec& role) {
            return name == fmt::format("candela-{}", role.name);
        });
        if (!is_of_profile && !is_of_role) continue;
        out.push_back(fmt::format("/etc/candela/{}.toml", name.substr(strlen("candela-"))));
    }
    std::ranges::sort(out);
    return out;
}

void print_finding(const Finding& finding) {
    const char* const mark = finding.level == Finding::Level::kOk        ? "ok"
                             : finding.level == Finding::Level::kWarning ? "warning"
                                                                         : "WRONG";
    fmt::print("  {:<8} {}: {}\n", mark, finding.subject, finding.text);
    if (!finding.remedy.empty()) fmt::print("           {}\n", finding.remedy);
}

int run_doctor(Arguments arguments) {
    constexpr CommandOption kOptions[] = {
        {"--config", "FILE", "The node's profile. Default: those of the units that are enabled."},
        kHelpOption};
    const auto options = parse_options(arguments, kOptions);
    if (!options) return usage_error("doctor", options.error().message());
    if (options->has("--help")) {
        print_help("doctor", "[--config FILE]",
                   "Says what is wrong on this machine for a node, and what to do. Exit code 1 "
                   "where something is.",
                   kOptions);
        return 0;
    }
    std::vector<std::string> files = enabled_profiles();
    if (options->has("--config")) files = {options->value_or("--config", "")};
    if (files.empty())
        return usage_error("doctor", "no unit of candela is enabled here; say --config FILE");
    bool is_well = true;
    for (const std::string& file : files) {
        fmt::print("{}\n", file);
        const auto profile = load_profile(file);
        if (!profile) {
            is_well = false;
            continue;
        }
        for (const Finding& finding : examine(*profile)) {
            print_finding(finding);
            is_well = is_well && finding.level != Finding::Level::kWrong;
        }
    }
    return is_well ? 0 : kExitFailed;
}

int run_restore(Arguments arguments) {
    constexpr CommandOption kOptions[] = {
        {"--data-dir", "DIR", "Where the lighthouse's data goes, or the whole node's."},
        {"--passphrase-file", "FILE", "Or $CANDELA_BACKUP_PASSPHRASE; otherwise it is asked for."},
        {"--replace", "", "Sets aside a cloud that is there already.", Takes::kNothing},
        kHelpOption};
    if (arguments.empty()) return usage_error("restore", "which FILE?");
    const std::string file(arguments.front());
    const bool is_option = file.starts_with("-");
    const auto options = parse_options(arguments.subspan(is_option ? 0 : 1), kOptions);
    if (!options) return usage_error("restore", options.error().message());
    if (options->has("--help")) {
        print_help("restore", "FILE --data-dir DIR",
                   "Puts back what candela ctl backup has written, while no lighthouse runs there.",
                   kOptions);
        return 0;
    }
    if (is_option) return usage_error("restore", "the backup's FILE comes first");
    RestoreOptions restoring;
    restoring.backup = file;
    restoring.data_dir = options->value_or("--data-dir", "");
    restoring.replaces = options->has("--replace");
    if (restoring.data_dir.empty()) return usage_error("restore", "where to? Say --data-dir DIR");
    auto passphrase = find_passphrase(options->value_or("--passphrase-file", ""), false);
    if (!passphrase) return usage_error("restore", passphrase.error().message());
    restoring.passphrase = std::move(*passphrase);
    const auto report = restore(restoring);
    if (!report) {
        fmt::print(stderr, "candela restore: {}\n", report.error().message());
        return kExitFailed;
    }
    fmt::print(stderr, "{} files, {}\n", report->files, format_size(report->bytes));
    if (!report->set_aside.empty())
        fmt::print(stderr, "what was there is in {}\n", report->set_aside.string());
    fmt::print(stderr,
               "Not in a backup: messages in durable streams, and services' logs.\n"
               "next: start the node, then candela ctl status\n");
    return 0;
}

int run_ctl(Arguments arguments) { return ctl::run(arguments, make_build_workshop); }

int run_help(Arguments);

struct Verb {
    std::string_view name;
    std::string_view summary;
    int (*run)(Arguments);
};

// The token as it was given, or from standard input, where no other user of this machine sees it.
Result<auth::JoinToken> read_join_token(std::string_view argument) {
    if (argument != "-") return auth::parse_join_token(argument);
    CANDELA_TRY_ASSIGN(const Secret line, read_secret_line("join token"));
    return auth::parse_join_token(line.reveal());
}

Result<JoinResult> join_now(auth::JoinToken token, std::string node,
                            const std::filesystem::path& data_dir) {
    InProcessHub hub;
    UvLoop loop(hub);
    std::optional<Result<JoinResult>> outcome;
    auto flow = [](Loop& on, auth::JoinToken with, std::string name, std::filesystem::path folder,
                   std::optional<Result<JoinResult>>& into) -> Task<void> {
        auto joined = co_await join_cloud(on, std::move(with), std::move(name), std::move(folder));
        into.emplace(std::move(joined));
    };
    TaskGroup group;
    group.spawn(flow(loop, std::move(token), std::move(node), data_dir, outcome));
    constexpr Duration kJoinMax = 2min;
    loop.run_until([&] { return outcome.has_value(); }, kJoinMax);
    group.cancel();
    if (!outcome) return fail(Code::kTimeout, "the lighthouse does not answer");
    return std::move(*outcome);
}

// Has systemd run the profile, where it is one that the packaged unit runs.
int start_joined(const std::filesystem::path& profile) {
    std::error_code ignored;
    const bool is_packaged = profile.parent_path() == "/etc/candela";
    if (!is_packaged || !std::filesystem::exists("/run/systemd/system", ignored)) {
        fmt::print(stderr, "next: candela node --config {}\n", profile.string());
        return 0;
    }
    const std::string unit = fmt::format("candela@{}", profile.stem().string());
    const char* const command[] = {"systemctl", "enable", "--now", unit.c_str(), nullptr};
    fmt::print(stderr, "systemctl enable --now {}\n", unit);
    ::execvp(command[0], const_cast<char* const*>(command));
    fmt::print(stderr, "candela join: systemctl: {}\n", std::strerror(errno));
    return kExitFailed;
}

int run_join(Arguments arguments) {
    constexpr CommandOption kOptions[] = {
        {"--node", "NAME", "Its name in the cloud. Default: the token's, or the host name."},
        {"--data-dir", "DIR", "Where the node keeps its files. Default: /var/lib/candela."},
        {"--config", "FILE", "The profile to write. Default: /etc/candela/joined.toml."},
        {"--address", "HOST", "Where other nodes reach this machine, if they do."},
        {"--no-start", "", "Starts nothing.", Takes::kNothing},
        kHelpOption};
    if (arguments.empty()) return usage_error("join", "which TOKEN?");
    const std::string_view given = arguments.front();
    const bool is_option = given.starts_with("--");
    const auto options = parse_options(arguments.subspan(is_option ? 0 : 1), kOptions);
    if (!options) return usage_error("join", options.error().message());
    if (options->has("--help")) {
        print_help("join", "TOKEN | -",
                   "Makes a node of this machine, with what candela ctl nodes join-token has "
                   "printed ('-': read\nfrom standard input): keys, credentials, a certificate and "
                   "a profile; and starts it.",
                   kOptions);
        return 0;
    }
    if (is_option) return usage_error("join", "the TOKEN comes first");
    auto token = read_join_token(given);
    if (!token) return usage_error("join", token.error().message());
    const std::filesystem::path data_dir = options->value_or("--data-dir", "/var/lib/candela");
    const std::filesystem::path profile = options->value_or("--config", "/etc/candela/joined.toml");
    std::error_code ignored;
    if (std::filesystem::exists(profile, ignored)) {
        // Before the token is spent.
        fmt::print(stderr, "candela join: {} is there already; choose another --config\n",
                   profile.string());
        return ctl::kConflict;
    }
    std::string node = options->value_or("--node", "");
    const bool made = make_directories(data_dir, 0700).has_value();
    const auto joined = !made ? Result<JoinResult>(fail_errno(data_dir.string(), errno))
                              : join_now(std::move(*token), std::move(node), data_dir);
    if (!joined) {
        fmt::print(stderr, "candela join: {}\n", joined.error().message());
        return ctl::exit_code_of(joined.error());
    }
    const std::string text = joined_profile(*joined, data_dir, options->value_or("--address", ""));
    Result<> written = write_file(profile, text, 0644);
    if (written) written = give_to_owner(data_dir, data_dir / "identity");
    if (!written) {
        fmt::print(stderr, "candela join: {}\n", written.error().message());
        return kExitFailed;
    }
    fmt::print("{}\n", profile.string());
    fmt::print(stderr, "this machine is the node {}: {}\n", joined->membership.node,
               join(joined->membership.roles, ", "));
    if (options->has("--no-start")) return 0;
    return start_joined(profile);
}

constexpr Verb kVerbs[] = {
    {"dev", "Runs a whole cloud on this machine, for development.", run_dev_verb},
    {"node", "Runs a node with the roles of a profile.", run_node},
    {"upgrade", "Has a running node go on as another executable, without a pause.", run_upgrade},
    {"init", "Makes the identity (keys, credentials) of a new cloud.", run_init},
    {"join", "Makes this machine a node of a cloud (candela ctl nodes join-token).", run_join},
    {"ctl", "Deploys, shows and operates services.", run_ctl},
    {"serve-static", "Serves a folder's files on $PORT, as services of kind static do.",
     run_serve_static},
    {"doctor", "Says what is wrong on this machine, and what to do.", run_doctor},
    {"restore", "Puts a lighthouse back from a backup (candela ctl backup).", run_restore},
    {"hash-password", "Prints the hash of a password, for a route's users.", run_hash_password},
    {"version", "Prints the version.", run_version},
    {"help", "Prints this.", run_help},
};

int run_help(Arguments) {
    fmt::print("candela {}: a cloud in one executable\n\nusage: candela VERB …\n\n",
               CANDELA_VERSION);
    for (const Verb& verb : kVerbs) fmt::print("  {:<13} {}\n", verb.name, verb.summary);
    fmt::print("\nroles:\n");
    for (const RoleSpec& spec : role_table()) fmt::print("  {:<13} {}\n", spec.name, spec.summary);
    fmt::print("\nfirst: candela dev, then candela ctl deploy DIR\n");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string_view> arguments(argv + 1, argv + argc);
    if (arguments.empty()) {
        run_help({});
        return kExitUsage;
    }
    std::string_view name = arguments.front();
    if (name == "--version" || name == "-V") name = "version";
    if (name == "--help" || name == "-h") name = "help";
    std::vector<std::string_view> names;
    for (const Verb& verb : kVerbs) {
        if (verb.name == name) return verb.run(Arguments(arguments).subspan(1));
        names.push_back(verb.name);
    }
    const auto near = nearest(name, names);
    fmt::print(stderr, "candela: unknown verb \"{}\"{}\ntry: candela help\n", printable(name),
               near ? fmt::format("; did you mean \"{}\"?", *near) : "");
    return kExitUsage;
}
