// JsonMembers, and JSON strings: of log_line.h.

#include <array>

#include "base/log_line.h"
#include "base/text.h"

namespace candela {

namespace {

std::optional<uint32_t> hex4(std::string_view text) {
    if (text.size() < 4) return std::nullopt;
    uint32_t value = 0;
    for (const char c : text.substr(0, 4)) {
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return std::nullopt;
        value = value * 16 + static_cast<uint32_t>(digit);
    }
    return value;
}

}  // namespace

JsonMembers::JsonMembers(std::string_view object) : text_(object) {
    skip_blanks();
    is_object_ = at_ < text_.size() && text_[at_] == '{';
    ++at_;
}

void JsonMembers::skip_blanks() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
        ++at_;
    }
}

// From its opening quote to behind its closing one.
bool JsonMembers::skip_string() {
    if (at_ >= text_.size() || text_[at_] != '"') return false;
    for (++at_; at_ < text_.size(); ++at_) {
        const char c = text_[at_];
        if (c == '"') {
            ++at_;
            return true;
        }
        if (static_cast<uint8_t>(c) < 0x20) return false;
        if (c != '\\') continue;
        if (++at_ >= text_.size()) return false;
        if (text_[at_] == 'u') {
            if (!hex4(text_.substr(at_ + 1))) return false;
            at_ += 4;
        } else if (std::string_view("\"\\/bfnrt").find(text_[at_]) == std::string_view::npos) {
            return false;
        }
    }
    return false;
}

// A number (RFC 8259 §6), true, false or null.
bool JsonMembers::skip_plain() {
    for (const std::string_view word : {"true", "false", "null"}) {
        if (!text_.substr(at_).starts_with(word)) continue;
        at_ += word.size();
        return true;
    }
    const auto is_digit = [this] {
        return at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9';
    };
    const auto skip_digits = [&] {
        const size_t begin = at_;
        while (is_digit()) ++at_;
        return at_ > begin;
    };
    const auto skip_one = [this](std::string_view of) {
        if (at_ >= text_.size() || of.find(text_[at_]) == std::string_view::npos) return false;
        ++at_;
        return true;
    };
    skip_one("-");
    if (!skip_one("0") && !skip_digits()) return false;
    if (skip_one(".") && !skip_digits()) return false;
    if (!skip_one("eE")) return true;
    skip_one("+-");
    return skip_digits();
}

bool JsonMembers::skip_value(int depth) {
    constexpr int kDepthMax = 64;
    if (at_ >= text_.size() || depth > kDepthMax) return false;
    const char opening = text_[at_];
    if (opening == '"') return skip_string();
    if (opening != '{' && opening != '[') return skip_plain();
    const char closing = opening == '{' ? '}' : ']';
    ++at_;
    skip_blanks();
    if (at_ < text_.size() && text_[at_] == closing) {
        ++at_;
        return true;
    }
    while (true) {
        skip_blanks();
        if (opening == '{') {
            if (!skip_string()) return false;
            skip_blanks();
            if (at_ >= text_.size() || text_[at_] != ':') return false;
            ++at_;
            skip_blanks();
        }
        if (!skip_value(depth + 1)) return false;
        skip_blanks();
        if (at_ >= text_.size()) return false;
        const char next = text_[at_++];
        if (next == closing) return true;
        if (next != ',') return false;
    }
}

bool JsonMembers::next() {
    if (!is_object_ || is_whole_) return false;
    skip_blanks();
    if (at_ < text_.size() && text_[at_] == '}') {
        ++at_;
        skip_blanks();
        is_whole_ = at_ == text_.size();
        is_object_ = false;
        return false;
    }
    if (!is_first_) {
        if (at_ >= text_.size() || text_[at_] != ',') return is_object_ = false;
        ++at_;
        skip_blanks();
    }
    is_first_ = false;
    const size_t name = at_;
    if (!skip_string()) return is_object_ = false;
    name_ = text_.substr(name + 1, at_ - name - 2);
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != ':') return is_object_ = false;
    ++at_;
    skip_blanks();
    const size_t value = at_;
    if (!skip_value(0)) return is_object_ = false;
    value_ = text_.substr(value, at_ - value);
    return true;
}

