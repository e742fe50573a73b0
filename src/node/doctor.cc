#include "node/doctor.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include <nlohmann/json.hpp>

#include "auth/claims.h"
#include "auth/creds_file.h"
#include "base/json.h"
#include "base/text.h"
#include "http/client.h"
#include "loop/flow.h"
#include "loop/uv_loop.h"
#include "node/credential_check.h"

namespace candela {

namespace {

using Level = Finding::Level;

constexpr uint64_t kMiB = 1024 * 1024;
constexpr uint64_t kFreeWrong = 256 * kMiB;
constexpr uint64_t kFreeWarning = 1024 * kMiB;
constexpr uint64_t kOpenFilesWanted = 16'384;
constexpr int64_t kExpiresSoon = 7 * 24 * 3600;
constexpr Duration kPatience = 3s;

Finding ok(std::string subject, std::string text) {
    return Finding(Level::kOk, std::move(subject), std::move(text), "");
}
Finding warning(std::string subject, std::string text, std::string remedy) {
    return Finding(Level::kWarning, std::move(subject), std::move(text), std::move(remedy));
}
Finding wrong(std::string subject, std::string text, std::string remedy) {
    return Finding(Level::kWrong, std::move(subject), std::move(text), std::move(remedy));
}

void look_at_folder(const Profile& profile, std::vector<Finding>& out) {
    const std::string folder = profile.data_dir.string();
    struct stat info{};
    if (::stat(folder.c_str(), &info) != 0) {
        const int error = errno;
        if (error == ENOENT) {
            out.push_back(warning("data folder", folder + " is not there yet",
                                  "the node makes it at its first start"));
        } else {
            out.push_back(wrong("data folder", Error::system(folder, error).message(),
                                "look at the rights of the folders above it"));
        }
        return;
    }
    if (!S_ISDIR(info.st_mode)) {
        out.push_back(wrong("data folder", folder + " is no folder", "set [node] data_dir"));
        return;
    }
    if (::access(folder.c_str(), W_OK) != 0) {
        out.push_back(wrong("data folder", folder + " can't be written to by this user",
                            "run this as the user that the node runs as, or chown the folder"));
    }
    if ((info.st_mode & 077U) != 0) {
        out.push_back(
            warning("data folder", folder + " is open to other users", "chmod 700 " + folder));
    }
    struct statvfs space{};
    if (::statvfs(folder.c_str(), &space) != 0) {
        out.push_back(wrong("disk", Error::system(folder, errno).message(), "look at the mount"));
        return;
    }
    out.push_back(judge_disk(folder, DiskSpace(uint64_t{space.f_bavail} * space.f_frsize,
                                               uint64_t{space.f_blocks} * space.f_frsize,
                                               space.f_favail, space.f_files)));
}

void look_at_machine(std::vector<Finding>& out) {
    struct rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < kOpenFilesWanted) {
        out.push_back(warning("open files",
                              fmt::format("at most {} files and connections", files.rlim_max),
                              "raise the hard limit (LimitNOFILE= of the unit, ulimit -Hn)"));
    }
    struct timex clock{};
    const int state = ::adjtimex(&clock);
    if (state == TIME_ERROR || (clock.status & STA_UNSYNC) != 0) {
        out.push_back(warning("clock", "nothing keeps this machine's clock right",
                              "credentials and certificates have times in them: run chrony, or "
                              "timedatectl set-ntp true"));
    } else {
        out.push_back(ok("clock", "is kept in time"));
    }
}

// What the node says of itself; kUnreachable where none runs.
Result<Json> ask_node(const Address& endpoint) {
    InProcessHub hub;
    UvLoop loop(hub);
    http::Client client(loop);
    std::optional<Result<Json>> out;
    auto ask = [](http::Client& from, Address address,
                  std::optional<Result<Json>>& into) -> Task<void> {
        http::ClientRequest request;
        request.address = std::move(address);
        request.target = "/readyz";
        request.connect_timeout = kPatience;
        request.first_byte_timeout = kPatience;
        auto response = co_await from.send(std::move(request));
        if (!response) {
            into.emplace(fail(response.error()));
            co_return;
        }
        auto body = co_await response->read_all(kMiB);
        if (!body) {
            into.emplace(fail(body.error()));
            co_return;
        }
        into.emplace(parse_json(*body));
    };
    TaskGroup group;
    group.spawn(ask(client, endpoint, out));
    loop.run_until([&] { return out.has_value(); }, 4 * kPatience);
    group.cancel();
    if (!out) return fail(Code::kTimeout, "{} does not answer", endpoint.to_string());
    return std::move(*out);
}

// Addresses that the profile's roles listen on.
std::vector<Address> listen_addresses(const Profile& profile) {
    std::vector<Address> out;
    Config copy = profile.config;
    for (const RoleSpec* role : profile.roles) {
        copy.mutable_table(role->name)
            .rewrite_texts([&](const ConfigKey& key, const std::string& text) {
                if (key.name == "listen") {
                    if (const auto address = Address::parse(text)) out.push_back(*address);
                }
                return text;
            });
    }
    return out;
}

void look_at_ports(const Profile& profile, std::vector<Finding>& out) {
    InProcessHub hub;
    UvLoop loop(hub);
    for (const Address& address : listen_addresses(profile)) {
        if (address.kind != Address::Kind::kTcp) continue;
        const auto listener = loop.listen(address, ListenOptions(), [](StreamPtr) {});
        if (listener) continue;
        const std::string who = listener_of(address.port);
        out.push_back(
            wrong("port",
                  fmt::format("{}{}", listener.error().message(),
                              who.empty() ? "" : fmt::format(", by {}", who)),
                  fmt::format("stop what has port {}, or change the profile", address.port)));
    }
}

void look_at_node(const Profile& profile, std::vector<Finding>& out) {
    const auto said = ask_node(profile.endpoint);
    if (!said) {
        std::vector<std::string> roles;
        for (const RoleSpec* role : profile.roles) roles.emplace_back(role->name);
        out.push_back(wrong(
            "node", fmt::format("does not run: nobody answers at {}", profile.endpoint.to_string()),
            fmt::format("systemctl start candela-{}, and journalctl -u candela-{} "
                        "for why it ended",
                        roles.front(), roles.front())));
        look_at_ports(profile, out);
        return;
    }
    const std::string name = json_string_or(*said, "node");
    if (name != profile.name) {
        out.push_back(
            wrong("node",
                  fmt::format("at {} there is the node '{}', not '{}'",
                              profile.endpoint.to_string(), printable(name), profile.name),
                  "give each node of this machine an endpoint of its own"));
        return;
    }
    if (json_bool_or(*said, "ready", false)) {
        out.push_back(ok("node", name + " runs, and all of its roles are ready"));
        return;
    }
    const auto roles = said->find("roles");
    if (roles == said->end() || !roles->is_array()) return;
    for (const Json& role : *roles) {
        if (json_bool_or(role, "ready", false)) continue;
        out.push_back(wrong("role " + json_string_or(role, "name"),
                            "is not ready: " + printable(json_string_or(role, "detail"), 500),
                            "journalctl has more; what it waits for may be on another node"));
    }
}

// The files that the node's roles log in to the bus with.
void look_at_credentials(const Profile& profile, std::vector<Finding>& out) {
    if (!profile.bus) return;  // the bus is in the same process
    for (const RoleSpec* role : profile.roles) {
        if (role->name == "bus") continue;
        const std::string file =
            profile.bus_credentials.empty()
                ? (profile.data_dir / fmt::format("identity/creds/{}.creds", role->name)).string()
                : profile.bus_credentials;
        const auto creds = auth::load_creds(file);
        if (!creds) {
            out.push_back(wrong("credential", creds.error().message(),
                                "copy it from identity/creds of the machine where the cloud was "
                                "made, readable for the node's user only"));
            continue;
        }
        const auto claims = auth::decode_user(creds->jwt);
        if (!claims) {
            out.push_back(wrong("credential", fmt::format("{}: {}", file, claims.error().message()),
                                "copy it anew"));
            continue;
        }
        const auto now =
            unix_seconds(std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()));
        out.push_back(judge_credential(file, claims->expires_at, now));
        const auto lacking = lacking_permissions(file, role->name, profile.name);
        if (lacking && !lacking->empty()) {
            out.push_back(wrong("credential",
                                fmt::format("{} lacks what this version's {} needs: {}", file,
                                            role->name, fmt::join(*lacking, ", ")),
                                renewal_advice(file)));
        }
    }
}

