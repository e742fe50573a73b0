#pragma once

// An instance's output on its way into its log: cut into lines, and each byte taken once, although
// a host that was restarted is given again what its predecessor had not acknowledged. It knows how
// far the lines reach that were added (marks, which are written to disk with them) and up to where
// the output is safe once those are on disk.

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

#include "line_splitter.h"
#include "loop/process.h"
#include "node/log_spool.h"

namespace candela::host {

class OutputLines {
public:
    // So much output may stay unacknowledged for want of an end of line, or because the disk is
    // slow. A keeper has room for twice that (keeper/wire.h), so that a service never waits.
    static constexpr uint64_t kUnsafeBytesMax = 2 << 20;

    using OnLine = std::function<void(OutputKind kind, std::string_view line)>;
    explicit OutputLines(OnLine on_line);

    // A new run of the program.
    void begin(uint64_t run);
    // One that ran before us: what lies before the marks has been taken already. Marks of another
    // run say nothing.
    void resume(uint64_t run, const OutputMarks& marks);

    // `position`: behind the bytes; 0 where the driver knows none.
    void feed(OutputKind kind, std::string_view bytes, uint64_t position);
    void finish();

    // In on_line: with that line.
    const OutputMarks& marks() const { return marks_; }

private:
    struct Half {
        LineSplitter splitter;
        OutputMark taken;          // by an earlier host
        bool is_held = false;      // a line has begun that is not added yet
        uint64_t held_before = 0;  // where the piece begins in which it began
    };
    void note_safe(uint64_t position);

    OnLine on_line_;
    std::array<Half, 2> halves_;
    OutputMarks marks_;
    uint64_t last_position_ = 0;
};

}  // namespace candela::host
