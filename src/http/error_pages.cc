#include "http/error_pages.h"

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"

namespace candela::http {
namespace {

constexpr std::string_view kRetryAfterSeconds = "2";

bool is_html(std::string_view page) {
    const size_t begin = page.find_first_not_of(" \t\r\n\xef\xbb\xbf");
    return begin != std::string_view::npos && page[begin] == '<';
}

}  // namespace

bool ErrorPages::is_status(std::string_view status) {
    if (status == "4xx" || status == "5xx") return true;
    const auto number = parse_uint(status);
    return status.size() == 3 && number && *number >= 400 && *number <= 599;
}

const std::string* ErrorPages::find(int status) const {
    if (status < 400 || status > 599) return nullptr;
    auto place = pages_.find(fmt::format("{}", status));
    if (place == pages_.end()) place = pages_.find(status < 500 ? "4xx" : "5xx");
    return place == pages_.end() ? nullptr : &place->second;
}

bool prefers_json(const Headers& request) {
    bool takes_json = false;
    bool takes_html = false;
    for (const Headers::Field field : request) {
        if (!ascii_iequals(field.name, "accept")) continue;
        for_each_list_element(field.value, [&](std::string_view range) {
            const std::string type = ascii_lower(trim(range.substr(0, range.find(';'))));
            takes_json = takes_json || type == "application/json" || type.ends_with("+json");
            takes_html = takes_html || type == "text/html" || type == "application/xhtml+xml";
        });
    }
    return takes_json && !takes_html;
}

OwnAnswer make_own_answer(const RequestHead& request, int status, std::string_view text,
                          const Headers& fields, const ErrorPages* pages) {
    OwnAnswer out;
    std::string_view type = "text/plain; charset=utf-8";
    const std::string* const page = pages != nullptr ? pages->find(status) : nullptr;
    const bool is_json = status >= 400 && prefers_json(request.headers);
    if (is_json) {
        type = "application/problem+json";
        const Json problem = {{"status", status},
                              {"title", std::string(reason_phrase(status))},
                              {"detail", std::string(text)}};
        out.body = dump_json(problem) + "\n";
    } else if (page != nullptr) {
        if (is_html(*page)) type = "text/html; charset=utf-8";
        out.body = *page;
    } else if (status_has_no_body(status)) {
        out.body.clear();
    } else if (status < 300) {
        out.body = text;  // what was asked for, and no more
    } else {
        out.body = fmt::format("{} {}: {}\n", status, reason_phrase(status), text);
    }
    out.head.status = status;
    Headers& headers = out.head.headers;
    headers.add("Server", "candela");
    if (!status_has_no_body(status)) {
        headers.add("Content-Type", type);
        headers.add("Content-Length", fmt::format("{}", out.body.size()));
    }
    if (is_json || page != nullptr) headers.add("Vary", "Accept");
    for (const Headers::Field field : fields) headers.add(field.name, field.value);
    if (status == 503 && !fields.contains("retry-after")) {
        headers.add("Retry-After", kRetryAfterSeconds);
    }
    if (status == 405) headers.add("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    return out;
}

}  // namespace candela::http
