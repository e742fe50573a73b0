#include "http/cors.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace candela::http {

bool Cors::allows(std::string_view origin) const {
    return std::ranges::any_of(origins, [&](const std::string& allowed) {
        return allowed == "*" || ascii_iequals(allowed, origin);
    });
}

bool Cors::says_any() const {
    return !allows_credentials && std::ranges::find(origins, "*") != origins.end();
}

void Cors::append_answer_fields(const Headers& request, Headers& out) const {
    // Whoever keeps the answer must not give it to another origin.
    if (!says_any()) out.add("Vary", "Origin");
    const auto origin = request.get("origin");
    if (!origin || !allows(*origin)) return;
    out.add("Access-Control-Allow-Origin", says_any() ? std::string_view("*") : *origin);
    if (allows_credentials) out.add("Access-Control-Allow-Credentials", "true");
    if (!exposed_headers.empty()) out.add("Access-Control-Expose-Headers", exposed_headers);
}

bool Cors::is_preflight(std::string_view method, const Headers& request) {
    return method == "OPTIONS" && request.contains("origin") &&
           request.contains("access-control-request-method");
}

void Cors::append_preflight_fields(const Headers& request, Headers& out) const {
    append_answer_fields(request, out);
    out.add("Access-Control-Allow-Methods", methods);
    const std::string_view asked = request.get("access-control-request-headers").value_or("");
    const std::string_view allowed = headers.empty() ? asked : std::string_view(headers);
    if (!allowed.empty()) out.add("Access-Control-Allow-Headers", allowed);
    if (headers.empty()) out.add("Vary", "Access-Control-Request-Headers");
    out.add("Access-Control-Max-Age",
            fmt::format("{}", std::chrono::duration_cast<std::chrono::seconds>(max_age).count()));
}

bool Cors::is_answer_field(std::string_view name) {
    constexpr std::string_view kPrefix = "access-control-";
    return name.size() > kPrefix.size() && ascii_iequals(name.substr(0, kPrefix.size()), kPrefix);
}

}  // namespace candela::http
