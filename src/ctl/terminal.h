#pragma once

// stdout for data and stderr for everything else. Colour only where stdout (stderr) is a terminal,
// TERM is not "dumb" and NO_COLOR is not set; live progress only where stderr is a terminal.

#include <string>
#include <string_view>

#include "base/json.h"

namespace candela::ctl {

enum class Style { kPlain, kBold, kDim, kGreen, kYellow, kRed };

class Terminal {
public:
    static Terminal from_environment();
    Terminal(bool out_is_terminal, bool err_is_terminal, bool colour)
        : out_is_terminal_(out_is_terminal), err_is_terminal_(err_is_terminal), colour_(colour) {}

    // Data. False once the reader is gone (`| head`): stop then.
    bool out(std::string_view text);
    bool out_json(
        const Json& value);  // one document, with a newline; NDJSON where called repeatedly
    // A whole line on stderr; clears the live line first.
    void note(std::string_view line);
    // What another program has printed, as it is, on stderr.
    void pass_through(std::string_view bytes);
    // Replaces the live line where stderr is a terminal, and does nothing elsewhere.
    void live(std::string_view line);
    void end_live();

    bool is_live() const { return err_is_terminal_; }
    bool out_is_terminal() const { return out_is_terminal_; }
    std::string paint(Style style, std::string_view text) const;       // for stdout
    std::string paint_note(Style style, std::string_view text) const;  // for stderr

private:
    bool out_is_terminal_;
    bool err_is_terminal_;
    bool colour_;
    bool has_live_line_ = false;
};

}  // namespace candela::ctl
