#include "service/ignore.h"

#include <algorithm>
#include <span>

#include "base/text.h"

namespace candela::service {

namespace {

using Parts = std::span<const std::string_view>;

// One "[…]" at pattern[at]; moves `at` behind it. Nothing where it does not end: then '[' is a
// letter.
std::optional<bool> match_class(std::string_view pattern, size_t& at, char c) {
    size_t i = at + 1;
    const bool negated = i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^');
    if (negated) ++i;
    bool matched = false;
    for (bool first = true; i < pattern.size(); first = false) {
        if (pattern[i] == ']' && !first) {
            at = i + 1;
            return matched != negated;
        }
        const auto low = static_cast<unsigned char>(pattern[i]);
        auto high = low;
        if (i + 2 < pattern.size() && pattern[i + 1] == '-' && pattern[i + 2] != ']') {
            high = static_cast<unsigned char>(pattern[i + 2]);
            i += 2;
        }
        const auto letter = static_cast<unsigned char>(c);
        matched = matched || (letter >= low && letter <= high);
        ++i;
    }
    return std::nullopt;
}

// Matches one pattern letter at `at` against c, and moves behind it.
bool match_letter(std::string_view pattern, size_t& at, char c) {
    if (pattern[at] == '?') {
        ++at;
        return true;
    }
    if (pattern[at] == '[') {
        if (const auto matched = match_class(pattern, at, c)) return *matched;
    }
    if (pattern[at] == '\\' && at + 1 < pattern.size()) ++at;
    return pattern[at++] == c;
}

// Within one name. After a mismatch only the last '*' takes one letter more: never exponential.
bool match_name(std::string_view pattern, std::string_view name) {
    size_t p = 0, n = 0;
    size_t star = std::string_view::npos, star_name = 0;
    while (n < name.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            star_name = n;
            continue;
        }
        size_t next = p;
        if (p < pattern.size() && match_letter(pattern, next, name[n])) {
            p = next;
            ++n;
            continue;
        }
        if (star == std::string_view::npos) return false;
        p = star + 1;
        n = ++star_name;
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

// The same over folders, where "**" takes any number of them.
bool match_parts(std::span<const std::string> pattern, Parts path) {
    size_t p = 0, n = 0;
    size_t star = std::string::npos, star_path = 0;
    while (n < path.size()) {
        if (p < pattern.size() && pattern[p] == "**") {
            star = p++;
            star_path = n;
            continue;
        }
        if (p < pattern.size() && match_name(pattern[p], path[n])) {
            ++p;
            ++n;
            continue;
        }
        if (star == std::string::npos) return false;
        p = star + 1;
        n = ++star_path;
    }
    // "a/**" is what is in a, not a itself.
    return p == pattern.size();
}

}  // namespace

Result<IgnoreRules> IgnoreRules::parse(std::string_view text, std::string_view file_name) {
    IgnoreRules rules;
    size_t line_number = 0;
    for (std::string_view line : split(text, '\n')) {
        ++line_number;
        if (line.ends_with('\r')) line.remove_suffix(1);
        while (line.ends_with(' ') && !line.ends_with("\\ ")) line.remove_suffix(1);
        if (line.empty() || line.starts_with('#')) continue;
        if (line.size() > kPatternLengthMax || line.find('\0') != std::string_view::npos) {
            return fail(Code::kInvalid,
                        "{}:{}: a pattern of {} bytes; at most {}, none of them NUL", file_name,
                        line_number, line.size(), kPatternLengthMax);
        }
        if (rules.rules_.size() == kRulesMax) {
            return fail(Code::kExhausted, "{}:{}: more than {} patterns", file_name, line_number,
                        kRulesMax);
        }
        Rule rule;
        if (line.starts_with('!')) {
            rule.negated = true;
            line.remove_prefix(1);
        }
        if (line.ends_with('/')) {
            rule.folders_only = true;
            while (line.ends_with('/')) line.remove_suffix(1);
        }
        const bool is_anchored = line.find('/') != std::string_view::npos;
        if (!is_anchored) rule.parts.push_back("**");
        for (const std::string_view part : split(line, '/')) {
            if (!part.empty()) rule.parts.emplace_back(part);
        }
        if (rule.parts.empty() || (!is_anchored && rule.parts.size() == 1)) continue;  // "/", "!"
        rules.rules_.push_back(std::move(rule));
    }
    return rules;
}

bool IgnoreRules::is_ignored(std::string_view path, bool is_folder) const {
    return decide(path, is_folder).value_or(false);
}

std::optional<bool> IgnoreRules::decide(std::string_view path, bool is_folder) const {
    const std::vector<std::string_view> parts = split(path, '/');
    for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) {
        if (rule->folders_only && !is_folder) continue;
        if (match_parts(rule->parts, parts)) return !rule->negated;
    }
    return std::nullopt;
}

}  // namespace candela::service
