#pragma once

// Text for people: aligned tables, short times and sizes, cut lines. Values; no I/O.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace candela::ctl {

// Columns as wide as their widest cell, two blanks between, nothing after the last. Cells may hold
// UTF-8; control bytes become visible, so that no name from elsewhere can drive the terminal.
class Table {
public:
    explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}

    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
    bool empty() const { return rows_.empty(); }

    using Paint = std::function<std::string(size_t column, const std::string& cell)>;
    // `paint` colours a cell's text after its width is known; empty: none.
    std::string render(const Paint& paint = {}) const;

private:
    std::vector<std::string> header_;
    std::vector<std::vector<std::string>> rows_;
};

// Columns that the text takes: code points, which is right but for wide scripts.
size_t display_width(std::string_view text);
// The text, or as much of it as fits with "…" at its end.
std::string cut_to_width(std::string_view text, size_t columns);

// "now", "12s", "5m", "3h", "8d": the largest unit only.
std::string short_duration(Duration duration);
// How long ago, from an RFC 3339 time; "-" where there is none.
std::string age(std::string_view rfc3339, WallTime now);

}  // namespace candela::ctl
