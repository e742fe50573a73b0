#pragma once

// TOML text as a tree of plain values with positions: what config.cc checks against a schema.
// Private to src/base. toml11 does the parsing (toml_tree.cc); because it recurses without a limit
// and, after an error, reports what follows from the error too, the text is first cut into
// statements (toml_statements.h), and each statement is parsed by itself, so that every mistake
// shows once.

#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"

namespace candela {

struct TomlMember;

struct TomlNode {
    enum class Kind : uint8_t { kString, kInt, kFloat, kBool, kDate, kArray, kTable };

    Kind kind = Kind::kTable;
    ConfigPosition at;                // of the value
    ConfigPosition key_at;            // of its key; for array elements as `at`
    std::string text;                 // kString
    int64_t integer = 0;              // kInt, kBool
    double number = 0;                // kFloat
    std::vector<TomlNode> items;      // kArray
    std::vector<TomlMember> members;  // kTable, in the order of the file
};

struct TomlMember {
    std::string name;
    TomlNode value;
};

// What could be read; every syntax error goes to `problems`.
TomlNode parse_toml(std::string_view text, ConfigProblems& problems);

}  // namespace candela