// Whether something like a bus answers: its first line is INFO, unless it wants TLS first.
void look_at_bus(const Profile& profile, std::vector<Finding>& out) {
    if (!profile.bus) return;
    InProcessHub hub;
    UvLoop loop(hub);
    std::optional<Result<StreamPtr>> connected;
    auto connect = [](Loop& on, Address address,
                      std::optional<Result<StreamPtr>>& into) -> Task<void> {
        auto stream = co_await candela::connect(on, std::move(address), kPatience);
        into.emplace(std::move(stream));
    };
    TaskGroup group;
    group.spawn(connect(loop, *profile.bus, connected));
    loop.run_until([&] { return connected.has_value(); }, 2 * kPatience);
    group.cancel();
    const std::string where = profile.bus->to_string();
    if (!connected || !*connected) {
        const std::string why = connected ? connected->error().message() : "no answer";
        out.push_back(wrong("bus", fmt::format("{} can't be reached: {}", where, why),
                            "is it running, and does a firewall let this machine through?"));
        return;
    }
    out.push_back(ok("bus", where + " takes connections"));
}

}  // namespace

Finding judge_disk(const std::string& folder, const DiskSpace& space) {
    const std::string text = fmt::format("{} free of {} at {}", format_size(space.free_bytes),
                                         format_size(space.size_bytes), folder);
    const std::string remedy = "make room: a full disk stops deploys, logs and durable streams";
    if (space.files != 0 && space.free_files < space.files / 100) {
        return wrong("disk", fmt::format("{} files more fit at {}", space.free_files, folder),
                     "remove small files: there are no inodes left");
    }
    if (space.free_bytes < kFreeWrong) return wrong("disk", text, remedy);
    if (space.free_bytes < kFreeWarning || space.free_bytes < space.size_bytes / 20)
        return warning("disk", text, remedy);
    return ok("disk", text);
}

Finding judge_credential(const std::string& file, int64_t expires_at, int64_t now) {
    if (expires_at != 0 && expires_at <= now) {
        return wrong("credential",
                     fmt::format("{} ended at {}", file,
                                 format_rfc3339(from_unix_millis(expires_at * 1000))),
                     "copy a new one to this machine");
    }
    if (expires_at != 0 && expires_at - now < kExpiresSoon) {
        return warning(
            "credential",
            fmt::format("{} ends at {}", file, format_rfc3339(from_unix_millis(expires_at * 1000))),
            "copy a new one to this machine before");
    }
    return ok("credential", file);
}

std::vector<Finding> examine(const Profile& profile) {
    std::vector<Finding> out;
    look_at_folder(profile, out);
    look_at_machine(out);
    look_at_credentials(profile, out);
    look_at_bus(profile, out);
    look_at_node(profile, out);
    return out;
}

}  // namespace candela