namespace {

void append_utf8(uint32_t code, std::string& out) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xc0 | code >> 6);
        out += static_cast<char>(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        out += static_cast<char>(0xe0 | code >> 12);
        out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
        out += static_cast<char>(0x80 | (code & 0x3f));
    } else {
        out += static_cast<char>(0xf0 | code >> 18);
        out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
        out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
        out += static_cast<char>(0x80 | (code & 0x3f));
    }
}

// Of the well-formed character that the text begins with (Unicode table 3-7); 0: it begins with
// none.
size_t utf8_size(std::string_view text) {
    const auto byte = [text](size_t i) {
        return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
    };
    const auto is_tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
    const uint8_t first = byte(0);
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return is_tail(1) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        const bool is_low = first == 0xe0 && byte(1) < 0xa0;
        const bool is_surrogate = first == 0xed && byte(1) > 0x9f;
        return is_tail(1) && is_tail(2) && !is_low && !is_surrogate ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const bool is_low = first == 0xf0 && byte(1) < 0x90;
        const bool is_high = first == 0xf4 && byte(1) > 0x8f;
        return is_tail(1) && is_tail(2) && is_tail(3) && !is_low && !is_high ? 4 : 0;
    }
    return 0;
}

}  // namespace

std::optional<std::string> unquote_json(std::string_view quoted) {
    if (quoted.size() < 2 || quoted.front() != '"' || quoted.back() != '"') return std::nullopt;
    std::string_view text = quoted.substr(1, quoted.size() - 2);
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const size_t plain = std::min(text.find('\\'), text.size());
        out += text.substr(0, plain);
        text.remove_prefix(plain);
        if (text.empty()) break;
        if (text.size() < 2) return std::nullopt;
        const char c = text[1];
        text.remove_prefix(2);
        switch (c) {
            case '"':
            case '\\':
            case '/': out += c; break;
            case 'b': out += '\b'; break;
            case 'f': out += '\f'; break;
            case 'n': out += '\n'; break;
            case 'r': out += '\r'; break;
            case 't': out += '\t'; break;
            case 'u': {
                auto code = hex4(text);
                if (!code) return std::nullopt;
                text.remove_prefix(4);
                if (*code >= 0xd800 && *code < 0xdc00 && text.starts_with("\\u")) {
                    const auto low = hex4(text.substr(2));
                    if (low && *low >= 0xdc00 && *low < 0xe000) {
                        code = 0x10000 + ((*code - 0xd800) << 10) + (*low - 0xdc00);
                        text.remove_prefix(6);
                    }
                }
                if (*code >= 0xd800 && *code < 0xe000) code = 0xfffd;
                append_utf8(*code, out);
                break;
            }
            default: return std::nullopt;
        }
    }
    return out;
}

void append_json_string(std::string_view text, std::string& out) {
    constexpr std::string_view kHex = "0123456789abcdef";
    out += '"';
    size_t begin = 0;
    size_t at = 0;
    const auto copy = [&] { out += text.substr(begin, at - begin); };
    while (at < text.size()) {
        const auto byte = static_cast<uint8_t>(text[at]);
        if (byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\') {
            ++at;
            continue;
        }
        if (byte >= 0x80) {
            if (const size_t size = utf8_size(text.substr(at)); size > 0) {
                at += size;
                continue;
            }
        }
        copy();
        ++at;
        begin = at;
        switch (byte) {
            case '"': out += "\\\""; break;
            case '\\': out += "\\\\"; break;
            case '\n': out += "\\n"; break;
            case '\r': out += "\\r"; break;
            case '\t': out += "\\t"; break;
            default:
                if (byte >= 0x80) {
                    out += "\xef\xbf\xbd";
                } else {
                    out += "\\u00";
                    out += kHex[byte >> 4];
                    out += kHex[byte & 0xf];
                }
        }
    }
    copy();
    out += '"';
}

}  // namespace candela
