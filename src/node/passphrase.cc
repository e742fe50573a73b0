#include "node/passphrase.h"

#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "loop/file.h"

namespace candela {

static constexpr size_t kLineBytesMax = 1024;

Result<Secret> read_secret_line(std::string_view prompt) {
    const bool is_terminal = isatty(STDIN_FILENO) == 1;
    termios before{};
    if (is_terminal && tcgetattr(STDIN_FILENO, &before) == 0) {
        fmt::print(stderr, "{}: ", prompt);
        termios silent = before;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    std::string line;
    line.reserve(kLineBytesMax + 1);  // does not move, and leaves no copies behind
    for (int c = std::getchar(); c != EOF && c != '\n'; c = std::getchar()) {
        line += static_cast<char>(c);
        if (line.size() > kLineBytesMax) break;
    }
    if (is_terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fmt::print(stderr, "\n");
    }
    if (line.size() > kLineBytesMax)
        return fail(Code::kExhausted, "that is longer than {} bytes", kLineBytesMax);
    return Secret(std::move(line));
}

Result<Secret> find_passphrase(const std::string& file, bool twice) {
    if (!file.empty()) {
        CANDELA_TRY_ASSIGN(std::string text, read_file(file, 2 * kLineBytesMax));
        while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
        if (text.empty()) return fail(Code::kInvalid, "{} is empty", file);
        return Secret(std::move(text));
    }
    if (const char* text = std::getenv("CANDELA_BACKUP_PASSPHRASE"); text != nullptr && *text != 0)
        return Secret(std::string(text));
    CANDELA_TRY_ASSIGN(Secret passphrase, read_secret_line("passphrase"));
    if (passphrase.empty()) return fail(Code::kInvalid, "the passphrase is empty");
    if (twice && isatty(STDIN_FILENO) == 1) {
        CANDELA_TRY_ASSIGN(const Secret again, read_secret_line("once more"));
        if (again.reveal() != passphrase.reveal())
            return fail(Code::kInvalid, "the two passphrases differ");
    }
    return passphrase;
}

}  // namespace candela
