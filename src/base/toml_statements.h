#pragma once

// Cuts TOML text into statements: table headers and `key = value`, which may span lines. Bounds
// nesting and finds what is left open, so that the parser proper never recurses deeply and a
// mistake in one statement can't hide the next. Private to src/base.

#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"

namespace candela {

struct TomlStatement {
    int line = 0;            // of its first line, 1-based
    size_t begin = 0;        // in the clean text, at the start of that line
    size_t end = 0;          // after the last newline
    bool is_header = false;  // [table] or [[table]]
    bool is_faulty = false;  // reported and blanked
};

struct TomlStatements {
    std::string
        clean;  // the text with comments and faulty statements as spaces: positions are kept
    std::vector<TomlStatement> list;
};

TomlStatements split_toml(std::string_view text, ConfigProblems& problems);

// Overwrites with spaces, keeping newlines.
void blank_out(std::string& text, size_t begin, size_t end);

// Blanks what stands under faulty headers: it would look as if it belonged to the table before.
void blank_orphans(TomlStatements& statements);

}  // namespace candela
