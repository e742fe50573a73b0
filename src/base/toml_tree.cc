#include "base/toml_tree.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include <toml.hpp>

#include "base/text.h"
#include "base/toml_statements.h"

namespace candela {

namespace {

using TomlErrors = std::vector<toml::error_info>;

// toml11 throws for faults of its own (and std::bad_alloc): here is the border.
std::optional<toml::value> parse(const std::string& text, TomlErrors& errors) {
    try {
        auto parsed = toml::try_parse_str(text, toml::spec::v(1, 0, 0));
        if (parsed.is_ok()) return std::move(parsed.unwrap());
        errors = std::move(parsed.unwrap_err());
    } catch (const std::exception& e) {
        errors.clear();
    }
    return std::nullopt;
}

ConfigPosition position_of(const toml::source_location& location) {
    return ConfigPosition{static_cast<int>(location.first_line_number()),
                          static_cast<int>(location.first_column_number())};
}

// "toml::parse_array: expected x" -> "expected x".
std::string_view without_function_name(std::string_view title) {
    if (!title.starts_with("toml::")) return title;
    const size_t colon = title.find(": ");
    return colon == std::string_view::npos ? title : title.substr(colon + 2);
}

std::string_view line_of(std::string_view text, int line) {
    for (int i = 1; i < line; ++i) {
        const size_t end = text.find('\n');
        if (end == std::string_view::npos) return {};
        text.remove_prefix(end + 1);
    }
    return text.substr(0, text.find('\n'));
}

// The word at a place, for "k = yes".
std::string_view word_at(std::string_view line, int column) {
    if (column < 1 || static_cast<size_t>(column) > line.size()) return {};
    std::string_view word = line.substr(static_cast<size_t>(column) - 1);
    return word.substr(0, word.find_first_of(" \t\r,]}\"'"));
}

// What a person can act on; `statement` is the text that the error's positions count in.
std::string explain(const toml::error_info& error, std::string_view statement, ConfigPosition at) {
    const std::string_view word = word_at(line_of(statement, at.line), at.column);
    const std::string& title = error.title();
    if (title.find("unknown value appeared") != std::string::npos) {
        if (word.empty()) return "a value is missing after \"=\"";
        return fmt::format("{} is not a value; text needs quotes: \"{}\"", printable(word, 60),
                           printable(word, 60));
    }
    if (title.find("parse_boolean") != std::string::npos) {
        return fmt::format("{} is not a value; write true or false, and text in quotes",
                           printable(word, 60));
    }
    if (title.find("invalid key value separator") != std::string::npos) {
        return "expected \"=\" and a value after the key";
    }
    if (title.find("newline (LF / CRLF) or EOF is expected") != std::string::npos) {
        return "expected the end of the line";
    }
    if (title.find("parse_basic_string") != std::string::npos) {
        return "invalid text in quotes: perhaps an escape that TOML does not know (\\\\ is one \\)";
    }
    if (title.find("parse_simple_key") != std::string::npos) {
        return "invalid key: write letters, digits, - and _, or quotes around it";
    }
    std::string message(without_function_name(title));
    if (!error.locations().empty() && error.locations().front().second != "here") {
        message += ": " + error.locations().front().second;
    }
    return printable(message, 200);
}

class TreeBuilder {
public:
    explicit TreeBuilder(std::string_view clean) {
        for (;;) {
            const size_t end = clean.find('\n');
            lines_.push_back(clean.substr(0, end));
            if (end == std::string_view::npos) break;
            clean.remove_prefix(end + 1);
        }
    }

    TomlNode build(const toml::value& value) const {
        TomlNode node;
        node.at = position_of(value.location());
        node.key_at = node.at;
        switch (value.type()) {
            case toml::value_t::boolean:
                node.kind = TomlNode::Kind::kBool;
                node.integer = value.as_boolean() ? 1 : 0;
                break;
            case toml::value_t::integer:
                node.kind = TomlNode::Kind::kInt;
                node.integer = value.as_integer();
                break;
            case toml::value_t::floating:
                node.kind = TomlNode::Kind::kFloat;
                node.number = value.as_floating();
                break;
            case toml::value_t::string:
                node.kind = TomlNode::Kind::kString;
                node.text = value.as_string();
                break;
            case toml::value_t::array:
                node.kind = TomlNode::Kind::kArray;
                for (const auto& item : value.as_array()) node.items.push_back(build(item));
                break;
            case toml::value_t::table: build_table(value, node); break;
            default: node.kind = TomlNode::Kind::kDate; break;
        }
        return node;
    }

private:
    void build_table(const toml::value& value, TomlNode& node) const {
        node.kind = TomlNode::Kind::kTable;
        for (const auto& [key, member] : value.as_table()) {
            node.members.push_back(TomlMember{key, build(member)});
            TomlNode& added = node.members.back().value;
            added.key_at = key_position(key, added.at);
        }
        std::sort(node.members.begin(), node.members.end(), [](const auto& a, const auto& b) {
            const ConfigPosition& x = a.value.key_at;
            const ConfigPosition& y = b.value.key_at;
            return std::tie(x.line, x.column, a.name) < std::tie(y.line, y.column, b.name);
        });
    }

