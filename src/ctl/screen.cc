#include "ctl/screen.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace candela::ctl {

namespace {

// xterm's control sequences: the alternate screen, and the cursor hidden.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J";
constexpr std::string_view kLeave = "\x1b[0m\x1b[?25h\x1b[?1049l";

void write_all(std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;  // a terminal that is gone ends us by SIGHUP
        text.remove_prefix(static_cast<size_t>(written));
    }
}

}  // namespace

std::string cut_styled(std::string_view text, size_t columns) {
    std::string out;
    size_t width = 0;
    bool is_styled = false;
    for (size_t i = 0; i < text.size();) {
        if (text[i] == '\x1b') {
            const size_t end = std::min(text.find('m', i), text.size() - 1);
            out += text.substr(i, end + 1 - i);
            is_styled = true;
            i = end + 1;
            continue;
        }
        if (width == columns) break;
        out += text[i++];
        while (i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80)
            out += text[i++];
        ++width;
    }
    if (is_styled) out += "\x1b[0m";
    return out;
}

Result<std::unique_ptr<Screen>> Screen::open(UvLoop& loop, OnEvent on_event) {
    const char* term = std::getenv("TERM");
    const bool is_dumb = term == nullptr || std::string_view(term) == "dumb";
    termios before{};
    if (is_dumb || ::isatty(STDOUT_FILENO) == 0 || ::tcgetattr(STDIN_FILENO, &before) != 0)
        return fail(Code::kUnsupported, "stdin and stdout are not a terminal");
    std::unique_ptr<Screen> screen(new Screen(loop, std::move(on_event), before));
    CANDELA_TRY(screen->watch());
    screen->enter();
    screen->key_timer_.start(kKeyInterval);
    return screen;
}

Screen::Screen(UvLoop& loop, OnEvent on_event, const termios& before)
    : loop_(loop),
      on_event_(std::move(on_event)),
      before_(before),
      key_timer_(loop.timers(), [this] { read_keys(); }) {}

Screen::~Screen() { leave(); }

Result<> Screen::watch() {
    const auto add = [this](int number, Loop::Callback callback) -> Result<> {
        CANDELA_TRY_ASSIGN(auto watcher, SignalWatcher::watch(loop_, number, std::move(callback)));
        signals_.push_back(std::move(watcher));
        return {};
    };
    CANDELA_TRY(add(SIGWINCH, [this] { on_event_(Event::kResized, 0); }));
    CANDELA_TRY(add(SIGTSTP, [this] { stop(); }));
    for (const int number : {SIGTERM, SIGHUP, SIGQUIT}) {
        CANDELA_TRY(add(number, [this] {
            leave();
            on_event_(Event::kEnded, 0);
        }));
    }
    return {};
}

void Screen::enter() {
    termios raw = before_;
    // Ctrl-C and Ctrl-Z stay signals.
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    write_all(kEnter);
    is_entered_ = true;
}

void Screen::leave() {
    if (!std::exchange(is_entered_, false)) return;
    write_all(kLeave);
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
}

void Screen::stop() {
    leave();
    ::raise(SIGSTOP);  // returns when we are continued
    enter();
    on_event_(Event::kResized, 0);
}

void Screen::read_keys() {
    key_timer_.start(kKeyInterval);
    pollfd waiting{STDIN_FILENO, POLLIN, 0};
    if (::poll(&waiting, 1, 0) <= 0) return;
    char keys[64];
    const ssize_t count = ::read(STDIN_FILENO, keys, sizeof(keys));
    if (count <= 0) return;
    // What begins with ESC is an arrow or a mouse, none of which means anything here.
    if (keys[0] == '\x1b') return;
    for (ssize_t i = 0; i < count; ++i) on_event_(Event::kKey, keys[i]);
}

Screen::Size Screen::size() const {
    winsize found{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &found) != 0 || found.ws_col == 0 || found.ws_row == 0)
        return Size();
    return Size(found.ws_col, found.ws_row);
}

void Screen::draw(const std::vector<std::string>& lines) {
    if (!is_entered_) return;
    const Size room = size();
    std::string out = "\x1b[H";
    for (size_t i = 0; i < std::min(lines.size(), room.rows); ++i) {
        if (i > 0) out += "\r\n";
        out += cut_styled(lines[i], room.columns);
        out += "\x1b[K";
    }
    out += "\x1b[J";
    write_all(out);
}

}  // namespace candela::ctl
