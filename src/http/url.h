#pragma once

// An absolute http:// or https:// address, taken apart for a client (RFC 9110 §4.2). Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace candela::http {

inline constexpr size_t kUrlBytesMax = 2048;

struct Url {
    std::string text;       // as it was
    std::string host;       // without brackets
    std::string authority;  // for the Host field
    std::string target;
    uint16_t port = 443;
    bool is_encrypted = true;

    // An IP literal of this machine, or "localhost".
    bool is_loopback() const;
};

// kInvalid for what has another scheme, user information, a fragment, or bytes that can't be sent.
Result<Url> parse_url(std::string_view text);

}  // namespace candela::http