    // toml11 keeps the place of a value only. The key stands before it on the same line, or, for a
    // table with a header, in it.
    ConfigPosition key_position(const std::string& key, ConfigPosition at) const {
        if (at.line < 1 || static_cast<size_t>(at.line) > lines_.size() || at.column < 1) return at;
        const std::string_view line = lines_[static_cast<size_t>(at.line) - 1];
        const size_t value = std::min(static_cast<size_t>(at.column) - 1, line.size());
        size_t found = std::string_view::npos;
        if (const size_t equals = line.rfind('=', value);
            equals != std::string_view::npos && equals < value) {
            found = line.rfind(key, equals);
        }
        if (found == std::string_view::npos) found = line.find(key, value);
        if (found == std::string_view::npos) return at;
        return ConfigPosition{at.line, static_cast<int>(found) + 1};
    }

    std::vector<std::string_view> lines_;
};

// Parses each statement alone and blanks those that are wrong: what is left has no syntax errors.
void check_each(TomlStatements& statements, ConfigProblems& problems) {
    for (TomlStatement& statement : statements.list) {
        if (problems.size() > ConfigProblems::kProblemsMax) return;
        if (statement.is_faulty) continue;
        TomlErrors errors;
        const std::string text =
            statements.clean.substr(statement.begin, statement.end - statement.begin);
        if (parse(text, errors)) continue;
        ConfigPosition at{1, 1};
        std::string message = "invalid TOML";
        if (!errors.empty()) {
            if (!errors.front().locations().empty()) {
                at = position_of(errors.front().locations().front().first);
            }
            message = explain(errors.front(), text, at);
        }
        at.line += statement.line - 1;
        problems.add(at, std::move(message));
        statement.is_faulty = true;
        blank_out(statements.clean, statement.begin, statement.end);
    }
    blank_orphans(statements);
}

// What is wrong only in company: keys and tables that are there twice. Removes the statement at
// fault.
bool remove_duplicate(TomlStatements& statements, const TomlErrors& errors,
                      ConfigProblems& problems) {
    if (errors.empty() || errors.front().locations().empty()) return false;
    const auto& locations = errors.front().locations();
    const ConfigPosition at = position_of(locations.front().first);
    std::string message(without_function_name(errors.front().title()));
    if (locations.size() > 1) {
        message = fmt::format("this was already defined in line {}",
                              locations[1].first.first_line_number());
    }
    problems.add(at, std::move(message));
    const auto after = std::upper_bound(
        statements.list.begin(), statements.list.end(), at.line,
        [](int line, const TomlStatement& statement) { return line < statement.line; });
    if (after == statements.list.begin()) return false;
    const auto culprit = after - 1;
    if (culprit->is_faulty) return false;
    culprit->is_faulty = true;
    blank_out(statements.clean, culprit->begin, culprit->end);
    blank_orphans(statements);
    return true;
}

// Names the first byte that is not text.
bool check_encoding(std::string_view text, ConfigProblems& problems) {
    int line = 1;
    while (!text.empty()) {
        const size_t end = text.find('\n');
        const std::string_view content = text.substr(0, end);
        if (!is_valid_utf8(content) || content.find('\0') != std::string_view::npos) {
            problems.add(ConfigPosition{line, 1}, "this line is not UTF-8 text");
            return false;
        }
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
        ++line;
    }
    return true;
}

}  // namespace

TomlNode parse_toml(std::string_view text, ConfigProblems& problems) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
    if (text.size() > kConfigTextMax) {
        problems.add(ConfigPosition{1, 1}, "the file is larger than {}",
                     format_size(kConfigTextMax));
        return {};
    }
    if (!check_encoding(text, problems)) return {};
    TomlStatements statements = split_toml(text, problems);
    if (!statements.clean.ends_with('\n')) statements.clean += '\n';
    check_each(statements, problems);
    constexpr int kDuplicatesMax = 20;
    for (int i = 0; i < kDuplicatesMax; ++i) {
        TomlErrors errors;
        if (const auto value = parse(statements.clean, errors)) {
            return TreeBuilder(statements.clean).build(*value);
        }
        if (!remove_duplicate(statements, errors, problems)) break;
    }
    if (problems.empty()) problems.add(ConfigPosition{1, 1}, "invalid TOML");
    return {};
}

}  // namespace candela
