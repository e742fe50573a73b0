#pragma once

// Request targets: path and query, percent-encoding, and the one normal form of a path that
// routing, authorisation and the upstream all see (RFC 3986 §6.2.2).

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace candela::http {

struct TargetParts {
    std::string_view path;
    std::string_view query;  // without the question mark
    bool has_query = false;  // "/a?" differs from "/a"
};
TargetParts split_target(std::string_view target);

// True for a path that normalize_path() would return unchanged; one scan, no allocation.
bool is_normal_path(std::string_view path);

// The normal form, still percent-encoded: "." and ".." resolved (also written %2e), unreserved
// characters decoded, other encodings in upper case. Encoded slashes stay encoded. Refused with
// kInvalid: bad encodings, an encoded NUL, a raw backslash, quote, angle bracket or control byte,
// and ".." beyond the root.
Result<std::string> normalize_path(std::string_view path);

// Decodes %XX; kInvalid for a bad encoding. With plus_is_space, '+' becomes a blank (queries).
Result<std::string> percent_decode(std::string_view text, bool plus_is_space = false);
// The byte that the encoding at text[0] == '%' stands for, or -1.
int decode_octet(std::string_view text);
// Encodes all but unreserved characters: fit for a path segment or a query value.
std::string percent_encode(std::string_view text);

// The parameters in order, decoded.
using QueryParams = std::vector<std::pair<std::string, std::string>>;
Result<QueryParams> parse_query(std::string_view query);

// RFC 3986 §3.2.2 and §3.2.3: name or IP literal, optional port; no user information. Views into
// `text`.
struct Authority {
    std::string_view host;  // IPv6 literals keep their brackets
    std::string_view port;  // digits, maybe none
};
std::optional<Authority> parse_authority(std::string_view text);

}  // namespace candela::http
