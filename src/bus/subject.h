#pragma once

// Subjects: tokens between dots; in what is subscribed to, "*" stands for one token and ">" for one
// or more at the end. A token such as "foo*" is a literal. Matching of patterns is in
// auth/permissions.h.

#include <string_view>

namespace candela::bus {

// Something that can be subscribed to: no empty token, no blank or line end, ">" only as the last
// token.
bool is_valid_pattern(std::string_view text);
// Something that can be published to: a valid pattern without "*" and ">" tokens.
bool is_valid_subject(std::string_view text);
// Some token is "*" or ">".
bool has_wildcard(std::string_view pattern);

}  // namespace candela::bus
