// Who listens on a port: /proc/net/tcp has the socket's inode, /proc/PID/fd the process that holds
// it.

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "base/text.h"
#include "node/doctor.h"

namespace candela {

namespace {

namespace fs = std::filesystem;

constexpr const char* kListening = "0A";  // TCP_LISTEN

// "0100007F:1F90" ends with the port.
bool has_port(const std::string& local, uint16_t port) {
    return local.ends_with(fmt::format(":{:04X}", port));
}

std::set<std::string> inodes_on(uint16_t port) {
    std::set<std::string> out;
    for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        std::ifstream lines(table);
        std::string line;
        while (std::getline(lines, line)) {
            std::istringstream fields(line);
            std::string slot, local, remote, state, queues, timer, retries, uid, timeout, inode;
            fields >> slot >> local >> remote >> state >> queues >> timer >> retries >> uid >>
                timeout >> inode;
            if (state == kListening && has_port(local, port)) out.insert(inode);
        }
    }
    return out;
}

bool holds(const fs::path& process, const std::set<std::string>& inodes) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(process / "fd", error)) {
        const std::string target = fs::read_symlink(entry.path(), error).string();
        for (const std::string& inode : inodes) {
            if (target == fmt::format("socket:[{}]", inode)) return true;
        }
    }
    return false;
}

}  // namespace

std::string listener_of(uint16_t port) {
    const std::set<std::string> inodes = inodes_on(port);
    if (inodes.empty()) return "";
    std::error_code error;
    for (const auto& process : fs::directory_iterator("/proc", error)) {
        const std::string pid = process.path().filename().string();
        if (!parse_uint(pid) || !holds(process.path(), inodes)) continue;
        std::ifstream file(process.path() / "comm");
        std::string name;
        std::getline(file, name);
        return fmt::format("{} (pid {})", printable(name), pid);
    }
    return "";
}

}  // namespace candela
