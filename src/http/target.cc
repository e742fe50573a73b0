#include "http/target.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace candela::http {

namespace {

enum PathByte : uint8_t { kPlain, kSpecial, kForbidden };

// kSpecial needs a look at what follows: a dot segment or an encoding.
constexpr std::array<uint8_t, 256> make_path_table() {
    std::array<uint8_t, 256> table{};
    for (size_t c = 0; c < 256; ++c) table[c] = c <= 0x20 || c >= 0x7f ? kForbidden : kPlain;
    for (const char c : std::string_view("\\\"<>#?")) table[static_cast<uint8_t>(c)] = kForbidden;
    table['%'] = kSpecial;
    table['.'] = kSpecial;
    return table;
}
constexpr std::array<uint8_t, 256> kPathTable = make_path_table();

bool is_unreserved(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

void append_encoded(uint8_t byte, std::string& out) {
    static constexpr char kDigits[] = "0123456789ABCDEF";
    out.push_back('%');
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
}

// One segment into `out`, unreserved characters decoded, other encodings in upper case.
Result<> append_segment(std::string_view segment, std::string& out) {
    for (size_t at = 0; at < segment.size(); ++at) {
        const char c = segment[at];
        const uint8_t kind = kPathTable[static_cast<uint8_t>(c)];
        if (kind == kForbidden) {
            return fail(Code::kInvalid, "the path has a byte that must be percent-encoded: \"{}\"",
                        printable(segment.substr(at, 1)));
        }
        if (c != '%') {
            out.push_back(c);
            continue;
        }
        const int byte = decode_octet(segment.substr(at));
        if (byte < 0) return fail(Code::kInvalid, "the path has a bad percent-encoding");
        if (byte == 0) return fail(Code::kInvalid, "the path has an encoded NUL");
        if (is_unreserved(static_cast<char>(byte))) {
            out.push_back(static_cast<char>(byte));
        } else {
            append_encoded(static_cast<uint8_t>(byte), out);
        }
        at += 2;
    }
    return {};
}

}  // namespace

int decode_octet(std::string_view text) {
    if (text.size() < 3) return -1;
    const int high = hex_value(text[1]);
    const int low = hex_value(text[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

TargetParts split_target(std::string_view target) {
    const size_t mark = target.find('?');
    if (mark == std::string_view::npos) return TargetParts{target, {}, false};
    return TargetParts{target.substr(0, mark), target.substr(mark + 1), true};
}

bool is_normal_path(std::string_view path) {
    if (path.empty() || path.front() != '/') return false;
    for (size_t at = 0; at < path.size(); ++at) {
        const uint8_t kind = kPathTable[static_cast<uint8_t>(path[at])];
        if (kind == kPlain) [[likely]]
            continue;
        if (kind == kForbidden) return false;
        if (path[at] == '%') {
            const int byte = decode_octet(path.substr(at));
            if (byte <= 0 || is_unreserved(static_cast<char>(byte))) return false;
            if (path[at + 1] >= 'a' || path[at + 2] >= 'a') return false;
        } else if (path[at - 1] == '/') {
            std::string_view segment = path.substr(at, 3);
            segment = segment.substr(0, segment.find('/'));
            if (segment == "." || segment == "..") return false;
        }
    }
    return true;
}

Result<std::string> normalize_path(std::string_view path) {
    if (is_normal_path(path)) return std::string(path);
    if (path.empty() || path.front() != '/') {
        return fail(Code::kInvalid, "the path does not begin with a slash");
    }
    std::string out;
    out.reserve(path.size());
    path.remove_prefix(1);
    for (bool is_last = false; !is_last;) {
        const size_t slash = path.find('/');
        is_last = slash == std::string_view::npos;
        const std::string_view segment = path.substr(0, slash);
        if (!is_last) path.remove_prefix(slash + 1);

        const size_t start = out.size();
        out.push_back('/');
        CANDELA_TRY(append_segment(segment, out));
        const std::string_view normal = std::string_view(out).substr(start + 1);
        if (normal == ".") {
            out.resize(start);
        } else if (normal == "..") {
            out.resize(start);
            const size_t parent = out.rfind('/');
            if (parent == std::string::npos) {
                return fail(Code::kInvalid, "the path leads above its root");
            }
            out.resize(parent);
        } else {
            continue;
        }
        if (is_last) out.push_back('/');  // "/a/.." is the folder "/"
    }
    return out;
}

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '+' && plus_is_space) {
            out.push_back(' ');
        } else if (text[at] != '%') {
            out.push_back(text[at]);
        } else {
            const int byte = decode_octet(text.substr(at));
            if (byte < 0) {
                return fail(Code::kInvalid, "\"{}\" has a bad percent-encoding", printable(text));
            }
            out.push_back(static_cast<char>(byte));
            at += 2;
        }
    }
    return out;
}

std::string percent_encode(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (is_unreserved(c)) {
            out.push_back(c);
        } else {
            append_encoded(static_cast<uint8_t>(c), out);
        }
    }
    return out;
}

Result<QueryParams> parse_query(std::string_view query) {
    QueryParams params;
    while (!query.empty()) {
        const size_t ampersand = query.find('&');
        const std::string_view part = query.substr(0, ampersand);
        query =
            ampersand == std::string_view::npos ? std::string_view() : query.substr(ampersand + 1);
        if (part.empty()) continue;
        const size_t equals = part.find('=');
        const std::string_view value =
            equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
        CANDELA_TRY_ASSIGN(std::string name, percent_decode(part.substr(0, equals), true));
        CANDELA_TRY_ASSIGN(std::string decoded, percent_decode(value, true));
        params.emplace_back(std::move(name), std::move(decoded));
    }
    return params;
}

std::optional<Authority> parse_authority(std::string_view text) {
    Authority authority;
    if (text.starts_with('[')) {
        const size_t bracket = text.find(']');
        if (bracket == std::string_view::npos || bracket < 3) return std::nullopt;
        authority.host = text.substr(0, bracket + 1);
        const bool is_literal =
            std::all_of(text.begin() + 1, text.begin() + static_cast<ptrdiff_t>(bracket),
                        [](char c) { return hex_value(c) >= 0 || c == ':' || c == '.'; });
        if (!is_literal) return std::nullopt;
    } else {
        authority.host = text.substr(0, text.find(':'));
        // Narrower than RFC 3986's reg-name: no name that resolves has more than these.
        if (authority.host.empty() || authority.host.size() > 255 ||
            !std::all_of(authority.host.begin(), authority.host.end(), is_unreserved)) {
            return std::nullopt;
        }
    }
    const std::string_view rest = text.substr(authority.host.size());
    if (rest.empty()) return authority;
    if (rest.front() != ':') return std::nullopt;
    authority.port = rest.substr(1);
    if (!authority.port.empty() && !parse_port(authority.port)) return std::nullopt;
    return authority;
}

}  // namespace candela::http
