#pragma once

// Cross-origin requests of browsers: the CORS protocol of the WHATWG Fetch standard, §3.2. A value,
// and pure functions of it.

#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "http/headers.h"

namespace candela::http {

struct Cors {
    std::vector<std::string> origins;  // "https://app.example.org"; "*": any
    std::string methods;               // as sent: "GET, POST"
    std::string headers;               // that a request may carry; empty: those it asks for
    std::string exposed_headers;       // of an answer, that a script may read
    bool allows_credentials = false;
    Duration max_age{};  // how long a browser may remember a preflight's answer

    bool allows(std::string_view origin) const;
    // Appends what an answer to this request says.
    void append_answer_fields(const Headers& request, Headers& out) const;

    // An OPTIONS request by which a browser asks first.
    static bool is_preflight(std::string_view method, const Headers& request);
    // Appends what the answer to a preflight says; its origin is allowed.
    void append_preflight_fields(const Headers& request, Headers& out) const;

    // Whether a field of an answer is this protocol's: the route speaks, not the service.
    static bool is_answer_field(std::string_view name);

private:
    bool says_any() const;  // "*", which needs no look at the request
};

}  // namespace candela::http
