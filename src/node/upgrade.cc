#include "node/upgrade.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "base/text.h"
#include "loop/fd.h"

namespace candela {

namespace {

constexpr int kAnswerTimeout = 60'000;  // milliseconds; the node itself gives up before
constexpr size_t kAnswerBytesMax = 64 * 1024;

Result<Fd> connect_to(const std::filesystem::path& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    const std::string text = path.string();
    if (text.size() >= sizeof name.sun_path) {
        return fail(Code::kInvalid, "{}: the path is too long", text);
    }
    std::memcpy(name.sun_path, text.c_str(), text.size());
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd.get() < 0) return fail_errno(text, errno);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0) return fd;
    if (errno == ENOENT || errno == ECONNREFUSED) {
        return fail(Code::kUnreachable, "no node that can be upgraded runs here: {}: {}", text,
                    std::strerror(errno));
    }
    if (errno == EACCES) return fail(Code::kDenied, "{}: {}", text, std::strerror(errno));
    return fail_errno(text, errno);
}

// Until the node closes.
Result<std::string> read_answer(int fd) {
    std::string answer;
    for (;;) {
        pollfd waiting{fd, POLLIN, 0};
        const int count = ::poll(&waiting, 1, kAnswerTimeout);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return fail(Code::kTimeout, "the node has not answered within a minute");
        char bytes[4096];
        const ssize_t got = ::recv(fd, bytes, sizeof bytes, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return answer;
        answer.append(bytes, static_cast<size_t>(got));
        if (answer.size() > kAnswerBytesMax) return fail(Code::kInvalid, "its answer is too long");
    }
}

}  // namespace

std::filesystem::path upgrade_socket(const Profile& profile) {
    return profile.data_dir / fmt::format("{}.upgrade.sock", profile.roles.front()->name);
}

Result<int> ask_for_upgrade(const Profile& profile, const std::string& executable) {
    CANDELA_TRY_ASSIGN(const Fd fd, connect_to(upgrade_socket(profile)));
    const std::string request = "upgrade " + executable + "\n";
    if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size())) {
        return fail_errno("asking the node", errno);
    }
    CANDELA_TRY_ASSIGN(const std::string answer, read_answer(fd.get()));
    const auto words = split_once(std::string_view(answer).substr(0, answer.find('\n')), ' ');
    if (words && words->first == "ok") {
        const auto pid = parse_uint(words->second);
        if (pid) return static_cast<int>(*pid);
    }
    if (words && words->first == "conflict") return fail(Code::kConflict, "{}", words->second);
    if (words && words->first == "unsupported") {
        return fail(Code::kUnsupported, "{}", words->second);
    }
    if (words && words->first == "failed") return fail(Code::kInvalid, "{}", words->second);
    return fail(Code::kInvalid, "the node has answered \"{}\"", printable(answer, 200));
}

}  // namespace candela
