#include "line_splitter.h"

#include <algorithm>

#include <fmt/format.h>

namespace candela::host {

void LineSplitter::feed(std::string_view bytes) {
    while (!bytes.empty()) {
        const size_t end = bytes.find('\n');
        take(bytes.substr(0, end));
        if (end == std::string_view::npos) return;
        emit();
        bytes.remove_prefix(end + 1);
    }
}

void LineSplitter::finish() {
    if (!line_.empty()) emit();
}

void LineSplitter::take(std::string_view part) {
    const size_t room = kLineMax - kNoteMax - line_.size();
    line_ += part.substr(0, room);
    if (part.size() > room) cut_bytes_ += part.size() - room;
}

void LineSplitter::emit() {
    if (cut_bytes_ > 0)
        line_ += fmt::format(" … ({} bytes cut)", cut_bytes_);
    else if (line_.ends_with('\r'))
        line_.pop_back();
    on_line_(line_);
    line_.clear();
    if (line_.capacity() > 4096) line_.shrink_to_fit();
    cut_bytes_ = 0;
}

}  // namespace candela::host
