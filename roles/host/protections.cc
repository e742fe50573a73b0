#include "protections.h"

#include <algorithm>

#include "base/text.h"

namespace candela::host {

Result<Abilities> parse_abilities(std::string_view text) {
    Abilities abilities;
    int known = 0;
    for (const std::string_view line : split(text, '\n')) {
        const auto parts = split_once(line, ' ');
        if (!parts) continue;
        const auto number = parse_uint(parts->second);
        if (!number) continue;
        ++known;
        if (parts->first == "namespaces")
            abilities.has_namespaces = *number == 0;
        else if (parts->first == "user_namespaces")
            abilities.has_user_namespaces = *number == 0;
        else if (parts->first == "seccomp")
            abilities.has_seccomp = *number == 0;
        else if (parts->first == "landlock_abi")
            abilities.landlock_abi = static_cast<int>(*number);
        else if (parts->first == "network_namespaces")
            abilities.has_network_namespaces = *number == 0;
        else
            --known;
    }
    if (known < 5) return fail(Code::kInternal, "the keeper does not say what this kernel can do");
    return abilities;
}

Walls plan_walls(const Abilities& abilities, bool is_root, const std::vector<std::string>& off) {
    const auto is_wanted = [&](std::string_view name) {
        return std::ranges::find(off, name) == off.end();
    };
    Walls walls;
    walls.turned_off = off;
    walls.is_root = is_root;
    walls.has_namespaces =
        is_wanted("namespaces") && (abilities.has_namespaces || abilities.has_user_namespaces);
    walls.in_user_namespace = walls.has_namespaces && !abilities.has_namespaces;
    walls.has_own_network =
        is_wanted("network") && walls.has_namespaces && abilities.has_network_namespaces;
    // Another user could not come to its files but by a root of its own.
    walls.has_own_uid =
        is_wanted("user") && is_root && walls.has_namespaces && !walls.in_user_namespace;
    walls.is_confined = is_wanted("privileges");
    // A filter needs no privileges where none can be gained.
    walls.has_seccomp = is_wanted("seccomp") && abilities.has_seccomp && walls.is_confined;
    walls.landlock_abi = is_wanted("landlock") && walls.has_namespaces && walls.is_confined
                             ? abilities.landlock_abi
                             : 0;
    return walls;
}

namespace {

std::string why_off(const Walls& walls, std::string_view name, std::string_view otherwise) {
    if (std::ranges::find(walls.turned_off, name) != walls.turned_off.end())
        return "turned off by sandbox_off";
    return std::string(otherwise);
}

Protection by_cgroup(const Walls& walls, std::string_view name, bool is_on,
                     std::string_view fallback) {
    Protection out{std::string(name), is_on, ""};
    if (is_on) {
        out.detail = "cgroup v2";
        return out;
    }
    out.detail =
        why_off(walls, "cgroup",
                walls.no_cgroup.empty() ? "this controller is not there" : walls.no_cgroup);
    if (!fallback.empty()) out.detail += fmt::format("; {}", fallback);
    return out;
}

}  // namespace

std::vector<Protection> list_protections(const Walls& walls) {
    std::vector<Protection> out;
    const auto add = [&](std::string_view name, bool is_on, std::string_view on, std::string off) {
        out.push_back({std::string(name), is_on, is_on ? std::string(on) : std::move(off)});
    };
    add("namespaces", walls.has_namespaces,
        walls.in_user_namespace ? "PID, mount, IPC, UTS, in a user namespace"
                                : "PID, mount, IPC, UTS",
        why_off(walls, "namespaces", "this kernel does not let us make any"));
    add("network", walls.has_own_network, "a loopback of its own, for whom asks for it",
        why_off(
            walls, "network",
            walls.has_namespaces ? "this kernel does not let us make any" : "needs namespaces"));
    add("root", walls.has_namespaces, "read-only, with what services need; /tmp of its own",
        "needs namespaces");
    add("user", walls.has_own_uid, "a uid for each instance",
        why_off(
            walls, "user",
            walls.is_root ? "needs namespaces" : "only a host that runs as root can give uids"));
    add("privileges", walls.is_confined, "no new privileges, no capabilities",
        why_off(walls, "privileges", ""));
    add("seccomp", walls.has_seccomp, "system calls by a list",
        why_off(walls, "seccomp",
                walls.is_confined ? "this kernel has none" : "needs privileges to be dropped"));
    add("landlock", walls.landlock_abi > 0, fmt::format("ABI {}", walls.landlock_abi),
        why_off(walls, "landlock",
                walls.has_namespaces && walls.is_confined ? "this kernel has none"
                                                          : "needs namespaces and privileges"));
    out.push_back(
        by_cgroup(walls, "memory", walls.has_memory, "of each process where it is limited"));
    out.push_back(by_cgroup(walls, "cpu", walls.has_cpu, ""));
    out.push_back(by_cgroup(
        walls, "pids", walls.has_pids,
        walls.has_own_uid || walls.in_user_namespace ? "limited by its user instead" : ""));
    Protection io = by_cgroup(walls, "io", walls.has_io, "");
    if (!walls.has_io && !walls.no_disk.empty()) io.detail = walls.no_disk;
    out.push_back(std::move(io));
    return out;
}

std::string_view to_string(Level level) {
    switch (level) {
        case Level::kNone: return "none";
        case Level::kIsolated: return "isolated";
        case Level::kStrict: return "strict";
    }
    return "none";
}

Result<Level> parse_level(std::string_view text) {
    if (text.empty()) return Level::kNone;
    for (const Level level : {Level::kNone, Level::kIsolated, Level::kStrict}) {
        if (to_string(level) == text) return level;
    }
    return fail(Code::kUnsupported, "this host does not know the sandbox level \"{}\"",
                printable(text));
}

Level level_of(const Walls& walls) {
    for (const Level level : {Level::kStrict, Level::kIsolated}) {
        if (missing_for(level, walls).empty()) return level;
    }
    return Level::kNone;
}

std::string missing_for(Level level, const Walls& walls) {
    std::vector<std::string_view> needed;
    if (level >= Level::kIsolated) needed = {"namespaces", "root", "privileges", "seccomp"};
    if (level >= Level::kStrict) needed.insert(needed.end(), {"memory", "cpu", "pids"});
    std::vector<std::string> missing;
    for (const Protection& protection : list_protections(walls)) {
        if (protection.is_on || std::ranges::find(needed, protection.name) == needed.end())
            continue;
        missing.push_back(fmt::format("{} is off ({})", protection.name, protection.detail));
    }
    return join(missing, ", ");
}

}  // namespace candela::host
