#include "ctl/table.h"

#include <algorithm>

#include "base/text.h"

namespace candela::ctl {

namespace {
bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }
}  // namespace

size_t display_width(std::string_view text) {
    return static_cast<size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::string cut_to_width(std::string_view text, size_t columns) {
    if (display_width(text) <= columns) return std::string(text);
    if (columns == 0) return "";
    size_t width = 0;
    size_t i = 0;
    for (; i < text.size(); ++i) {
        if (is_continuation(text[i])) continue;
        if (width == columns - 1) break;
        ++width;
    }
    return std::string(text.substr(0, i)) + "…";
}

std::string Table::render(const Paint& paint) const {
    constexpr size_t kCellMax = 400;
    std::vector<std::vector<std::string>> cells;
    cells.push_back(header_);
    cells.insert(cells.end(), rows_.begin(), rows_.end());
    std::vector<size_t> widths(header_.size(), 0);
    for (auto& row : cells) {
        row.resize(header_.size());
        for (size_t i = 0; i < row.size(); ++i) {
            row[i] = row[i].empty() ? "-" : printable(row[i], kCellMax);
            widths[i] = std::max(widths[i], display_width(row[i]));
        }
    }
    std::string out;
    for (size_t r = 0; r < cells.size(); ++r) {
        for (size_t i = 0; i < cells[r].size(); ++i) {
            const std::string& cell = cells[r][i];
            out += r > 0 && paint ? paint(i, cell) : cell;
            const bool is_last = i + 1 == cells[r].size();
            if (!is_last) out.append(widths[i] - display_width(cell) + 2, ' ');
        }
        out += '\n';
    }
    return out;
}

std::string short_duration(Duration duration) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
    if (seconds < 1) return "now";
    if (seconds < 60) return fmt::format("{}s", seconds);
    if (seconds < 3600) return fmt::format("{}m", seconds / 60);
    if (seconds < 48 * 3600) return fmt::format("{}h", seconds / 3600);
    return fmt::format("{}d", seconds / 86400);
}

std::string age(std::string_view rfc3339, WallTime now) {
    const auto then = parse_rfc3339(rfc3339);
    if (!then) return "-";
    return short_duration(now - *then);
}

}  // namespace candela::ctl
