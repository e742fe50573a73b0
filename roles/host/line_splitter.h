#pragma once

// Cuts a program's output into lines. A line longer than kLineMax keeps its beginning and says how
// much was cut. Memory is bounded by one line.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace candela::host {

class LineSplitter {
public:
    static constexpr size_t kLineMax = 16 * 1024;  // with the note about what was cut

    // The line comes without its end ("\n" or "\r\n") and is valid during the call.
    using OnLine = std::function<void(std::string_view line)>;

    explicit LineSplitter(OnLine on_line) : on_line_(std::move(on_line)) {}

    void feed(std::string_view bytes);
    // The output is over: what has no line end yet is a line too.
    void finish();
    // Something of a line is here whose end is not.
    bool has_partial() const { return !line_.empty() || cut_bytes_ > 0; }

private:
    static constexpr size_t kNoteMax = 64;

    void take(std::string_view part);
    void emit();

    OnLine on_line_;
    std::string line_;
    uint64_t cut_bytes_ = 0;
};

}  // namespace candela::host
