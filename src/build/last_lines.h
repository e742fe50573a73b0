#pragma once

// The end of what a program has printed, line by line, in bounded memory. A value.

#include <deque>
#include <string>
#include <string_view>

namespace candela::build {

class LastLines {
public:
    explicit LastLines(size_t lines_max) : lines_max_(lines_max) {}

    void add(std::string_view bytes);
    // The lines with a newline behind each; what can't be shown on a terminal is written as \xNN.
    std::string text() const;

    static constexpr size_t kLineMax = 1000;  // bytes that are kept of one

private:
    size_t lines_max_;
    std::deque<std::string> lines_;
    bool is_open_ = false;  // the last line goes on
};

}  // namespace candela::build
