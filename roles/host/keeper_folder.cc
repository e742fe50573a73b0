#include "keeper_folder.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "keeper/wire.h"
#include "loop/file.h"

namespace candela::host {

namespace {

void close_one(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
}

}  // namespace

KeeperSocket::KeeperSocket(KeeperSocket&& other) noexcept
    : folder_(std::exchange(other.folder_, -1)), listener_(std::exchange(other.listener_, -1)) {}

KeeperSocket& KeeperSocket::operator=(KeeperSocket&& other) noexcept {
    std::swap(folder_, other.folder_);
    std::swap(listener_, other.listener_);
    return *this;
}

KeeperSocket::~KeeperSocket() {
    close_one(folder_);
    close_one(listener_);
}

void KeeperSocket::close_listener() { close_one(listener_); }

std::string KeeperSocket::path() const {
    return fmt::format("/proc/self/fd/{}/{}", folder_, keeper::kSocketName);
}

Result<KeeperSocket> KeeperSocket::find(const std::filesystem::path& folder) {
    KeeperSocket found;
    found.folder_ = open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (found.folder_ < 0) return fail_errno(folder.native(), errno);
    return found;
}

Result<KeeperSocket> KeeperSocket::make(const std::filesystem::path& folder) {
    CANDELA_TRY(make_directories(folder, 0700));
    CANDELA_TRY_ASSIGN(KeeperSocket made, find(folder));
    made.listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made.listener_ < 0) return fail_errno("making a socket", errno);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = made.path();
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (bind(made.listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        listen(made.listener_, 16) != 0) {
        return fail_errno(fmt::format("listening in {}", folder.native()), errno);
    }
    return made;
}

std::vector<KeeperPlace> list_keepers(const std::filesystem::path& run_folder) {
    std::vector<KeeperPlace> places;
    std::error_code error;
    for (const auto& instance : std::filesystem::directory_iterator(run_folder, error)) {
        std::error_code inner;
        for (const auto& entry : std::filesystem::directory_iterator(instance.path(), inner)) {
            if (!entry.path().filename().native().starts_with(kKeeperFolderPrefix)) continue;
            places.push_back({instance.path().filename().native(), entry.path()});
        }
    }
    return places;
}

std::optional<ExitStatus> read_exit_file(const std::filesystem::path& folder) {
    const auto text = read_file(folder / keeper::kExitName, 64);
    if (!text || !text->ends_with('\n')) return std::nullopt;
    const auto parts = split_once(std::string_view(*text).substr(0, text->size() - 1), ' ');
    if (!parts) return std::nullopt;
    const auto code = parse_uint(parts->first);
    const auto signal = parse_uint(parts->second);
    if (!code || !signal) return std::nullopt;
    return ExitStatus{static_cast<int>(*code), static_cast<int>(*signal)};
}

}  // namespace candela::host
