#include "build/last_lines.h"

#include <algorithm>

#include "base/text.h"

namespace candela::build {

void LastLines::add(std::string_view bytes) {
    while (!bytes.empty()) {
        const size_t end = bytes.find('\n');
        const std::string_view part = bytes.substr(0, end);
        if (!is_open_) {
            lines_.emplace_back();
            if (lines_.size() > lines_max_) lines_.pop_front();
        }
        std::string& line = lines_.back();
        line.append(part.substr(0, kLineMax - std::min(kLineMax, line.size())));
        is_open_ = end == std::string_view::npos;
        if (is_open_) return;
        bytes.remove_prefix(end + 1);
    }
}

std::string LastLines::text() const {
    std::string out;
    for (const std::string& line : lines_) out += printable(line, kLineMax) + "\n";
    return out;
}

}  // namespace candela::build
