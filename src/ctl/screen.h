#pragma once

// The whole terminal for a live view: the alternate screen, no echo, keys one by one. What was
// there before comes back when it is destroyed, at a signal that ends us, and while we are stopped
// (Ctrl-Z). Lives on one loop; one at a time.

#include <termios.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/process.h"
#include "loop/timers.h"
#include "loop/uv_loop.h"

namespace candela::ctl {

class Screen {
public:
    struct Size {
        size_t columns = 80;
        size_t rows = 24;
    };
    enum class Event : uint8_t { kKey, kResized, kEnded };  // kEnded: a signal wants us to end
    using OnEvent = std::function<void(Event event, char key)>;

    // kUnsupported where stdin and stdout are no terminal that can do it.
    static Result<std::unique_ptr<Screen>> open(UvLoop& loop, OnEvent on_event);
    ~Screen();
    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;

    Size size() const;
    // Shows these lines, from the top; what is beyond the screen is cut off. Lines may have
    // colours.
    void draw(const std::vector<std::string>& lines);

private:
    Screen(UvLoop& loop, OnEvent on_event, const termios& before);
    Result<> watch();
    void enter();
    void leave();
    void stop();
    void read_keys();

    static constexpr Duration kKeyInterval = 30ms;

    UvLoop& loop_;
    OnEvent on_event_;
    termios before_;
    bool is_entered_ = false;
    std::vector<std::unique_ptr<SignalWatcher>> signals_;
    Timer key_timer_;
};

// As much of the text as fits in the columns; escape sequences take none.
std::string cut_styled(std::string_view text, size_t columns);

}  // namespace candela::ctl
