#include "output_lines.h"

#include <algorithm>

namespace candela::host {

OutputLines::OutputLines(OnLine on_line)
    : on_line_(std::move(on_line)),
      halves_{
          Half{LineSplitter([this](std::string_view line) { on_line_(OutputKind::kStdout, line); }),
               {}},
          Half{LineSplitter([this](std::string_view line) { on_line_(OutputKind::kStderr, line); }),
               {}}} {}

void OutputLines::begin(uint64_t run) {
    marks_ = OutputMarks();
    marks_.run = run;
    last_position_ = 0;
    for (Half& half : halves_) {
        half.taken = OutputMark();
        half.is_held = half.splitter.has_partial();
        half.held_before = 0;
    }
}

void OutputLines::resume(uint64_t run, const OutputMarks& marks) {
    begin(run);
    if (marks.run != run) return;
    marks_ = marks;
    for (size_t i = 0; i < halves_.size(); ++i) halves_[i].taken = marks.streams[i];
}

void OutputLines::feed(OutputKind kind, std::string_view bytes, uint64_t position) {
    Half& half = halves_[kind == OutputKind::kStdout ? 0 : 1];
    if (position == 0) return half.splitter.feed(bytes);  // of a driver that knows no positions
    OutputMark& mark = marks_.streams[kind == OutputKind::kStdout ? 0 : 1];
    const uint64_t before = std::exchange(last_position_, position);
    if (position < half.taken.position) return;
    size_t at = 0;
    if (position == half.taken.position) at = std::min<size_t>(half.taken.bytes, bytes.size());
    // Line by line, so that the marks are right whenever the lines up to one are written.
    for (size_t end = 0; (end = bytes.find('\n', at)) != std::string_view::npos; at = end + 1) {
        mark.position = position;
        mark.bytes = end + 1;
        half.held_before = before;
        half.is_held = true;
        note_safe(position);
        half.splitter.feed(bytes.substr(at, end + 1 - at));
    }
    if (at < bytes.size()) {
        if (!half.is_held) half.held_before = before;
        half.splitter.feed(bytes.substr(at));
    }
    half.is_held = half.splitter.has_partial();
    note_safe(position);
}

// Up to where the lines of both halves reach.
void OutputLines::note_safe(uint64_t position) {
    for (const Half& half : halves_) {
        if (half.is_held) position = std::min(position, half.held_before);
    }
    marks_.safe = std::max(marks_.safe, position);
}

void OutputLines::finish() {
    for (Half& half : halves_) half.splitter.finish();
}

}  // namespace candela::host
