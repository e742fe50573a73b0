#include "base/toml_statements.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace candela {

namespace {

bool is_bare_key(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

class Splitter {
public:
    Splitter(std::string_view text, ConfigProblems& problems) : problems_(problems) {
        out_.clean.assign(text);
    }

    TomlStatements run() {
        while (at_ < text().size()) statement();
        return std::move(out_);
    }

private:
    struct Bracket {
        char kind;
        ConfigPosition at;
    };

    std::string& text() { return out_.clean; }
    char current() { return text()[at_]; }
    bool looking_at(std::string_view what) { return text().compare(at_, what.size(), what) == 0; }
    ConfigPosition here() { return ConfigPosition{line_, static_cast<int>(at_ - line_begin_) + 1}; }
    void report(ConfigPosition at, std::string message) {
        if (!is_faulty_) problems_.add(at, std::move(message));  // the first of each statement
        is_faulty_ = true;
    }
    void newline() {
        ++at_;
        ++line_;
        line_begin_ = at_;
    }

    void statement() {
        const int first_line = line_;
        const size_t begin = at_;
        is_faulty_ = false;
        is_header_ = false;
        dots_ = 0;
        open_.clear();
        bool is_empty = true;
        while (at_ < text().size()) {
            const char c = current();
            if (c == '\n') {
                newline();
                if (open_.empty() || is_header_) break;
                if (open_.back().kind == '{') {
                    report(open_.back().at,
                           "\"{\" is not closed: an inline table stays on one line");
                    break;
                }
                if (next_line_is_a_statement()) break;
                continue;
            }
            if (c != ' ' && c != '\t' && c != '\r' && c != '#') {
                if (is_empty) is_header_ = c == '[';
                is_empty = false;
            }
            token(c);
        }
        if (!open_.empty()) {
            report(open_.back().at, fmt::format("\"{}\" is not closed", open_.back().kind));
        }
        if (is_empty) return;
        if (is_faulty_) blank_out(text(), begin, at_);
        out_.list.push_back(TomlStatement{first_line, begin, at_, is_header_, is_faulty_});
    }

    void token(char c) {
        switch (c) {
            case '#': comment(); return;
            case '"':
            case '\'': string(c); return;
            case '[':
            case '{': open(c); break;
            case ']':
            case '}': close(c); break;
            case '.':
                if (++dots_ > kConfigDepthMax) {
                    report(here(), fmt::format("nested deeper than {} levels", kConfigDepthMax));
                }
                break;
            case '=':
                if (!open_.empty() && open_.back().kind == '[') {
                    report(open_.back().at, "\"[\" is not closed");
                }
                dots_ = 0;
                break;
            case ',': dots_ = 0; break;
            default: break;
        }
        ++at_;
    }

    // Comments are of no interest further on, except that control bytes may not be in them
    // (TOML 1.0).
    void comment() {
        const size_t begin = at_;
        while (at_ < text().size() && current() != '\n') {
            const char c = current();
            const bool is_line_end =
                c == '\r' && at_ + 1 < text().size() && text()[at_ + 1] == '\n';
            if ((static_cast<unsigned char>(c) < 0x20 && c != '\t' && !is_line_end) || c == 0x7F) {
                problems_.add(here(), "control byte {} in a comment", printable({&c, 1}));
            }
            ++at_;
        }
        blank_out(text(), begin, at_);
    }

    void string(char quote) {
        const ConfigPosition begin = here();
        const std::string triple(3, quote);
        if (looking_at(triple)) {
            at_ += 3;
            while (at_ < text().size()) {
                if (looking_at(triple)) {
                    at_ += 3;
                    // Up to two quotes may stand right before the closing three.
                    for (int i = 0; i < 2 && at_ < text().size() && current() == quote; ++i) ++at_;
                    return;
                }
                if (current() == '\n') {
                    newline();
                    continue;
                }
                if (quote == '"' && current() == '\\' && at_ + 1 < text().size() &&
                    text()[at_ + 1] != '\n') {
                    ++at_;
                }
                ++at_;
            }
            report(begin, fmt::format("{} is not closed before the end of the file", triple));
            return;
        }
        ++at_;
        while (at_ < text().size() && current() != '\n') {
            if (current() == quote) {
                ++at_;
                return;
            }
            if (quote == '"' && current() == '\\' && at_ + 1 < text().size() &&
                text()[at_ + 1] != '\n') {
                ++at_;
            }
            ++at_;
        }
        report(begin, fmt::format("this {} is not closed on its line", quote));
    }

    void open(char kind) {
        open_.push_back(Bracket{kind, here()});
        dots_ = 0;
        if (open_.size() > kConfigDepthMax) {
            report(here(), fmt::format("nested deeper than {} levels", kConfigDepthMax));
            open_.pop_back();  // only the report matters now: the statement will not be parsed
        }
    }

    void close(char kind) {
        const char opening = kind == ']' ? '[' : '{';
        if (open_.empty() || open_.back().kind != opening) {
            report(here(), fmt::format("\"{}\" closes nothing that is open", kind));
            return;
        }
        open_.pop_back();
    }

    // Whether an array that is still open was in truth forgotten: the next line begins `key =`.
    bool next_line_is_a_statement() {
        size_t i = at_;
        const auto skip_blanks = [&] {
            while (i < text().size() && (text()[i] == ' ' || text()[i] == '\t')) ++i;
        };
        skip_blanks();
        const size_t key_begin = i;
        while (i < text().size() && (is_bare_key(text()[i]) || text()[i] == '.')) ++i;
        if (i == key_begin) return false;
        skip_blanks();
        return i < text().size() && text()[i] == '=';
    }

    ConfigProblems& problems_;
    TomlStatements out_;
    size_t at_ = 0;
    size_t line_begin_ = 0;
    int line_ = 1;
    size_t dots_ = 0;  // of the key being read
    bool is_faulty_ = false;
    bool is_header_ = false;
    std::vector<Bracket> open_;
};

}  // namespace

void blank_out(std::string& text, size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
        if (text[i] != '\n') text[i] = ' ';
    }
}

void blank_orphans(TomlStatements& statements) {
    bool is_orphan = false;
    for (const TomlStatement& statement : statements.list) {
        if (statement.is_header) is_orphan = statement.is_faulty;
        if (is_orphan) blank_out(statements.clean, statement.begin, statement.end);
    }
}

TomlStatements split_toml(std::string_view text, ConfigProblems& problems) {
    return Splitter(text, problems).run();
}

}  // namespace candela
