#include "bus/subject.h"

#include <cstddef>

namespace candela::bus {

namespace {

struct Shape {
    bool is_valid = false;
    bool has_wildcard = false;
};

Shape shape_of(std::string_view text) {
    Shape shape;
    size_t start = 0;
    for (size_t i = 0; i <= text.size(); ++i) {
        if (i < text.size() && text[i] != '.') {
            const char c = text[i];
            if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\0')
                return shape;
            continue;
        }
        const size_t length = i - start;
        if (length == 0) return shape;
        if (length == 1 && text[start] == '*') shape.has_wildcard = true;
        if (length == 1 && text[start] == '>') {
            if (i != text.size()) return shape;
            shape.has_wildcard = true;
        }
        start = i + 1;
    }
    shape.is_valid = true;
    return shape;
}

}  // namespace

bool is_valid_pattern(std::string_view text) { return shape_of(text).is_valid; }

bool is_valid_subject(std::string_view text) {
    const Shape shape = shape_of(text);
    return shape.is_valid && !shape.has_wildcard;
}

bool has_wildcard(std::string_view pattern) {
    for (size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] != '*' && pattern[i] != '>') continue;
        const bool starts = i == 0 || pattern[i - 1] == '.';
        const bool ends = i + 1 == pattern.size() || pattern[i + 1] == '.';
        if (starts && ends) return true;
    }
    return false;
}

}  // namespace candela::bus
