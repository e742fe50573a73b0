#include "ctl/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "ctl/table.h"

namespace candela::ctl {

Terminal Terminal::from_environment() {
    const char* no_colour = std::getenv("NO_COLOR");
    const char* term = std::getenv("TERM");
    const bool is_dumb = term == nullptr || std::string_view(term) == "dumb";
    const bool colour = (no_colour == nullptr || no_colour[0] == '\0') && !is_dumb;
    return Terminal(isatty(STDOUT_FILENO) == 1, isatty(STDERR_FILENO) == 1 && !is_dumb, colour);
}

bool Terminal::out(std::string_view text) {
    end_live();
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
           std::fflush(stdout) == 0;
}

bool Terminal::out_json(const Json& value) { return out(dump_json(value) + "\n"); }

void Terminal::note(std::string_view line) {
    end_live();
    fmt::print(stderr, "{}\n", line);
    std::fflush(stderr);
}

void Terminal::pass_through(std::string_view bytes) {
    end_live();
    std::fwrite(bytes.data(), 1, bytes.size(), stderr);
    std::fflush(stderr);
}

void Terminal::live(std::string_view line) {
    if (!err_is_terminal_) return;
    winsize size = {};
    const size_t columns =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79u;
    fmt::print(stderr, "\r\x1b[K{}", cut_to_width(line, columns));
    std::fflush(stderr);
    has_live_line_ = true;
}

void Terminal::end_live() {
    if (!has_live_line_) return;
    has_live_line_ = false;
    fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
}

namespace {
std::string painted(bool wanted, Style style, std::string_view text) {
    if (!wanted || style == Style::kPlain || text.empty()) return std::string(text);
    // ECMA-48 select graphic rendition.
    const char* code = "0";
    switch (style) {
        case Style::kPlain: break;
        case Style::kBold: code = "1"; break;
        case Style::kDim: code = "2"; break;
        case Style::kGreen: code = "32"; break;
        case Style::kYellow: code = "33"; break;
        case Style::kRed: code = "31"; break;
    }
    return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}
}  // namespace

std::string Terminal::paint(Style style, std::string_view text) const {
    return painted(colour_ && out_is_terminal_, style, text);
}

std::string Terminal::paint_note(Style style, std::string_view text) const {
    return painted(colour_ && err_is_terminal_, style, text);
}

}  // namespace candela::ctl
