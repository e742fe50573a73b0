#include "node/inheritance.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/text.h"

namespace candela {

namespace {

constexpr int kSilenceMax = 5000;  // milliseconds
constexpr size_t kLineBytesMax = 4096;

Result<Fd> inherited_fd(std::string_view text) {
    const auto number = parse_uint(text);
    constexpr uint64_t kNumberMax = 1 << 20;
    if (!number || *number <= 2 || *number > kNumberMax) {
        return fail(Code::kInvalid, "\"{}\" is no inherited descriptor", printable(text, 40));
    }
    const int fd = static_cast<int>(*number);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return fail_errno("an inherited descriptor", errno);
    return Fd(fd);
}

// Byte by byte: what comes after the last line is for whoever reads then.
Result<std::string> read_channel_line(int fd) {
    std::string line;
    for (;;) {
        pollfd waiting{fd, POLLIN, 0};
        const int count = poll(&waiting, 1, kSilenceMax);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return fail(Code::kTimeout, "the process to take over from says nothing");
        char c = 0;
        const ssize_t got = recv(fd, &c, 1, 0);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) return fail(Code::kUnreachable, "the process to take over from has ended");
        if (c == '\n') return line;
        line += c;
        if (line.size() > kLineBytesMax) return fail(Code::kInvalid, "a line of it is too long");
    }
}

}  // namespace

std::string one_line(std::string_view text) {
    std::string out(text);
    std::replace_if(out.begin(), out.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    return out;
}

Result<bool> Inheritance::read_line(std::string_view line) {
    const std::vector<std::string_view> words = split(line, '\t');
    if (words.size() == 4 && words[0] == "listener") {
        CANDELA_TRY_ASSIGN(Fd fd, inherited_fd(words[1]));
        listeners.push_back(
            ListenerBook::Socket{std::move(fd), std::string(words[2]), std::string(words[3])});
        return false;
    }
    if (words.size() == 3 && words[0] == "lock") {
        CANDELA_TRY_ASSIGN(Fd fd, inherited_fd(words[1]));
        locks.insert_or_assign(std::string(words[2]), std::move(fd));
        return false;
    }
    if (words.size() == 2 && words[0] == "begin") {
        must_be_ready = words[1] == "1";
        return true;
    }
    return fail(Code::kInvalid, "unknown line \"{}\"", printable(line, 80));
}

Result<std::unique_ptr<Inheritance>> Inheritance::from_environment() {
    const char* text = std::getenv(kVariable);
    if (text == nullptr) return std::unique_ptr<Inheritance>();
    const std::string number = text;
    unsetenv(kVariable);
    auto out = std::make_unique<Inheritance>();
    auto channel = inherited_fd(number);
    if (!channel) return fail(channel.error().in(kVariable));
    out->channel = std::move(*channel);
    for (bool is_last = false; !is_last;) {
        const auto line = read_channel_line(out->channel.get());
        if (!line) return fail(line.error().in(kVariable));
        auto read = out->read_line(*line);
        if (!read) return fail(read.error().in(kVariable));
        is_last = *read;
    }
    return out;
}

void Inheritance::tell_failure(std::string_view reason) const {
    const std::string line = "failed " + one_line(reason) + "\n";
    // Where nobody listens any more, standard error has it all the same.
    static_cast<void>(!send(channel.get(), line.data(), line.size(), MSG_NOSIGNAL));
}

}  // namespace candela
